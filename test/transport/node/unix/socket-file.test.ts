import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { firstValueFrom } from 'rxjs';
import { connect, listen, type SocketError } from 'rxjs-sockets';
import { describe, expect, it, onTestFinished } from 'vitest';
import { tryLock, type Unlock } from '../../../../src/transport/node/unix/abstract-lock.js';
import '../../../support/leaks.js';
import { freshFolder } from '../../../support/transport/places.js';
import { refusal } from '../../../support/errors/refusal.js';
import { makeStale, outcome, plainServer, started, workIn } from '../../../support/transport/node/unix/socket-files.js';
import { starter, listenerPid } from '../../../support/transport/node/unix/listener-process.js';

const isRoot = process.getuid?.() === 0;
const isLinux = process.platform === 'linux';

describe('the path of a unix server', () => {
  const endings: [string, (bytes: number) => string][] = [
    ['letters', (bytes) => 'x'.repeat(bytes)],
    ['characters of two bytes', (bytes) => 'é'.repeat(Math.floor(bytes / 2)) + 'x'.repeat(bytes % 2)],
    ['characters of four bytes', (bytes) => '🧦'.repeat(Math.floor(bytes / 4)) + 'x'.repeat(bytes % 4)],
  ];

  it.each(endings)('A4: a path may have 107 bytes, of %s', async (_kind, ending) => {
    const folder = await freshFolder();
    const path = join(folder, ending(107 - Buffer.byteLength(folder) - 1));
    expect(Buffer.byteLength(path)).toBe(107);
    await worksAt(path);
  });

  it('A4: a path may be a single name of 107 bytes', async () => {
    const folder = await freshFolder();
    workIn(folder);
    const path = 'é'.repeat(53) + 'x';
    await worksAt(path);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('A4: almost all of the 107 bytes of a path may be its folders', async () => {
    const folder = await freshFolder();
    const parent = join(folder, 'x'.repeat(107 - folder.length - 1 - 2));
    mkdirSync(parent);
    expect(join(parent, 's')).toHaveLength(107);
    await worksAt(join(parent, 's'));
  });

  it('A4: a path of 108 bytes is refused, and nothing is created', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'x'.repeat(107 - folder.length));
    expect(refusal(() => listen({ path })).code).toBe('ERR_ADDRESS_INVALID');
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each(['with space', '@at', '.hidden', '-dash', '"quoted"', '%2e', 'new\nline'])(
    'a socket file can have the name %j',
    async (name) => {
      const folder = await freshFolder();
      await worksAt(join(folder, name));
      expect(readdirSync(folder)).toEqual([]);
    },
  );

  it('a path can contain `.`, `..` and double slashes', async () => {
    const folder = await freshFolder();
    await worksAt(`${folder}/.//../${basename(folder)}/socket`);
  });

  it.each(['/', '.', '..', '/tmp/', '/tmp/.'])('a path to a folder is refused: %j', async (path) => {
    expect((await failure(path)).code).toBe('ERR_NOT_A_SOCKET');
  });
});

describe('the folder of a socket file', () => {
  it('S3: if the folder is missing, the error has the code ENOENT and names the folder', async () => {
    const folder = await freshFolder();
    for (const path of [
      join(folder, 'missing/socket'),
      join(folder, 'missing/'),
      join(folder, 'missing/deeper/socket'),
    ]) {
      const error = await failure(path);
      expect(error).toMatchObject({ code: 'ENOENT', address: { transport: 'unix', path } });
      expect(error.message).toContain(`"${path.slice(0, path.lastIndexOf('/') + 1)}"`);
    }
    expect(readdirSync(folder)).toEqual([]);
  });

  it('S3: if a relative folder is missing, the error names the folder as the address gives it', async () => {
    workIn(await freshFolder());
    expect((await failure('missing/socket')).message).toContain('"missing/"');
  });

  it('S3: if the folder is a plain file, the error has the code ENOTDIR', async () => {
    const folder = await freshFolder();
    writeFileSync(join(folder, 'file'), '');
    expect((await failure(join(folder, 'file/socket'))).code).toBe('ENOTDIR');
  });

  it.skipIf(!isRoot)('S3: a folder without write or search permission gives EACCES', { timeout: 40_000 }, async () => {
    const folder = await freshFolder();
    const server = await starter();
    await server.become(65_534);
    chmodSync(folder, 0o755);
    expect(await server.listen(join(folder, 'socket'))).toBe('EACCES');
    chmodSync(folder, 0o700);
    expect(await server.listen(join(folder, 'socket'))).toBe('EACCES');
    expect(readdirSync(folder)).toEqual([]);
  });

  it.skipIf(!isRoot)('a writable folder may be unreadable, for any umask', { timeout: 40_000 }, async () => {
    const folder = await freshFolder();
    chmodSync(folder, 0o733);
    const path = join(folder, 'socket');
    const server = await starter();
    await server.become(65_534);
    for (const umask of [0o022, 0o177, 0o777]) {
      await server.umask(umask);
      expect(await server.listen(path)).toBe('ok');
      expect(await listenerPid(path)).toBe(server.pid);
      await server.stop();
      expect(readdirSync(folder)).toEqual([]);
    }
  });

  it.skipIf(!isLinux)('a folder in which nothing can be created gives an error', async () => {
    expect((await failure('/proc/socket')).code).toMatch(/^(ENOENT|EACCES|EPERM|EROFS)$/);
  });
});

describe('a server at a path without a file', () => {
  it('S12: the server serves a client that connects in the turn of the subscription to the server', async () => {
    const path = join(await freshFolder(), 'socket');
    const server = listen({ path }).subscribe(({ data }) => data.subscribe(data));
    onTestFinished(() => server.unsubscribe());
    const client = connect({ path });
    const answer = firstValueFrom(client.data);
    client.data.next('hello');
    expect((await answer).toString()).toBe('hello');
  });

  it('S12: when subscribe returns, the folder contains only the socket file, with its mode', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    const server = listen({ path }, { mode: 0o640 });
    let isTold = false;
    server.listening.subscribe(() => {
      isTold = true;
    });
    const listening = firstValueFrom(server.listening);
    const subscription = server.subscribe();
    onTestFinished(() => subscription.unsubscribe());
    expect(statSync(path).mode & 0o777).toBe(0o640);
    expect(readdirSync(folder)).toEqual(['socket']);
    // As on every transport, nothing is emitted during the call of `subscribe`.
    expect(isTold).toBe(false);
    expect(await listening).toEqual({ transport: 'unix', path });
  });

  it('S1: if you unsubscribe in the turn of the subscription, the server removes its file at once, and the path is free again', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    for (let round = 0; round < 20; round++) {
      const subscription = listen({ path }).subscribe();
      expect(readdirSync(folder)).toEqual(['socket']);
      subscription.unsubscribe();
      expect(readdirSync(folder)).toEqual([]);
    }
    await worksAt(path);
  });

  it('S8: if two servers at one path are subscribed to in one turn, the first server listens, and the second server fails', async () => {
    const path = join(await freshFolder(), 'socket');
    expect(await Promise.all([outcome(path), outcome(path)])).toEqual(['ok', 'EADDRINUSE']);
  });

  it('S3: the server reports a failure only after `subscribe` has returned', async () => {
    const path = join(await freshFolder(), 'missing/socket');
    const codes: string[] = [];
    const ended = new Promise<void>((resolve) => {
      listen({ path }).subscribe({
        error: (error: unknown) => {
          codes.push((error as SocketError).code);
          resolve();
        },
      });
    });
    expect(codes).toEqual([]);
    await ended;
    expect(codes).toEqual(['ENOENT']);
  });
});

