import { execFile } from 'node:child_process';
import { copyFile, cp, mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));

/** A folder with the servers, and with the library as users install it. */
export interface Workshop {
  readonly folder: string;
  /** The module of a server. */
  server(name: string): string;
  /** The module of a program that measures itself. */
  inside(name: string): string;
}

/**
 * Builds the library, as users install it, where only the servers find it: so that what is measured is what stands in
 * src, and does not change while it is measured. Without a build, what compiles the sources would count as theirs: over
 * 8 MB of heap, V8 marks with each bulk read.
 */
export async function buildWorkshop(): Promise<Workshop> {
  // Inside the project, so that what else the servers import is found.
  const cache = join(root, 'node_modules/.cache');
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, 'rxjs-sockets-bench-'));
  const library = join(folder, 'node_modules/rxjs-sockets');
  await mkdir(library, { recursive: true });
  await copyFile(join(root, 'package.json'), join(library, 'package.json'));
  await promisify(execFile)(process.execPath, [join(root, 'scripts/bundle.js'), join(library, 'dist')]);
  for (const part of ['servers', 'inside'])
    await cp(join(root, 'bench', part), join(folder, part), { recursive: true });
  // The nearest package.json would be that of the library, which would find its own dist before this one.
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
  return {
    folder,
    server: (name) => join(folder, 'servers', `${name}.js`),
    inside: (name) => join(folder, 'inside', `${name}.js`),
  };
}
