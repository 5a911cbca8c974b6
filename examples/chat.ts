/**
 * A chat: one room, with members over TCP and over a unix socket. If a member does not read, the server disconnects
 * that member, without a delay for the other members.
 *
 *     npx tsx --conditions=rxjs-sockets-source examples/chat.ts
 *         runs a demonstration
 *     npx tsx --conditions=rxjs-sockets-source examples/chat.ts tcp://localhost:7000 unix:/tmp/chat.sock
 *         serves until Ctrl-C; join with `nc localhost 7000` and `nc -U /tmp/chat.sock`
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { firstValueFrom, merge } from 'rxjs';
import {
  type Address,
  type AddressInput,
  type Channel,
  connect,
  formatAddress,
  listen,
  type Server,
} from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { Room } from './chat/room.js';

// #region serve
function serve(addresses: readonly AddressInput[]): Server<string, string>[] {
  const room = new Room();
  const servers = addresses.map((address) => listen(address, { codec: lines(), maxBuffered: 262_144 }));
  merge(...servers).subscribe((connection) => room.welcome(connection));
  return servers;
}
// #endregion

class Guest {
  readonly data: Channel<string>;
  private readonly heard: AsyncIterator<string>;

  constructor(address: Address) {
    this.data = connect(address, { codec: lines() }).data;
    this.heard = this.data[Symbol.asyncIterator]();
  }

  /** Connects a guest, and joins the room as `name`. Resolves when the room has announced the guest. */
  static async join(name: string, address: Address): Promise<Guest> {
    const guest = new Guest(address);
    await guest.hear();
    guest.data.next(name);
    await guest.hear();
    return guest;
  }

  async hear(): Promise<string> {
    const { value } = await this.heard.next();
    return value as string;
  }

  async leave(): Promise<void> {
    await this.heard.return?.();
  }
}

/** Prints the lines that bob receives while other members join, talk, stop reading, and leave. */
async function show(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'chat-'));
  const servers = serve([{ port: 0 }, { path: join(folder, 'socket') }]);
  const [tcp, unix] = await Promise.all(servers.map(({ listening }) => firstValueFrom(listening)));
  if (tcp === undefined || unix === undefined) throw new Error('there are two servers');

  const bob = await Guest.join('bob', unix);
  const ann = await Guest.join('ann', tcp);
  console.log(await bob.hear());
  ann.data.next('Hello from TCP!');
  console.log(await bob.hear());
  bob.data.next('Hello from a unix socket!');
  console.log(await bob.hear());

  const carol = connect(unix, { codec: lines() });
  carol.data.hold();
  const deaf = carol.data.subscribe();
  carol.data.next('carol');
  console.log(await bob.hear());

  let heard: string;
  let count = 0;
  do {
    ann.data.next(`${++count} ${'bla '.repeat(100)}`);
    [heard] = await Promise.all([bob.hear(), ann.hear()]);
  } while (heard.startsWith(`ann: ${count} `));
  console.log(heard);
  console.log(`bob has heard each of ${count - 1} lines meanwhile`);
  await bob.hear(); // the line that ann sent just before the room disconnected carol

  await ann.leave();
  console.log(await bob.hear());
  await bob.leave();
  deaf.unsubscribe();
  await Promise.all(servers.map((server) => server.shutdown()));
  await rm(folder, { recursive: true });
}

const addresses = process.argv.slice(2);
if (addresses.length === 0) await show();
else {
  const servers = serve(addresses);
  for (const { listening } of servers) {
    listening.subscribe((address) => {
      console.log(`listening at ${formatAddress(address)}`);
    });
  }
  process.once('SIGINT', () => {
    for (const server of servers) void server.shutdown();
  });
}
