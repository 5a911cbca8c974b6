import { join } from 'node:path';
import { firstValueFrom, Subject } from 'rxjs';
import { type Address, Broadcast, connect, listen, serve } from 'rxjs-sockets';
import { lines, mapCodec } from 'rxjs-sockets/codecs';
import { type Checks, type Claim, number } from './checks.js';
import type { Screen } from './screen.js';

const readers = 50;
const messages = 2_000;
/** How many messages the server sends before it waits until all readers have received them. */
const atOnce = 50;
/** More messages than `maxBuffered` and the kernel's buffers can hold for a client that does not read. */
const mostMessages = 100_000;

interface News {
  readonly sent: number;
  readonly encoded: number;
  /**
   * For each reader: `received` is the number of all messages that arrived, and `inOrder` is the number of messages
   * that arrived in order.
   */
  readonly received: readonly number[];
  readonly inOrder: readonly number[];
  /**
   * How each connection ended. `cutOff` is about the connections that ended before the Broadcast completed, and
   * `finished` is about the connections that ended later.
   */
  readonly cutOff: readonly string[];
  readonly finished: readonly string[];
}

export function newsClaims({ sent, encoded, received, inOrder, cutOff, finished }: News): Claim[] {
  const all = (counts: readonly number[]): boolean =>
    counts.length === readers && counts.every((count) => count === sent);
  return [
    [
      `${number(sent)} messages reached all ${readers} in order; each was made into bytes once`,
      sent >= messages && encoded === sent && all(received) && all(inOrder),
    ],
    [
      `the one that does not read was cut off (${cutOff.join(', ')}: it fell behind)`,
      cutOff.length === 1 &&
        cutOff[0] === 'ERR_OVERFLOW' &&
        finished.length === readers &&
        finished.every((reason) => reason === 'finished'),
    ],
  ];
}

/** Encodes each message once, and sends it to many clients. One of the clients does not read. */
export async function broadcast(screen: Screen, checks: Checks, folder: string): Promise<void> {
  screen.heading(`4. Broadcast: one message to ${readers} clients, and to one more that does not read`);
  let encoded = 0;
  const counted = (line: string): string => {
    encoded++;
    return line;
  };
  const ends: string[] = [];
  const ended = new Subject<void>();

  // #region news
  const news = new Broadcast(mapCodec(lines(), String, counted));
  const server = listen({ path: join(folder, 'news') }, { codec: lines(), maxBuffered: 262_144 });
  server
    .pipe(
      serve((connection) => {
        news.join(connection);
      }),
    )
    .subscribe(({ reason, error }) => {
      ends.push(error?.code ?? reason);
      ended.next();
    });
  // #endregion

  const address = await firstValueFrom(server.listening);
  const audience = Array.from({ length: readers }, () => new Reader(address));
  const deaf = connect(address, { codec: lines() }).data;
  const hold = deaf.hold();
  deaf.subscribe({ error: () => undefined });
  while (news.size <= readers) await firstValueFrom(server);

  let sent = 0;
  screen.follow(() => `   ${number(sent)} messages`);
  while (sent < messages || (news.size > readers && sent < mostMessages)) {
    for (const end = sent + atOnce; sent < end; sent++) news.next(`${sent} ${'bla '.repeat(250)}`);
    await Promise.all(audience.map((reader) => reader.hasHeard(sent - 1)));
  }
  while (news.size + ends.length <= readers) await firstValueFrom(ended);
  const cutOff = [...ends];
  news.complete();
  await Promise.all(audience.map((reader) => reader.ended));
  hold.release();
  await server.shutdown();

  const inOrder = audience.map((reader) => reader.inOrder);
  checks.sent += sent * readers;
  checks.inOrder += inOrder.reduce((sum, count) => sum + count, 0);
  const received = audience.map((reader) => reader.received);
  const finished = ends.slice(cutOff.length);
  checks.that(...newsClaims({ sent, encoded, received, inOrder, cutOff, finished }));
}

class Reader {
  received = 0;
  inOrder = 0;
  readonly ended: Promise<void>;
  private latest = -1;
  private readonly heard = new Subject<void>();

  constructor(address: Address) {
    this.ended = connect(address, { codec: lines() }).data.forEach((line) => {
      this.latest = Number.parseInt(line, 10);
      if (this.latest === this.received++) this.inOrder++;
      this.heard.next();
    });
  }

  /** Resolves when this message or a later message has arrived, even if an earlier message is missing. */
  async hasHeard(message: number): Promise<void> {
    while (this.latest < message) await firstValueFrom(this.heard);
  }
}
