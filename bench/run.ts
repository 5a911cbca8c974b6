// Measures the library and other servers, each in its own process, with a load generator in C:
//   npm run bench                  all rows, into bench/results.json; about twenty minutes
//   npm run bench -- quick         only the library, plain and tuned node:net; under two minutes
//   npm run bench -- growth        how cost grows with connections, messages, bytes, operators and members; about
//                                  fifteen minutes
//   npm run bench -- rows=lines,churn servers=rxjs-sockets,plain transports=tcp rounds=5 seconds=1 connections=2000 out=FILE
//   npm run bench -- growth rows=open,sizes transports=unix rounds=5 share=0.5 most=1000 out=FILE
// The results of a partial run go into .cache/bench.json. `npm run bench:report` makes the tables and pictures.
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type FoundGrowth, measureGrowth } from './growth/measure.js';
import { printGrowth } from './growth/print.js';
import { buildWorkshop } from './library.js';
import { measure, type Tools } from './measure.js';
import { type GrowthOptions, optionsOf, type RunOptions } from './options.js';
import { compile } from './programs.js';
import { printFound } from './print.js';
import { found, type Found, occasion, type Report, versions } from './results.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const options = optionsOf(process.argv.slice(2));
const file = options.out ?? join(root, options.whole ? 'bench/results.json' : '.cache/bench.json');

const sockets = await mkdtemp(join(tmpdir(), 'bench-'));
try {
  const native = await compile(sockets);
  if (native !== undefined) {
    const workshop = await buildWorkshop();
    try {
      const tools = { native, workshop, sockets };
      await write('series' in options ? await growth(options, tools) : await everything(options, tools));
    } finally {
      await rm(workshop.folder, { recursive: true, force: true });
    }
  }
} finally {
  await rm(sockets, { recursive: true, force: true });
}

async function everything({ rows, servers, transports, settings }: RunOptions, tools: Tools): Promise<Report> {
  const all: Found[] = [];
  for (const row of rows) {
    const those = servers.filter((name) => row.servers.includes(name));
    if (those.length === 0) continue;
    for (const transport of transports) {
      const one = found(row, transport, await measure(row, those, transport, settings, tools));
      printFound(one);
      noteFailures(one);
      all.push(one);
    }
  }
  return { run: { ...occasion(), versions: await versions(), settings, rows: all } };
}

async function growth({ series, transports, settings }: GrowthOptions, tools: Tools): Promise<Report> {
  const all: FoundGrowth[] = [];
  for (const each of series) {
    for (const transport of transports) {
      const one = await measureGrowth(each, transport, settings, tools);
      printGrowth(one);
      noteFailures(one);
      all.push(one);
    }
  }
  return { growth: { ...occasion(), settings, series: all } };
}

/** Makes the command fail if a server failed. A missed target does not make the command fail. */
function noteFailures({ servers }: Found | FoundGrowth): void {
  if (Object.values(servers).some((measured) => 'failed' in measured)) process.exitCode = 1;
}

/** Writes the new results into the file. Results of the other kind (all rows, or growth) stay in the file. */
async function write(report: Report): Promise<void> {
  const before = await readFile(file, 'utf8').catch(() => '{}');
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, `${JSON.stringify({ ...(JSON.parse(before) as Report), ...report }, undefined, 2)}\n`);
  console.log(`\nWritten to ${file}`);
}
