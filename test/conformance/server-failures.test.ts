import { chmodSync, existsSync, lstatSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { firstValueFrom, from, lastValueFrom, retry } from 'rxjs';
import { SocketError } from 'rxjs-sockets';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { settled } from '../support/scheduling/event-loop.js';
import { freshFolder, tcp, unix } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { rawClient, rawServer } from '../support/sockets/plain-sockets.js';
import { listenAt, dialling, everywhere } from '../support/server/listening-servers.js';

describe.each(everywhere)('a server on %s', (_name, place) => {
  it('S3: binding an address in use fails with an error that has the code EADDRINUSE and the address', async () => {
    const { address } = await serverAt(place, () => undefined);
    const server = listenAt(place, address);
    const error = await firstValueFrom(server).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(SocketError);
    expect(error).toMatchObject({ code: 'EADDRINUSE', address });
    expect(await dialling(place, address)).toBe('connected');
    if (address.transport === 'unix') expect(lstatSync(address.path).isSocket()).toBe(true);
  });

  it('S3: if binding fails, every subscriber gets an error notification', async () => {
    const { address } = await serverAt(place, () => undefined);
    const server = listenAt(place, address);
    const codes = await Promise.all(
      [1, 2, 3].map(() => firstValueFrom(server).catch((reason: unknown) => (reason as SocketError).code)),
    );
    expect(codes).toEqual(['EADDRINUSE', 'EADDRINUSE', 'EADDRINUSE']);
  });

  it('S3: after a failed bind, a new subscription binds again', async () => {
    const owner = await serverAt(place, () => undefined);
    const server = listenAt(place, owner.address);
    await expect(firstValueFrom(server)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await expect(firstValueFrom(server)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    owner.subscription.unsubscribe();
    const subscription = server.subscribe();
    onTestFinished(() => subscription.unsubscribe());
    expect(await firstValueFrom(server.listening)).toEqual(owner.address);
  });

  it('S3: after a failed bind, `retry` makes the server bind again', async () => {
    const owner = await serverAt(place, () => undefined);
    const server = listenAt(place, owner.address);
    const failures: string[] = [];
    const subscription = server
      .pipe(
        retry({
          count: 3,
          delay: (error: SocketError) => {
            failures.push(error.code);
            if (failures.length === 3) owner.subscription.unsubscribe();
            return from([0]);
          },
        }),
      )
      .subscribe();
    onTestFinished(() => subscription.unsubscribe());
    expect(await lastValueFrom(server.listening, { defaultValue: 'failed' })).toBe('failed');
    while (failures.length < 3) await settled();
    expect(await firstValueFrom(server.listening)).toEqual(owner.address);
    expect(failures).toEqual(['EADDRINUSE', 'EADDRINUSE', 'EADDRINUSE']);
  });
});

describe('a server on real sockets', () => {
  it('S3: binding in a missing folder fails with an error that has the code ENOENT and the path', async () => {
    const path = join(await freshFolder(), 'missing', 'socket');
    const server = listenAt(tcp, { path });
    await expect(firstValueFrom(server)).rejects.toMatchObject({
      code: 'ENOENT',
      address: { transport: 'unix', path },
      message: expect.stringContaining(path),
    });
    expect(existsSync(path)).toBe(false);
  });

  it('S3: binding in a folder without write permission fails with EACCES', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    chmodSync(folder, 0o555);
    const isRoot = process.geteuid?.() === 0;
    // Root can write to every folder, so the test binds as a different user.
    if (isRoot) process.seteuid?.(65_534);
    onTestFinished(() => {
      if (isRoot) process.seteuid?.(0);
      chmodSync(folder, 0o755);
    });
    const server = listenAt(tcp, { path });
    await expect(firstValueFrom(server)).rejects.toMatchObject({
      code: 'EACCES',
      address: { transport: 'unix', path },
    });
  });

  it('S3: binding an address of a different machine fails with EADDRNOTAVAIL', async () => {
    const server = listenAt(tcp, 'tcp://192.0.2.1:0');
    await expect(firstValueFrom(server)).rejects.toMatchObject({
      code: 'EADDRNOTAVAIL',
      address: { transport: 'tcp', host: '192.0.2.1', port: 0 },
    });
  });

  it('S3: binding an unknown name fails with an error notification', async () => {
    const server = listenAt(tcp, 'tcp://no-such-host.invalid:0');
    const error = await firstValueFrom(server).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(SocketError);
    expect(['ENOTFOUND', 'EAI_AGAIN']).toContain((error as SocketError).code);
  });

  it('S3: binding a path on which a plain server listens fails with EADDRINUSE, and the plain server keeps its file', async () => {
    const address = await rawServer(unix, () => undefined);
    const server = listenAt(tcp, address);
    await expect(firstValueFrom(server)).rejects.toMatchObject({ code: 'EADDRINUSE', address });
    await rawClient(address);
  });

  it.each<[string, (path: string) => void]>([
    ['a file', (path) => writeFileSync(path, 'precious')],
    ['a folder', (path) => mkdirSync(path)],
    ['a symbolic link to nothing', (path) => symlinkSync('/nowhere', path)],
    ['a symbolic link to a file', (path) => symlinkSync('/etc/hostname', path)],
  ])('S3: %s at the path makes binding fail with ERR_NOT_A_SOCKET, and is left in place', async (_what, make) => {
    const path = join(await freshFolder(), 'socket');
    make(path);
    const before = lstatSync(path);
    const server = listenAt(unix, { path });
    await expect(firstValueFrom(server)).rejects.toMatchObject({
      code: 'ERR_NOT_A_SOCKET',
      address: { transport: 'unix', path },
    });
    expect(lstatSync(path)).toMatchObject({ ino: before.ino, mode: before.mode, mtimeMs: before.mtimeMs });
  });
});
