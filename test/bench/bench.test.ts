import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { freshFolder } from '../support/places.js';
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

const bench = (...args: string[]) =>
  run(process.execPath, ['--import', 'tsx', join(root, 'bench/run.ts'), ...args], { cwd: root, timeout: 60_000 });

const spread = {
  median: expect.any(Number),
  least: expect.any(Number),
  greatest: expect.any(Number),
};

describe('npm run bench', () => {
  // Timings decide nothing here: only that every server did its work, each byte of which the load generator has checked.
  it.skipIf(!canMeasure)(
    'measures a row and writes what it found (skipped without Linux and a C compiler)',
    async () => {
      const out = join(await freshFolder(), 'results.json');
      const servers = ['rxjs-sockets', 'plain', 'tuned', 'from-event', 'split2', 'effect', 'limit', 'ws'];
      const { stdout } = await bench('rows=lines', 'transports=unix', 'rounds=1', 'seconds=0.02', `out=${out}`);
      expect(stdout).toContain('Echo of 64-byte lines');
      const found = JSON.parse(await readFile(out, 'utf8')) as object;
      const withCpu = { figure: spread, ratio: spread, cpu: spread };
      expect(found).toEqual({
        date: expect.any(String),
        machine: {
          node: process.version,
          system: expect.any(String),
          processor: expect.any(String),
          cores: expect.any(Number),
        },
        settings: { rounds: 1, seconds: 0.02, connections: expect.any(Number) },
        rows: [
          {
            id: 'lines',
            transport: 'unix',
            unit: 'thousand messages/s',
            better: 'more',
            target: 7,
            servers: Object.fromEntries(
              servers.map((name) => [name, name === 'limit' ? { figure: spread, ratio: spread } : withCpu]),
            ),
          },
        ],
      });
    },
    60_000,
  );

  it('refuses what it does not know', async () => {
    await expect(bench('rows=nothing')).rejects.toThrow("'nothing' is none of the rows");
    await expect(bench('fast')).rejects.toThrow("'fast' is neither");
  });
});
