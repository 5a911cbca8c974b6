// Measures the library against its peers, each a server in a process of its own under a load generator in C:
//   npm run bench                  every row; into bench/results.json. It takes about a quarter of an hour.
//   npm run bench -- quick         the library, plain and tuned node:net only; under two minutes
//   npm run bench -- rows=lines,churn servers=rxjs-sockets,plain transports=tcp rounds=5 seconds=1 connections=2000 out=FILE
// A run that is not of everything goes into .cache/bench.json. `npm run bench:report` makes the tables and the pictures.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildWorkshop } from './library.js';
import { measure } from './measure.js';
import { optionsOf } from './options.js';
import { compile } from './programs.js';
import { printFound } from './print.js';
import { found, type Found, machine } from './results.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const { rows, servers, transports, settings, whole, out } = optionsOf(process.argv.slice(2));
const file = out ?? join(root, whole ? 'bench/results.json' : '.cache/bench.json');

const sockets = await mkdtemp(join(tmpdir(), 'bench-'));
try {
  const native = await compile(sockets);
  if (native !== undefined) {
    const workshop = await buildWorkshop();
    try {
      const all: Found[] = [];
      for (const row of rows) {
        const those = servers.filter((name) => row.servers.includes(name));
        if (those.length === 0) continue;
        for (const transport of transports) {
          const one = found(
            row,
            transport,
            await measure(row, those, transport, settings, { native, workshop, sockets }),
          );
          printFound(one);
          all.push(one);
          if (Object.values(one.servers).some((measured) => 'failed' in measured)) process.exitCode = 1;
        }
      }
      const run = { date: new Date().toISOString(), machine: machine(), settings, rows: all };
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, `${JSON.stringify(run, undefined, 2)}\n`);
      console.log(`\nWritten to ${file}`);
    } finally {
      await rm(workshop.folder, { recursive: true, force: true });
    }
  }
} finally {
  await rm(sockets, { recursive: true, force: true });
}
