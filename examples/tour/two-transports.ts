import { join } from 'node:path';
import { firstValueFrom, merge } from 'rxjs';
import { type Address, connect, listen } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { type Checks, type Claim, number } from './checks.js';
import type { Screen } from './screen.js';

const clientsEach = 3;
const linesEach = 5_000;

interface Echoes {
  readonly clients: number;
  sent: number;
  received: number;
  inOrder: number;
}

export function echoClaims({ clients, sent, received, inOrder }: Echoes): Claim[] {
  return [
    [
      `${clients} clients sent ${number(sent)} numbered lines; all came back, once and in order`,
      sent === clients * linesEach && received === sent && inOrder === sent,
    ],
  ];
}

/** Runs an echo server on TCP and an echo server on a unix socket. Each server has several clients. */
export async function twoTransports(screen: Screen, checks: Checks, folder: string): Promise<void> {
  screen.heading('1. Echo: one server on TCP and on a unix socket (a file, for this machine only)');
  const servers = [{ port: 0 }, { path: join(folder, 'echo') }].map((where) => listen(where, { codec: lines() }));
  merge(...servers).subscribe(({ data }) => data.subscribe(data));

  const echoes: Echoes = { clients: clientsEach * servers.length, sent: 0, received: 0, inOrder: 0 };
  screen.follow(() => `   ${number(echoes.received)} lines are back`);
  await Promise.all(
    servers.map(async (server) => {
      const address = await firstValueFrom(server.listening);
      await Promise.all(Array.from({ length: clientsEach }, () => talk(address, echoes)));
    }),
  );
  await Promise.all(servers.map((server) => server.shutdown()));

  checks.sent += echoes.sent;
  checks.inOrder += echoes.inOrder;
  checks.that(...echoClaims(echoes));
}

async function talk(address: Address, echoes: Echoes): Promise<void> {
  const { data } = connect(address, { codec: lines() });
  data.sendFrom(numbers(echoes)).subscribe(data);
  let next = 0;
  for await (const line of data) {
    echoes.received++;
    if (line === String(next++)) echoes.inOrder++;
  }
}

function* numbers(echoes: Echoes): Generator<string> {
  for (let number = 0; number < linesEach; number++) {
    echoes.sent++;
    yield String(number);
  }
}
