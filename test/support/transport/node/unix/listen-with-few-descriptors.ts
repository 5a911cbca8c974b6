// Listens at the given path with 0, 1, 2, … free descriptors, and prints each result.
import { closeSync, openSync } from 'node:fs';
import { firstValueFrom, map } from 'rxjs';
import { listen, type SocketError } from 'rxjs-sockets';

const path = process.argv[2] ?? '';
const outcomes: string[] = [];

async function attempt(left: number): Promise<string> {
  const taken: number[] = [];
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'));
  } catch {
    for (const fd of taken.splice(0, left)) closeSync(fd);
  }
  const server = listen({ path });
  const listening = firstValueFrom(server.listening.pipe(map(() => 'ok')));
  const failed = new Promise<string>((resolve) => {
    server.subscribe({ error: (error: unknown) => resolve((error as SocketError).code) });
  });
  const outcome = await Promise.race([listening.catch(() => failed), failed]);
  for (const fd of taken) closeSync(fd);
  await server.shutdown();
  return outcome;
}

// The first attempt loads modules, which needs descriptors as well.
await attempt(50);
for (let left = 0; left < 6; left++) outcomes.push(await attempt(left));
console.log(outcomes.join(' '));
