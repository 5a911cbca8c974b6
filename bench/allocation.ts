// Measures the allocations per message, and the heap per idle connection, for this library and for plain `node:net`.
// Prints a table:
//   npm run bench:allocation
// The measurement takes about a minute. test/bench/allocation.long.test.ts counts objects in the same way, and limits
// the number of objects.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Allocated, CountingServer, slope, type Work } from './allocated.js';
import { buildWorkshop } from './library.js';

const works: readonly (readonly [Work, string, number])[] = [
  ['receive', 'received line', 4_000],
  ['send', 'sent line', 4_000],
  ['lines', 'line echoed through `map`', 4_000],
  ['broadcast', 'line sent to 10 members', 1_000],
  ['bytes', 'echoed chunk, one in flight', 1_000],
];
/** The number of warm-up runs. After these runs, the JIT compiler has finished. */
const warm = 10;
const idle = 1_000;

const workshop = await buildWorkshop();
const folder = await mkdtemp(join(tmpdir(), 'allocation-'));
let sockets = 0;
const place = (transport: string): string | undefined =>
  transport === 'tcp' ? undefined : join(folder, String(sockets++));

async function perMessage(
  library: 'rxjs-sockets' | 'plain',
  work: Work,
  transport: string,
  messages: number,
): Promise<Allocated> {
  const server = await CountingServer.start(workshop, library, work, place(transport));
  for (let i = 0; i < warm; i++) await server.send(messages);
  const once = await server.allocated(messages);
  const twice = await server.allocated(2 * messages);
  await server.stop();
  return slope(once, twice, messages);
}

async function perConnection(library: 'rxjs-sockets' | 'plain', transport: string): Promise<number> {
  const server = await CountingServer.start(workshop, library, 'idle', place(transport));
  await server.open(idle);
  const before = await server.alive();
  await server.open(idle);
  const after = await server.alive();
  await server.stop();
  return (after - before) / idle;
}

const shown = ({ objects, bytes }: Allocated): string => `${objects.toFixed(1)} / ${bytes.toFixed()} B`;

try {
  console.log('| objects / bytes for each            | rxjs-sockets, TCP | unix | plain, TCP | unix |');
  console.log('| ----------------------------------- | ----------------- | ---- | ---------- | ---- |');
  for (const [work, name, messages] of works) {
    const cells: string[] = [];
    for (const library of ['rxjs-sockets', 'plain'] as const) {
      for (const transport of ['tcp', 'unix']) cells.push(shown(await perMessage(library, work, transport, messages)));
    }
    console.log(`| ${name} | ${cells.join(' | ')} |`);
  }
  const cells: string[] = [];
  for (const library of ['rxjs-sockets', 'plain'] as const) {
    for (const transport of ['tcp', 'unix']) cells.push(`${(await perConnection(library, transport)).toFixed()} B`);
  }
  console.log(`| idle connection: heap | ${cells.join(' | ')} |`);
} finally {
  await rm(workshop.folder, { recursive: true, force: true });
  await rm(folder, { recursive: true, force: true });
}
