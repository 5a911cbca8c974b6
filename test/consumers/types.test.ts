import { execFile } from 'node:child_process';
import { cp } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, inject, it } from 'vitest';
import runtimes from '../../scripts/runtimes.json' with { type: 'json' };

const project = inject('installed');
const root = fileURLToPath(new URL('../..', import.meta.url));
const compilers = [
  ...runtimes.typescript.map((version) => [version, `.cache/runtimes/typescript-${version}/bin/tsc`] as const),
  ['6', 'node_modules/.bin/tsc6'] as const,
  ['7', 'node_modules/.bin/tsc'] as const,
];

beforeAll(() => cp(fileURLToPath(new URL('programs', import.meta.url)), project, { recursive: true }));

/** Compiles some of the programs with every strict check, and returns the compiler's messages. */
async function said(compiler: string, options: readonly string[]): Promise<string> {
  const strict = ['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--noImplicitOverride'];
  const command = [
    `${root}${compiler}`,
    '--noEmit',
    '--skipLibCheck',
    'false',
    ...strict,
    '--types',
    'node',
    ...options,
  ];
  const { stdout } = await promisify(execFile)(process.execPath, command, { cwd: project }).catch(
    (error: unknown) => error as { stdout: string },
  );
  return stdout;
}

describe.each(compilers)('TypeScript %s', { timeout: 120_000 }, (version, compiler) => {
  it('reports the expected version', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [`${root}${compiler}`, '--version']);
    expect(`${stdout.trim()}.`).toContain(`Version ${version}.`);
  });

  it('accepts the packed package as Node resolves it, without the types of the DOM', async () => {
    const options = ['--module', 'nodenext', '--target', 'es2022', '--lib', 'es2022', 'core.ts', 'echo.ts'];
    expect(await said(compiler, options)).toBe('');
  });

  it('accepts the packed package as bundlers resolve it', async () => {
    const options = ['--module', 'esnext', '--moduleResolution', 'bundler', '--target', 'es2022'];
    expect(await said(compiler, [...options, 'core.ts', 'echo.ts', 'ix.ts'])).toBe('');
  });
});
