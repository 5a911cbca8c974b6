import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { firstValueFrom } from 'rxjs';
import { listen, type ListenOptions } from 'rxjs-sockets';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { succeeds } from '../support/processes/succeeds.js';
import { freshFolder } from '../support/transport/places.js';
import {
  fingerprint,
  makeStale,
  outcome,
  plainServer,
  started,
  workIn,
} from '../support/transport/node/unix/socket-files.js';
import { starter, starters, listenerPid } from '../support/transport/node/unix/listener-process.js';

const isRoot = process.getuid?.() === 0;
const nobody = 65_534;

describe('a stale socket file', () => {
  it("S8: if `stale` is 'fail', binding fails and a stale file is left in place", async () => {
    const path = join(await freshFolder(), 'socket');
    await makeStale(path);
    const before = fingerprint(path);
    expect(await outcome(path, { stale: 'fail' })).toBe('EADDRINUSE');
    expect(fingerprint(path)).toBe(before);
    expect(await outcome(path)).toBe('ok');
  });
});

describe('a live owner', () => {
  it('S8: a second server is refused, even if the process of the owner is stopped, or the listen queue of the owner is full', async () => {
    const path = join(await freshFolder(), 'socket');
    const owner = await starter();
    expect(await owner.listen(path, { backlog: 1 })).toBe('ok');
    expect(await outcome(path)).toBe('EADDRINUSE');

    owner.signal('SIGSTOP');
    expect(await outcome(path)).toBe('EADDRINUSE');
    await fillQueue(path);
    expect(await outcome(path)).toBe('EADDRINUSE');

    owner.signal('SIGCONT');
    await expect.poll(() => listenerPid(path)).toBe(owner.pid);
  });

  it('S8: a second server is refused even if the owner is in the same process', async () => {
    const path = join(await freshFolder(), 'socket');
    expect(await outcome(path)).toBe('ok');
    const before = fingerprint(path);
    expect(await outcome(path)).toBe('EADDRINUSE');
    expect(fingerprint(path)).toBe(before);
  });

  it.skipIf(!isRoot)('S8: a second server is refused if it has no permission to connect to the owner', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    chmodSync(folder, 0o777);
    expect(await outcome(path)).toBe('ok');
    const other = await starter();
    await other.become(nobody);
    expect(await other.listen(path)).toBe('EADDRINUSE');
    expect(existsSync(path)).toBe(true);
  });
});

describe('files that are not sockets', () => {
  const kinds: [string, (path: string) => unknown][] = [
    ['a plain file', (path) => writeFileSync(path, 'precious')],
    ['an empty file', (path) => writeFileSync(path, '')],
    ['a folder', (path) => mkdirSync(path)],
    ['a symbolic link to nothing', (path) => symlinkSync('nothing', path)],
    ['a symbolic link to a folder', (path) => symlinkSync('.', path)],
    ['a pipe', (path) => succeeds('mkfifo', path)],
    [
      'a symbolic link to a stale socket',
      async (path) => {
        await makeStale(`${path}.real`);
        symlinkSync('socket.real', path);
      },
    ],
    [
      'a symbolic link to a live socket',
      async (path) => {
        await plainServer(`${path}.real`);
        symlinkSync('socket.real', path);
      },
    ],
  ];

  it.each(kinds)('S8: %s is refused and left in place', async (_kind, make) => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    await make(path);
    const entries = readdirSync(folder);
    const before = fingerprint(path);
    for (const stale of ['replace', 'fail'] as const) {
      expect(await outcome(path, { stale })).toBe('ERR_NOT_A_SOCKET');
    }
    expect(fingerprint(path)).toBe(before);
    expect(readdirSync(folder)).toEqual(entries);
  });
});

