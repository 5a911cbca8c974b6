import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import '../../../support/leaks.js';
import { freshFolder } from '../../../support/transport/places.js';
import {
  fingerprint,
  makeStale,
  outcome,
  plainServer,
  started,
  workIn,
} from '../../../support/transport/node/unix/socket-files.js';
import { listenerPid } from '../../../support/transport/node/unix/listener-process.js';

// This platform has neither /proc nor abstract names, so the server keeps no folder open and takes no lock. The longest
// path is shorter than on Linux.
vi.hoisted(() => Object.defineProperty(process, 'platform', { value: 'freebsd' }));

describe('a socket file on a system other than Linux', () => {
  it('S8: a server replaces a stale socket file, and removes its own socket file when it stops', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    await makeStale(path);
    const stop = await started(path, { mode: 0o640 });
    expect(lstatSync(path).mode & 0o777).toBe(0o640);
    expect(readdirSync(folder)).toEqual(['socket']);
    stop();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('S8: if several servers of one process start at one path, exactly one server listens', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    await makeStale(path);
    const answers = await Promise.all([outcome(path), outcome(path)]);
    expect(answers.toSorted()).toEqual(['EADDRINUSE', 'ok']);
    expect(readdirSync(folder)).toEqual(['socket']);
  });

  it('S8: a path is refused if a server listens at it, or if the file at the path is not a socket', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    await plainServer(path);
    mkdirSync(`${path}.folder`);
    const before = [fingerprint(path), fingerprint(`${path}.folder`)];
    expect(await outcome(path)).toBe('EADDRINUSE');
    expect(await outcome(`${path}.folder`)).toBe('ERR_NOT_A_SOCKET');
    expect(await outcome(`${path}.folder/`)).toBe('ERR_NOT_A_SOCKET');
    expect([fingerprint(path), fingerprint(`${path}.folder`)]).toEqual(before);
    expect(await listenerPid(path)).toBe(process.pid);
  });

  it('S8: if a plain file has replaced the socket file, the plain file is left in place', async () => {
    const path = join(await freshFolder(), 'socket');
    const stop = await started(path);
    writeFileSync(`${path}.new`, 'precious');
    renameSync(`${path}.new`, path);
    stop();
    expect(readFileSync(path, 'utf8')).toBe('precious');
  });

  it('S8: a relative path is resolved in the working folder at the subscription', async () => {
    const folder = await freshFolder();
    workIn(folder);
    const starting = started('socket');
    process.chdir('/');
    const stop = await starting;
    expect(readdirSync(folder)).toEqual(['socket']);
    stop();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('S3: the error is ENOENT if the folder is missing, and ENOTDIR if the folder is a plain file', async () => {
    const folder = await freshFolder();
    writeFileSync(join(folder, 'file'), '');
    expect(await outcome(join(folder, 'missing/socket'))).toBe('ENOENT');
    expect(await outcome(join(folder, 'file/socket'))).toBe('ENOTDIR');
  });

  it('A4: a path may have the longest length that the system allows, unless the name of the socket file is very short', async () => {
    const folder = await freshFolder();
    const long = join(folder, 'x'.repeat(103 - folder.length - 1));
    const stop = await started(long);
    stop();

    const parent = join(folder, 'x'.repeat(103 - folder.length - 3));
    mkdirSync(parent);
    expect(await outcome(join(parent, 's'))).toBe('ENAMETOOLONG');
    expect(readdirSync(parent)).toEqual([]);
    // Relative to the folder, the path of the socket file is short.
    workIn(parent);
    expect(await outcome('s')).toBe('ok');
  });
});
