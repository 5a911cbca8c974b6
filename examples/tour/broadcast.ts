import { join } from 'node:path';
import { firstValueFrom, Subject } from 'rxjs';
import { type Address, Broadcast, connect, listen, serve } from 'rxjs-sockets';
import { lines, mapCodec } from 'rxjs-sockets/codecs';
import { type Checks, number } from './checks.js';
import type { Screen } from './screen.js';

const readers = 50;
const messages = 2_000;
/** How many messages are sent before the readers are waited for. */
const atOnce = 50;

/** One message for many clients, encoded once, and one client that does not read it. */
export async function broadcast(screen: Screen, checks: Checks, folder: string): Promise<void> {
  screen.heading('4. One message for many clients, one of whom does not read');
  let encoded = 0;
  const counted = (line: string): string => {
    encoded++;
    return line;
  };
  const ends: string[] = [];

  // #region news
  const news = new Broadcast(mapCodec(lines(), String, counted));
  const server = listen({ path: join(folder, 'news') }, { codec: lines(), maxBuffered: 262_144 });
  server
    .pipe(
      serve((connection) => {
        news.join(connection);
      }),
    )
    .subscribe(({ reason, error }) => ends.push(error?.code ?? reason));
  // #endregion

  const address = await firstValueFrom(server.listening);
  const audience = Array.from({ length: readers }, () => new Reader(address));
  const deaf = connect(address, { codec: lines() }).data;
  deaf.hold();
  deaf.subscribe({ error: () => undefined });
  while (news.size <= readers) await firstValueFrom(server);

  for (let sent = 0; sent < messages;) {
    for (const end = sent + atOnce; sent < end; sent++) news.next(`${sent} ${'bla '.repeat(250)}`);
    await Promise.all(audience.map((reader) => reader.hasHeard(sent)));
  }
  const cutOff = [...ends];
  news.complete();
  await Promise.all(audience.map((reader) => reader.ended));
  await server.shutdown();

  const inOrder = audience.reduce((sum, reader) => sum + reader.inOrder, 0);
  checks.sent += messages * readers;
  checks.inOrder += inOrder;
  const claim = `${number(messages)} messages reached each of ${readers} clients in order, and were encoded once each`;
  checks.that(claim, inOrder === messages * readers && encoded === messages);
  checks.that(
    `one that did not read was cut off (${cutOff.join(', ')}), and delayed nobody`,
    cutOff.length === 1 && cutOff[0] === 'ERR_OVERFLOW' && ends.length === readers + 1,
  );
  screen.line(`  ${claim}`);
}

/** Counts the messages that come in their turn. */
class Reader {
  inOrder = 0;
  readonly ended: Promise<void>;
  private readonly heard = new Subject<number>();

  constructor(address: Address) {
    this.ended = connect(address, { codec: lines() }).data.forEach((line) => {
      if (line.startsWith(`${this.inOrder} `)) this.inOrder++;
      this.heard.next(this.inOrder);
    });
  }

  async hasHeard(count: number): Promise<void> {
    while (this.inOrder < count) await firstValueFrom(this.heard);
  }
}