describe('a server whose start is given up or fails', () => {
  it('S1: a server leaves nothing behind if you unsubscribe in the turn of the subscription', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    const before = await openFiles();
    for (let round = 0; round < 20; round++) listen({ path }).subscribe().unsubscribe();
    await expect.poll(() => readdirSync(folder)).toEqual([]);
    await expect.poll(openFiles).toBe(before);
  });

  it('S1: a server leaves nothing behind if you unsubscribe after any number of turns', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    const before = await openFiles();
    for (let turns = 0; turns < 30; turns++) {
      if (turns % 2 === 1) await makeStale(path);
      const subscription = listen({ path }).subscribe();
      for (let turn = 0; turn < turns; turn++) await (turn % 3 === 0 ? new Promise(setImmediate) : undefined);
      subscription.unsubscribe();
      await expect.poll(() => readdirSync(folder).filter((name) => name !== 'socket')).toEqual([]);
      await worksAt(path);
    }
    await expect.poll(openFiles).toBe(before);
  });

  it.skipIf(!isLinux)(
    'S1: if you unsubscribe while the server waits for the lock, the server leaves the stale file and nothing else',
    async () => {
      const folder = await freshFolder();
      const path = join(folder, 'socket');
      await makeStale(path);
      const unlock = await lockOf(folder, 'socket');
      const before = await openFiles();
      const subscription = listen({ path }).subscribe();
      // The second entry is the server's private folder. It exists while the server waits for the lock.
      await expect.poll(() => readdirSync(folder)).toHaveLength(2);
      subscription.unsubscribe();
      await expect.poll(() => readdirSync(folder)).toEqual(['socket']);
      await expect.poll(openFiles).toBe(before);
      unlock();
      await worksAt(path);
    },
  );

  it('a server that fails to bind leaves nothing behind', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    await plainServer(path);
    const before = await openFiles();
    for (let round = 0; round < 5; round++) expect((await failure(path)).code).toBe('EADDRINUSE');
    expect(readdirSync(folder)).toEqual(['socket']);
    await expect.poll(openFiles).toBe(before);
  });
});

