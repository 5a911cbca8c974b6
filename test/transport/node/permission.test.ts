import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { compiled } from '../../support/package/compile-library.js';
import '../../support/leaks.js';
import { freshFolder } from '../../support/transport/places.js';
import { makeStale } from '../../support/transport/node/unix/socket-files.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const program = join(root, 'test/support/transport/node/permission-program.mjs');
const flags = process.allowedNodeEnvironmentFlags;
/** Node 20 has a different name for this flag. */
const permission = flags.has('--permission') ? '--permission' : '--experimental-permission';
/** Since Node 25, network access also needs a permission. */
const network = flags.has('--allow-net') ? ['--allow-net'] : [];

let library: string;

beforeAll(async () => {
  library = await compiled('permission');
});

/** Starts a process that may read the project. Any other access must be granted in `permissions`. */
async function permitted(...permissions: string[]): Promise<ChildProcess> {
  const execArgv = [permission, '--no-warnings', `--allow-fs-read=${root}`, ...permissions];
  const child = fork(program, [library], { execArgv, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  await once(child, 'message');
  return child;
}

async function ask(child: ChildProcess, address: unknown, dials = false): Promise<unknown> {
  child.send({ address, dials });
  const [answer] = (await once(child, 'message')) as [unknown];
  return answer;
}

/** Returns the paths of all files in `folder` that the process has open, and of the folder itself if it is open. */
function opened(child: ChildProcess, folder: string): string[] {
  const links = `/proc/${child.pid}/fd`;
  const target = (fd: string): string => {
    try {
      return readlinkSync(join(links, fd));
    } catch {
      // The descriptor has already been closed.
      return '';
    }
  };
  return readdirSync(links)
    .map(target)
    .filter((path) => path.startsWith(folder));
}

describe("under Node's permission model", () => {
  it('S8: listening on a socket file needs permission only for the folder of the file, and leaves no descriptor open', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    const child = await permitted(...network, `--allow-fs-read=${folder}`, `--allow-fs-write=${folder}`);
    await makeStale(path);
    expect(await ask(child, { path })).toEqual({ answer: 'hello' });
    expect(opened(child, folder)).toEqual([]);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('S3: listening in a folder without permission fails with EACCES, and leaves no descriptor open', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    for (const permissions of [[], [`--allow-fs-read=${folder}`]]) {
      const child = await permitted(...network, ...permissions);
      expect(await ask(child, { path })).toEqual({ code: 'EACCES', cause: 'ERR_ACCESS_DENIED' });
      expect(opened(child, folder)).toEqual([]);
    }
    expect(readdirSync(folder)).toEqual([]);
  });

  it('S1: listening on TCP needs no permission for files', async () => {
    expect(await ask(await permitted(...network), { port: 0 })).toEqual({ answer: 'hello' });
  });

  it.runIf(network.length > 0)(
    'S3: without permission for the network, a server and a client fail with EACCES',
    async () => {
      const folder = await freshFolder();
      const child = await permitted(`--allow-fs-read=${folder}`, `--allow-fs-write=${folder}`);
      const denied = { code: 'EACCES', cause: 'ERR_ACCESS_DENIED' };
      const stale = join(folder, 'stale');
      await makeStale(stale);
      const addresses = [
        { port: 0 },
        'tcp://localhost:0',
        { path: join(folder, 'socket') },
        { path: stale },
        'unix:@name',
      ];
      for (const address of addresses) expect(await ask(child, address), JSON.stringify(address)).toEqual(denied);
      for (const address of ['tcp://127.0.0.1:7', 'tcp://localhost:7', { path: stale }, 'tls://localhost:7']) {
        expect(await ask(child, address, true), JSON.stringify(address)).toEqual(denied);
      }
      expect(readdirSync(folder)).toEqual(['stale']);
    },
  );
});
