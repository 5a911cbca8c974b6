import { execFile } from 'node:child_process';
import { copyFile, cp, mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));

export interface Workshop {
  readonly folder: string;
  server(name: string): string;
  /** Returns the path of a program that measures itself. */
  inside(name: string): string;
}

/**
 * Builds the library into a new folder, in the form in which users install the library. So the benchmark measures the
 * current src, and a later build does not affect the benchmark. If a server ran the sources instead of the build, its
 * process would have more than 8 MB of heap, and V8 would mark the heap at each bulk read.
 */
export async function buildWorkshop(): Promise<Workshop> {
  // The folder is inside the project, so that the servers can import the project's dependencies.
  const cache = join(root, 'node_modules/.cache');
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, 'rxjs-sockets-bench-'));
  const library = join(folder, 'node_modules/rxjs-sockets');
  await mkdir(library, { recursive: true });
  await copyFile(join(root, 'package.json'), join(library, 'package.json'));
  await promisify(execFile)(process.execPath, [join(root, 'scripts/bundle.js'), join(library, 'dist')]);
  for (const part of ['servers', 'inside'])
    await cp(join(root, 'bench', part), join(folder, part), { recursive: true });
  // Without this package.json, an import of `rxjs-sockets` would load the project's own dist instead of this build.
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
  return {
    folder,
    server: (name) => join(folder, 'servers', `${name}.js`),
    inside: (name) => join(folder, 'inside', `${name}.js`),
  };
}
