import { execFile } from 'node:child_process';
import { copyFile, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { freshFolder } from '../support/transport/places.js';
import '../support/leaks.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const compiler = process.env['CC'] ?? 'cc';
const canMeasure =
  process.platform === 'linux' &&
  (await run(compiler, ['--version']).then(
    () => true,
    () => false,
  ));

const program = (name: string, args: readonly string[]) =>
  run(process.execPath, ['--import', 'tsx', join(root, 'bench', name), ...args], { cwd: root, timeout: 60_000 });
const bench = (...args: string[]) => program('run.ts', args);

const spread = {
  median: expect.any(Number),
  least: expect.any(Number),
  greatest: expect.any(Number),
};

const machine = {
  node: process.version,
  system: expect.any(String),
  processor: expect.any(String),
  cores: expect.any(Number),
};

const { rxjs, split2, effect, ws } = manifest.devDependencies;
const versions = { rxjs, split2, effect, ws };

describe('npm run bench', () => {
  // These tests check that every server did its work, but not how fast. The load generator checks each byte.
  it.skipIf(!canMeasure)(
    'measures one row of the benchmark and writes the result (skipped without Linux and a C compiler)',
    async () => {
      const out = join(await freshFolder(), 'results.json');
      const others = ['plain', 'tuned', 'from-event', 'split2', 'effect', 'effect-batched', 'ws'];
      const { stdout } = await bench('rows=lines', 'transports=unix', 'rounds=1', 'seconds=0.02', `out=${out}`);
      expect(stdout).toContain('Echo of 64-byte lines');
      expect(stdout).toMatch(/target against limit ≥ 0.3: \d.*reached/);
      const { run: found, ...rest } = JSON.parse(await readFile(out, 'utf8')) as { run: object };
      expect(rest).toEqual({});
      const withCpu = { figure: spread, ratio: spread, cpu: spread, time: spread };
      expect(found).toEqual({
        date: expect.any(String),
        machine,
        versions,
        settings: { rounds: 1, seconds: 0.02, connections: expect.any(Number) },
        rows: [
          {
            id: 'lines',
            transport: 'unix',
            unit: 'thousand messages/s',
            better: 'more',
            target: 6,
            against: { effect: 2.5, limit: 0.3 },
            servers: {
              'rxjs-sockets': { ...withCpu, against: { effect: spread, limit: spread } },
              limit: withCpu,
              ...Object.fromEntries(others.map((name) => [name, withCpu])),
            },
          },
        ],
      });
    },
    60_000,
  );

  it.skipIf(!canMeasure)(
    'does the work of the other rows without an error, and makes their tables (skipped without Linux and a C compiler)',
    async () => {
      const folder = await freshFolder();
      const out = join(folder, 'results.json');
      const rows = 'rows=json,requests,serve,trickle';
      await bench(rows, 'servers=rxjs-sockets,plain,tuned', 'transports=tcp', 'rounds=1', 'seconds=0.02', `out=${out}`);
      const { run: found } = JSON.parse(await readFile(out, 'utf8')) as { run: { rows: { servers: object }[] } };
      const servers = found.rows.flatMap((row): unknown[] => Object.values(row.servers));
      expect(servers).toHaveLength(11);
      for (const server of servers) expect(server).toHaveProperty('figure', spread);

      await copyFile(join(root, 'docs/performance.md'), join(folder, 'performance.md'));
      await program('report.ts', [out, folder]);
      const page = await readFile(join(folder, 'performance.md'), 'utf8');
      const [, summary = ''] = /<!-- summary: [^]*?-->([^]*?)<!-- end of the summary -->/.exec(page) ?? [];
      expect(summary).toMatch(/\| 1,000 clients with a line each second +\| [\d.]+ +\| +\| less is better \|/);
      expect(page).toMatch(/\| Connect, echo one line, close, with `serve` +\| connection +\| [\d.]+ +\| [\d.]+ +\|/);
    },
    60_000,
  );

  it.skipIf(!canMeasure)(
    'measures how cost grows, and draws the tables and pictures (skipped without Linux and a C compiler)',
    async () => {
      const folder = await freshFolder();
      const out = join(folder, 'results.json');
      await writeFile(out, JSON.stringify({ kept: true }));
      const { stdout } = await bench('growth', 'transports=unix', 'rounds=1', 'share=0.001', 'most=100', `out=${out}`);
      expect(stdout).toMatch(/at most linear: (yes|no)/);
      const found = JSON.parse(await readFile(out, 'utf8')) as object;
      const points = (...numbers: number[]) => numbers.map((n) => ({ n, cost: spread }));
      const steps = (...pairs: [number, number][]) => pairs.map(([from, to]) => ({ from, to, growth: spread }));
      const both = (grown: object) => ({ 'rxjs-sockets': grown, tuned: grown, limit: grown });
      expect(found).toEqual({
        kept: true,
        growth: {
          date: expect.any(String),
          machine,
          settings: { rounds: 1, share: 0.001, most: 100 },
          series: [
            ['connections', both({ points: points(10, 100), steps: steps([10, 100]) })],
            ['open', both({ points: points(10, 100), steps: steps([10, 100]) })],
            ['messages', both({ points: [], steps: [] })],
            ['sizes', both({ points: points(1, 10, 100), steps: steps([1, 10], [10, 100]) })],
            ['operators', { 'rxjs-sockets': { points: points(0, 1, 2, 5, 10), steps: steps([1, 10]) } }],
            ['members', both({ points: points(1, 5, 50), steps: steps([5, 50]) })],
          ].map(([id, servers]) => ({ id, transport: 'unix', servers })),
        },
      });

      await copyFile(join(root, 'docs/performance.md'), join(folder, 'performance.md'));
      await program('report.ts', [out, folder]);
      const page = await readFile(join(folder, 'performance.md'), 'utf8');
      expect(page).toContain('![Unix sockets, what one of each costs](performance/growth-unix.svg)');
      expect(page).toMatch(/\| Members of a Broadcast +\| unix \| 5 to 50/);
      expect(await readdir(join(folder, 'performance'))).toEqual(['growth-unix.svg']);
      const picture = await readFile(join(folder, 'performance/growth-unix.svg'), 'utf8');
      expect(picture).not.toMatch(/NaN|undefined|Infinity/);
    },
    60_000,
  );

  it('carries a framed message of 16 MiB (skipped without Linux and a C compiler)', async ({ skip }) => {
    skip(!canMeasure);
    const out = join(await freshFolder(), 'results.json');
    await bench('growth', 'rows=sizes', 'rounds=1', 'share=0.0001', `out=${out}`);
    const { growth } = JSON.parse(await readFile(out, 'utf8')) as { growth: { series: { servers: object }[] } };
    expect(growth.series).toHaveLength(2);
    for (const { servers } of growth.series) expect(JSON.stringify(servers)).not.toContain('failed');
  }, 60_000);

  it('refuses unknown arguments', async () => {
    await expect(bench('growth', 'rows=nothing')).rejects.toThrow("'nothing' is none of the rows");
    await expect(bench('growth', 'share=0')).rejects.toThrow("'share=0' has to be a number over 0");
    await expect(bench('rounds=1.5')).rejects.toThrow("'rounds=1.5' has to be a whole number");
    await expect(bench('rows=nothing')).rejects.toThrow("'nothing' is none of the rows");
    await expect(bench('fast')).rejects.toThrow("'fast' is neither");
  });
});
