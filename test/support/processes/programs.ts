/** Programs of other projects that test the services. scripts/install-peers.sh installs them. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe } from 'vitest';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** The folders of these programs. The folders of servers are missing from some PATHs. */
const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/lib/postgresql/15/bin'];

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * The path of a program, or undefined if the program is missing. A name with a `/` is a path within `.cache/peers`,
 * where programs are unpacked without being installed.
 */
export function peer(program: string): string | undefined {
  const places = program.includes('/') ? [join(root, '.cache/peers')] : folders;
  return places.map((folder) => join(folder, program)).find(isProgram);
}

/**
 * Describes tests with programs of other projects. If a program is missing, the tests are skipped, or fail in CI.
 *
 * @param programs - the names of the programs; `body` gets the paths of the programs in this order
 */
export function describeWith<const Programs extends readonly string[]>(
  title: string,
  programs: Programs,
  body: (paths: { readonly [K in keyof Programs]: string }) => void,
): void {
  const missing = programs.filter((program) => peer(program) === undefined);
  if (missing.length > 0 && process.env['CI'] !== undefined) {
    throw new Error(`not installed: ${missing.join(', ')}; run scripts/install-peers.sh`);
  }
  const paths = programs.map((program) => peer(program) ?? program) as { readonly [K in keyof Programs]: string };
  const isSkipped = missing.length > 0;
  describe.skipIf(isSkipped)(isSkipped ? `${title} (without ${missing.join(', ')})` : title, () => body(paths));
}
