import { execFile } from 'node:child_process';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { beforeAll, expect, inject, it } from 'vitest';
import { freshFolder } from '../support/transport/places.js';

const project = inject('installed');

beforeAll(() => cp(fileURLToPath(new URL('programs', import.meta.url)), project, { recursive: true }));

it.each([
  ['esm', 'mjs'],
  ['cjs', 'cjs'],
] as const)('an esbuild bundle runs without any installed package (%s)', async (format, extension) => {
  // A program in this folder finds no installed package.
  const outfile = join(await freshFolder(), `echo.${extension}`);
  await build({
    absWorkingDir: project,
    entryPoints: ['echo.ts'],
    outfile,
    bundle: true,
    minify: true,
    format,
    platform: 'node',
    logLevel: 'error',
  });
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [outfile]);
  expect(stderr).toBe('');
  expect(stdout).toBe('hello\n');
});
