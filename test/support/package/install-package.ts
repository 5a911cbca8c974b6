import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** The folder of a project in which the packed package is installed. */
    readonly installed: string;
  }
}

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../..', import.meta.url));
const env = { ...process.env, npm_config_loglevel: 'error' };

/**
 * The global setup of the tests of the packed package. It packs the package, and installs it in a separate project with
 * the oldest supported RxJS. This happens once, because two builds at a time would use the same folder.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'rxjs-sockets-'));
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root, env });
  const [packed] = JSON.parse(stdout) as [{ filename: string }];
  const { devDependencies: pinned } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    devDependencies: Record<string, string>;
  };
  const others = ['@types/node', 'fast-check', 'ix'].map((name) => `${name}@${pinned[name]}`);
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module' }));
  const install = ['install', '--ignore-scripts', '--no-audit', '--no-fund', join(folder, packed.filename)];
  await run('npm', [...install, 'rxjs@7.8.1', ...others], { cwd: folder, env });
  project.provide('installed', folder);
  return () => rm(folder, { recursive: true, force: true });
}