describe.skipIf(!isLinux)('a server with few free descriptors', () => {
  it('S3: with too few descriptors, the server fails with EMFILE and leaves nothing behind, and otherwise it listens', async () => {
    const folder = await freshFolder();
    const outcomes = await outcomesWithFew(join(folder, 'socket'));
    expect(outcomes).toEqual([...Array<string>(3).fill('EMFILE'), ...Array<string>(3).fill('ok')]);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe.skipIf(!isLinux)('the lock of a stale path', () => {
  it('S8: a server that waits for the lock continues when the lock is free', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    await makeStale(path);
    const unlock = await lockOf(folder, 'socket');
    const result = outcome(path);
    await expect.poll(() => readdirSync(folder)).toHaveLength(2);
    unlock();
    expect(await result).toBe('ok');
  });

  it('S8: a server stops waiting for the lock when another server listens at the path', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    await makeStale(path);
    await lockOf(folder, 'socket');
    const result = outcome(path);
    await expect.poll(() => readdirSync(folder)).toHaveLength(2);
    await plainServer(`${path}.new`);
    renameSync(`${path}.new`, path);
    expect(await result).toBe('EADDRINUSE');
  });

  it('S8: a lock that is never released only delays the start of a server', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    await makeStale(path);
    await lockOf(folder, 'socket');
    expect(await outcome(path)).toBe('ok');
    expect(readdirSync(folder)).toEqual(['socket']);
  });

  it('the lock is the same for all spellings of a path', async () => {
    const folder = await freshFolder();
    await makeStale(join(folder, 'socket'));
    const unlock = await lockOf(folder, 'socket');
    workIn(folder);
    const result = outcome('./socket');
    await expect.poll(() => readdirSync(folder)).toHaveLength(2);
    unlock();
    expect(await result).toBe('ok');
  });
});

describe.skipIf(!isLinux)('an abstract name', () => {
  it('S13: an abstract name needs no file, and is refused while another server uses the name', async () => {
    const address = `unix:@rxjs-sockets-test-${process.pid}`;
    const server = listen(address);
    const listening = firstValueFrom(server.listening);
    const subscription = server.subscribe();
    onTestFinished(() => subscription.unsubscribe());
    expect(await listening).toEqual({ transport: 'unix', path: address.replace('unix:@', '\0') });
    await expect(firstValueFrom(listen(address))).rejects.toMatchObject({ code: 'EADDRINUSE' });
    subscription.unsubscribe();
    await expect.poll(() => outcome(address.replace('unix:@', '\0'))).toBe('ok');
  });

  it('S13: a server at an abstract name is reachable in the turn of the subscription to the server', async () => {
    const address = `unix:@rxjs-sockets-test-${process.pid}-turn`;
    const server = listen(address).subscribe(({ data }) => data.subscribe(data));
    onTestFinished(() => server.unsubscribe());
    const client = connect(address);
    const answer = firstValueFrom(client.data);
    client.data.next('hello');
    expect(String(await answer)).toBe('hello');
  });

  it('S13: the option `mode` is refused for an abstract name', () => {
    const error = refusal(() => listen('unix:@rxjs-sockets-test', { mode: 0o600 }));
    expect(error.code).toBe('ERR_OPTION_INVALID');
    expect(error.message).toContain('mode');
  });

  it.each(['x'.repeat(107), 'é'.repeat(53) + 'x'])('A4: an abstract name may have 107 bytes: %s', async (name) => {
    const path = `\0${name}`;
    const listening = await outcome(path);
    expect(listening).toBe('ok');
    const socket = net.connect(path);
    await once(socket, 'close');
  });

  it.each(['x'.repeat(108), 'é'.repeat(54)])('A4: an abstract name must not have 108 bytes: %s', (name) => {
    for (const address of [`unix:@${name}`, { path: `\0${name}` }]) {
      expect(refusal(() => listen(address)).code).toBe('ERR_ADDRESS_INVALID');
      expect(refusal(() => connect(address)).code).toBe('ERR_ADDRESS_INVALID');
    }
  });
});

describe('the options of a socket file', () => {
  it.each([-1, 0o1000, 1.5, NaN, Infinity, '600', null])('A5: the value %j of mode is refused', (mode) => {
    const error = refusal(() => listen({ path: '/nowhere' }, { mode: mode as number }));
    expect(error.code).toBe('ERR_OPTION_INVALID');
    expect(error.message).toContain('mode');
  });

  it.each(['', 'Replace', true, null])('A5: the value %j of stale is refused', (stale) => {
    const error = refusal(() => listen({ path: '/nowhere' }, { stale: stale as 'fail' }));
    expect(error.code).toBe('ERR_OPTION_INVALID');
    expect(error.message).toContain('stale');
  });
});

/** Checks, with and without a stale file, that a server at the path can be reached and removes its file. */
async function worksAt(path: string): Promise<void> {
  for (const isStale of [false, true]) {
    if (isStale) await makeStale(path);
    const server = listen({ path });
    const listening = firstValueFrom(server.listening);
    const subscription = server.subscribe((connection) => connection.destroy());
    onTestFinished(() => subscription.unsubscribe());
    expect(await listening).toEqual({ transport: 'unix', path });
    await once(net.connect(path), 'close');
    subscription.unsubscribe();
    expect(existsSync(path)).toBe(false);
  }
}

async function failure(path: string): Promise<SocketError> {
  return started(path).then(
    () => {
      throw new Error('it listens');
    },
    (error: unknown) => error as SocketError,
  );
}

/** Takes the lock of a path, as another process does when it starts a server at this path. */
async function lockOf(folder: string, name: string): Promise<Unlock> {
  const { dev, ino } = statSync(folder, { bigint: true });
  const unlock = await tryLock(`${dev}:${ino}/${name}`);
  if (unlock === undefined) throw new Error('somebody has the lock');
  onTestFinished(unlock);
  return unlock;
}

async function openFiles(): Promise<number> {
  return readdirSync('/proc/self/fd').length;
}

/** Returns the results of listening at the path in a process with 0, 1, 2, … free descriptors. */
async function outcomesWithFew(path: string): Promise<string[]> {
  const program = fileURLToPath(
    new URL('../../../support/transport/node/unix/listen-with-few-descriptors.ts', import.meta.url),
  );
  const command = `ulimit -n 100; exec "${process.execPath}" --import tsx --conditions=rxjs-sockets-source "${program}" "${path}"`;
  const child = spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  let output = '';
  child.stdout.setEncoding('latin1').on('data', (text: string) => {
    output += text;
  });
  await once(child, 'close');
  return output.trim().split(' ');
}
