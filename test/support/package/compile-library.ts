import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/**
 * Compiles the library as users run it, and returns the URL of its main module. It is for programs that cannot load
 * TypeScript, or whose memory is measured without the memory of a compiler.
 *
 * @param user - names the folder; concurrent callers need different names
 */
export async function compiled(user: string): Promise<string> {
  // The folder is inside the project, so that the library finds rxjs.
  const folder = join(root, 'node_modules/.cache', `rxjs-sockets-${user}`);
  await promisify(execFile)(process.execPath, ['scripts/bundle.js', folder], { cwd: root });
  return pathToFileURL(join(folder, 'index.js')).href;
}
