import { spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { closeSync, existsSync, linkSync, openSync, readSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { firstValueFrom } from 'rxjs';
import { type Address, formatAddress, listen, parseAddress } from 'rxjs-sockets';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AcceptGate } from '../../src/transport/node/internals/accept-gate.js';
import { Program } from '../examples/program.js';
import '../support/leaks.js';
import { freshFolder, type Place, realPlaces } from '../support/transport/places.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { refusal } from '../support/errors/refusal.js';
import { readBytes } from '../support/sockets/read-socket.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const tsx = import.meta.resolve('tsx');
const heir = fileURLToPath(new URL('../support/transport/node/unix/listen-on-inherited.ts', import.meta.url));

/** Starts a process that inherits `fd` as its descriptor 3 and listens on that descriptor. */
function inheriting(fd: number, cwd = root): Program {
  const args = ['--import', tsx, '--conditions=rxjs-sockets-source', heir, 'fd:3'];
  const child = spawn(process.execPath, args, { cwd, stdio: ['ignore', 'pipe', 'pipe', fd] });
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'close');
  });
  return new Program(child);
}

const descriptor = (owner: unknown): number => (owner as { _handle: { fd: number } })._handle.fd;

/** Opens a socket that listens at `where` and accepts no client. `close` leaves the socket's file in place. */
async function openedAt(where: { port: number; host: string } | { path: string }): Promise<Opened> {
  const server = net.createServer();
  const gate = new AcceptGate(server);
  gate.hold();
  server.listen(where);
  await once(server, 'listening');
  gate.opened();
  const fd = descriptor(server);
  onTestFinished(() => void server.close());
  if ('port' in where) {
    const { port } = server.address() as net.AddressInfo;
    return { fd, close: () => void server.close(), address: { transport: 'tcp', host: '127.0.0.1', port } };
  }
  const close = (): void => {
    // When the server closes, Node removes the path to which the server is bound. A second link keeps the file.
    // The link is then renamed to that path.
    const kept = `${where.path}.kept`;
    const isFile = !where.path.startsWith('\0');
    if (isFile) linkSync(where.path, kept);
    server.close();
    if (isFile) renameSync(kept, where.path);
  };
  return { fd, close, address: parseAddress(where) };
}

interface Opened {
  readonly fd: number;
  readonly address: Address;
  close(): void;
}

async function opened(place: Place): Promise<Opened> {
  const where = (await place.address()) as { port: number } | { path: string };
  return openedAt('path' in where ? where : { port: 0, host: '127.0.0.1' });
}

