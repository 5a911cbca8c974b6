import { join } from 'node:path';
import { firstValueFrom, merge } from 'rxjs';
import { type Address, connect, formatAddress, listen } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { type Checks, number } from './checks.js';
import type { Screen } from './screen.js';

const clientsEach = 3;
const linesEach = 5_000;

/** One echo server on TCP and on a unix socket, and several clients of each at once. */
export async function twoTransports(screen: Screen, checks: Checks, folder: string): Promise<void> {
  screen.heading('1. One server, on TCP and on a unix socket');
  const servers = [{ port: 0 }, { path: join(folder, 'echo') }].map((where) => listen(where, { codec: lines() }));
  merge(...servers).subscribe(({ data }) => data.subscribe(data));

  await Promise.all(
    servers.map(async (server) => {
      const address = await firstValueFrom(server.listening);
      const counts = await Promise.all(Array.from({ length: clientsEach }, () => talk(address, checks)));
      const all = clientsEach * linesEach;
      const claim = `${number(all)} lines to ${formatAddress(address)} came back in order`;
      checks.that(
        claim,
        counts.every((count) => count === linesEach),
      );
      screen.line(`  ${clientsEach} clients, ${claim}`);
    }),
  );
  await Promise.all(servers.map((server) => server.shutdown()));
}

/** Sends numbered lines, no faster than they are taken, and counts those that come back in their turn. */
async function talk(address: Address, checks: Checks): Promise<number> {
  const { data } = connect(address, { codec: lines() });
  data.sendFrom(numbers(checks)).subscribe(data);
  let count = 0;
  for await (const line of data) {
    if (line === String(count)) count++;
  }
  checks.inOrder += count;
  return count;
}

function* numbers(checks: Checks): Generator<string> {
  for (let number = 0; number < linesEach; number++) {
    checks.sent++;
    yield String(number);
  }
}