describe('the end of a server', () => {
  it('S8: the socket file is removed at once when the last subscriber leaves, and the path is free again', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    const server = listen({ path });
    for (let round = 0; round < 3; round++) {
      const listening = firstValueFrom(server.listening);
      const subscription = server.subscribe();
      await listening;
      expect(readdirSync(folder)).toEqual(['socket']);
      subscription.unsubscribe();
      expect(readdirSync(folder)).toEqual([]);
    }
  });

  it('S7: shutdown removes the socket file', async () => {
    const folder = await freshFolder();
    const server = listen({ path: join(folder, 'socket') });
    const listening = firstValueFrom(server.listening);
    server.subscribe();
    await listening;
    await server.shutdown();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('S8: a process that shuts down at SIGTERM leaves no file, and a killed process leaves a stale file', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    const [first, second, third] = await starters(3);
    expect(await first!.listen(path)).toBe('ok');
    expect(await first!.terminate()).toBe(0);
    expect(readdirSync(folder)).toEqual([]);
    expect(await second!.listen(path)).toBe('ok');
    await second!.kill();
    expect(readdirSync(folder)).toEqual(['socket']);
    expect(await third!.listen(path)).toBe('ok');
    expect(await listenerPid(path)).toBe(third!.pid);
  });

  it('S8: a plain file that has replaced the socket file is left in place', async () => {
    const path = join(await freshFolder(), 'socket');
    const stop = await started(path);
    writeFileSync(`${path}.new`, 'precious');
    renameSync(`${path}.new`, path);
    stop();
    expect(readFileSync(path, 'utf8')).toBe('precious');
  });

  it('S8: if another server has replaced the socket file with its own, that file is left in place, and that server continues', async () => {
    const path = join(await freshFolder(), 'socket');
    const stop = await started(path);
    unlinkSync(path);
    const other = await starter();
    expect(await other.listen(path)).toBe('ok');
    stop();
    expect(await listenerPid(path)).toBe(other.pid);
  });

  it('S8: a server that could not bind does not remove the socket file of the server that listens', async () => {
    const path = join(await freshFolder(), 'socket');
    const other = await starter();
    expect(await other.listen(path)).toBe('ok');
    expect(await outcome(path)).toBe('EADDRINUSE');
    expect(await listenerPid(path)).toBe(other.pid);
  });

  it('S13: a relative path is resolved in the working folder in which the server started, even after a chdir', async () => {
    const folder = await freshFolder();
    const elsewhere = await freshFolder();
    writeFileSync(join(elsewhere, 'socket'), 'precious');
    const server = await starter();
    await server.chdir(folder);
    expect(await server.listen('socket')).toBe('ok');
    await server.chdir(elsewhere);
    expect(await listenerPid(join(folder, 'socket'))).toBe(server.pid);
    await server.stop();
    expect(readdirSync(folder)).toEqual([]);
    expect(readdirSync(elsewhere)).toEqual(['socket']);
  });

  it('S13: a chdir right after the subscription does not change the folder of the socket file', async () => {
    const folder = await freshFolder();
    const elsewhere = await freshFolder();
    workIn(folder);
    const starting = started('socket');
    process.chdir(elsewhere);
    const stop = await starting;
    expect(readdirSync(folder)).toEqual(['socket']);
    expect(readdirSync(elsewhere)).toEqual([]);
    stop();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('S13: a server removes its socket file from a renamed folder, and leaves a new file at the old path in place', async () => {
    const folder = await freshFolder();
    const [old, moved] = [join(folder, 'old'), join(folder, 'moved')];
    mkdirSync(old);
    const stop = await started(join(old, 'socket'));
    renameSync(old, moved);
    mkdirSync(old);
    writeFileSync(join(old, 'socket'), 'precious');
    stop();
    expect(readdirSync(moved)).toEqual([]);
    expect(readFileSync(join(old, 'socket'), 'utf8')).toBe('precious');
  });
});

describe('the mode of a socket file', () => {
  it('S9: with any umask, the mode is the option `mode`, or 600 by default', { timeout: 40_000 }, async () => {
    const path = join(await freshFolder(), 'socket');
    const server = await starter();
    const cases: [umask: number, options: ListenOptions, mode: number][] = [
      [0o000, {}, 0o600],
      [0o022, {}, 0o600],
      [0o177, {}, 0o600],
      [0o777, { mode: 0o666 }, 0o666],
      [0o077, { mode: 0o660 }, 0o660],
      [0o000, { mode: 0o200 }, 0o200],
      [0o022, { mode: 0o777 }, 0o777],
      [0o022, { mode: 0 }, 0],
    ];
    for (const [umask, options, mode] of cases) {
      await server.umask(umask);
      expect(await server.listen(path, options)).toBe('ok');
      expect(lstatSync(path).mode & 0o777).toBe(mode);
      await server.stop();
    }
  });
});

describe.skipIf(!isRoot)('a folder that other users can write to', () => {
  it('S8: in a folder with the sticky bit, a server can create and remove its socket file', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    chmodSync(folder, 0o1777);
    const server = await starter();
    await server.become(nobody);
    expect(await server.listen(path)).toBe('ok');
    expect(lstatSync(path).uid).toBe(nobody);
    expect(await listenerPid(path)).toBe(server.pid);
    await server.stop();
    expect(readdirSync(folder)).toEqual([]);
  });

  it("S8: another user's stale file in a folder with the sticky bit is left in place, and binding fails with EPERM", async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    chmodSync(folder, 0o1777);
    await makeStale(path, 0o666);
    const server = await starter();
    await server.become(nobody);
    expect(await server.listen(path)).toBe('EPERM');
    expect(readdirSync(folder)).toEqual(['socket']);
  });

  it("S8: another user's stale file in a folder without the sticky bit is replaced", async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    chmodSync(folder, 0o777);
    await makeStale(path, 0o666);
    const server = await starter();
    await server.become(nobody);
    expect(await server.listen(path)).toBe('ok');
    expect(lstatSync(path).uid).toBe(nobody);
  });

  it('S9: the socket file gets the group of a folder with the set-group-id bit', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    chownSync(folder, 0, nobody);
    chmodSync(folder, 0o2770);
    expect(await outcome(path, { mode: 0o660 })).toBe('ok');
    expect(lstatSync(path)).toMatchObject({ uid: 0, gid: nobody });
  });
});

async function fillQueue(path: string): Promise<void> {
  for (;;) {
    const socket = net.connect(path);
    onTestFinished(() => void socket.destroy());
    const code = await new Promise<string | undefined>((resolve) => {
      socket.on('connect', () => resolve(undefined));
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    });
    if (code === 'EAGAIN') return;
    expect(code).toBeUndefined();
  }
}