describe.each(realPlaces.map((place) => [place.name, place] as const))('an inherited socket on %s', (_name, place) => {
  it('S16: the socket accepts clients, is closed together with the listener, and is never used again', async () => {
    const { fd, address, close } = await opened(place);
    const program = inheriting(fd);
    const listening = /^listening (.+)$/m;
    expect((await program.until(listening))[1]).toBe(formatAddress(address));
    close();
    const client = await rawClient(address);
    const local = client.localPort === undefined ? 'unix:' : `tcp://127.0.0.1:${client.localPort}`;
    client.write('hello');
    expect((await readBytes(client, 5)).toString()).toBe('hello');
    client.end();
    expect(await program.ended, program.errors).toBe(0);
    expect(program.lines.slice(1, 3)).toEqual([`client ${local} at ${formatAddress(address)}`, 'descriptor closed']);
    expect(program.lines[3]).toMatch(/^error EBADF listen at fd:3: .*closed when the server stopped/);
    // Descriptor 3 now belongs to a different listener, and the failed second subscription has not closed it.
    expect(program.lines.slice(4)).toEqual(['descriptor open', 'other 3 serves']);
    await expect(rawClient(address)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    if (address.transport === 'unix') expect(existsSync(address.path)).toBe(true);
  });

  it('S3: listening on a connected socket fails with EINVAL', async () => {
    const { address } = await opened(place);
    const client = await rawClient(address);
    const program = inheriting(descriptor(client));
    await program.ended;
    expect(program.lines[0]).toMatch(/^error EINVAL listen at fd:3: .*not a listening socket/);
    expect(program.lines[2]).toMatch(/^error EBADF/);
  });
});

describe('an inherited unix socket', () => {
  async function reportedBy(fd: number, cwd?: string): Promise<string | undefined> {
    const program = inheriting(fd, cwd);
    return (await program.until(/^listening (.+)$/m))[1];
  }

  it.each(['with a space', 'é€😀', '@at', "it's"])('S16: `listening` gives a path that contains %j', async (name) => {
    const { fd, address } = await openedAt({ path: join(await freshFolder(), name) });
    expect(await reportedBy(fd)).toBe(formatAddress(address));
  });

  it('S16: `listening` gives the abstract name of the socket', async () => {
    const name = `rxjs-sockets-${process.pid}`;
    const { fd } = await openedAt({ path: `\0${name}` });
    expect(await reportedBy(fd)).toBe(`unix:@${name}`);
  });

  it('S16: `listening` gives the descriptor if the file of the socket is gone or has been replaced', async () => {
    const path = join(await freshFolder(), 'socket');
    const { fd } = await openedAt({ path });
    renameSync(path, `${path}.renamed`);
    expect(await reportedBy(fd)).toBe('fd:3');
    writeFileSync(path, '');
    expect(await reportedBy(fd)).toBe('fd:3');
    unlinkSync(path);
    renameSync(`${path}.renamed`, path);
    expect(await reportedBy(fd)).toBe(`unix:${path}`);
  });

  it.each(['socket', '@socket'])('S16: `listening` gives the path %s only if it leads to the socket', async (name) => {
    const folder = await freshFolder();
    const before = process.cwd();
    process.chdir(folder);
    const { fd } = await openedAt({ path: name });
    process.chdir(before);
    // The name '@socket' is ambiguous, because it can also mean an abstract name.
    expect(await reportedBy(fd, folder)).toBe(name === 'socket' ? 'unix:socket' : 'fd:3');
    if (name === 'socket') expect(await reportedBy(fd)).toBe('fd:3');
    unlinkSync(join(folder, name));
  });
});

describe('a descriptor that is not a listening socket', () => {
  it('S3: listening on a closed descriptor fails with EBADF, and a new subscription tries to listen again', async () => {
    for (const address of [{ fd: 9_999 }, 'fd:9999', { transport: 'fd', fd: 9_999 }] as const) {
      const server = listen(address);
      for (let attempt = 0; attempt < 2; attempt++) {
        await expect(firstValueFrom(server)).rejects.toMatchObject({
          name: 'SocketError',
          code: 'EBADF',
          address: { transport: 'fd', fd: 9_999 },
        });
      }
    }
  });

  it('S3: listening on a file fails with ENOTSOCK, and the file stays open', async () => {
    const path = join(await freshFolder(), 'file');
    writeFileSync(path, 'precious');
    const fd = openSync(path, 'r');
    const server = listen({ fd });
    for (let attempt = 0; attempt < 2; attempt++) {
      await expect(firstValueFrom(server)).rejects.toMatchObject({
        code: 'ENOTSOCK',
        message: expect.stringContaining(`fd:${fd}`),
      });
    }
    const buffer = Buffer.alloc(8);
    readSync(fd, buffer);
    expect(buffer.toString()).toBe('precious');
    closeSync(fd);
  });

  it('S3: listening on a datagram socket fails with EINVAL', async () => {
    const socket = dgram.createSocket('udp4').bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const { fd } = Object.getOwnPropertySymbols(socket)
      .map((symbol) => (socket as unknown as Record<symbol, { handle?: { fd: number } }>)[symbol])
      .find((state) => state?.handle !== undefined)?.handle ?? { fd: -1 };
    await expect(firstValueFrom(listen({ fd }))).rejects.toMatchObject({ code: 'EINVAL' });
    socket.close();
  });

  it.each([-1, 1.5, NaN, 2 ** 31, '3' as unknown as number, null as unknown as number])(
    'A5: `listen` throws ERR_ADDRESS_INVALID for the descriptor %s',
    (fd) => {
      expect(refusal(() => listen({ fd }))).toMatchObject({ code: 'ERR_ADDRESS_INVALID' });
    },
  );
});
