import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, lstatSync, renameSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { AcceptGate } from '../../src/transport/node/internals/accept-gate.js';
import { freshFolder } from '../support/transport/places.js';
import { Caller } from './caller.js';
import { Program } from './program.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const node = ['--import', 'tsx', '--conditions=rxjs-sockets-source', 'examples/activated.ts'];

/** Starts a program, which is killed at the end of the test. */
function start(
  command: string,
  args: readonly string[],
  inherited?: number,
): { program: Program; child: ChildProcess } {
  const child = spawn(command, args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe', ...(inherited === undefined ? [] : [inherited])],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  return { program: new Program(child), child };
}

/** Opens a listening socket as systemd does. This process never accepts on the socket. The socket file stays. */
async function opened(where: { port: number; host: string } | { path: string }) {
  const server = net.createServer();
  const gate = new AcceptGate(server);
  gate.hold();
  server.listen('path' in where ? { path: `${where.path}.bound` } : where);
  await once(server, 'listening');
  gate.opened();
  onTestFinished(() => void server.close());
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
  if ('path' in where) {
    // When the server closes, Node removes the file at the name that was bound. So the file gets a different name.
    renameSync(`${where.path}.bound`, where.path);
    return { server, fd, address: `unix:${where.path}` };
  }
  return { server, fd, address: `tcp://127.0.0.1:${(server.address() as net.AddressInfo).port}` };
}

/** Starts the example as systemd does, with the socket `fd` as descriptor 3. */
const activated = (fd: number, environment = 'LISTEN_PID=$$ LISTEN_FDS=1', ...args: string[]) =>
  start('sh', ['-c', `${environment} exec "$0" "$@"`, process.execPath, ...node, ...args], fd);

describe.each(['tcp', 'unix'])('the example of socket activation on %s', (kind) => {
  const place = async () =>
    kind === 'tcp' ? { port: 0, host: '127.0.0.1' } : { path: join(await freshFolder(), 'socket') };

  test('S16: listens on the inherited socket, and does not remove the socket file', async () => {
    const { server, fd, address } = await opened(await place());
    const { program, child } = activated(fd);
    const [, reported] = await program.until(/^listening at (.+)$/m);
    expect(reported).toBe(kind === 'tcp' ? address : 'fd:3');
    server.close();
    const caller = await Caller.dial(address);
    await caller.say('hello\n');
    expect(await caller.hear()).toBe('HELLO');
    caller.hangUp();
    expect(await caller.hear()).toBeUndefined();
    child.kill('SIGTERM');
    expect(await program.ended, program.errors).toBe(0);
    if (kind === 'unix') expect(lstatSync(address.slice('unix:'.length)).isSocket()).toBe(true);
  });

  test('S16: serves clients that connected before the example started, or between two of its runs', async () => {
    const { fd, address } = await opened(await place());
    for (let round = 0; round < 2; round++) {
      const callers = await Promise.all([1, 2, 3].map(() => Caller.dial(address)));
      const { program } = activated(fd);
      for (const caller of callers) {
        await caller.say('early\n');
        expect(await caller.hear()).toBe('EARLY');
        caller.hangUp();
      }
      expect(await program.interrupt(), program.errors).toBe(0);
    }
  });
});

test('the example of socket activation ignores sockets that are meant for another process', async () => {
  const { fd } = await opened({ port: 0, host: '127.0.0.1' });
  const path = join(await freshFolder(), 'own');
  const { program } = activated(fd, 'LISTEN_PID=1 LISTEN_FDS=1', `unix:${path}`);
  expect((await program.until(/^listening at (.+)$/m))[1]).toBe(`unix:${path}`);
  expect(await program.interrupt()).toBe(0);
});

describe.skipIf(!hasSystemd())('the example under systemd-socket-activate', () => {
  test.each(['tcp', 'unix'])('S16: serves on the %s socket that systemd opens', async (kind) => {
    const path = join(await freshFolder(), 'socket');
    const { port } = await freePort();
    const where = kind === 'tcp' ? `127.0.0.1:${port}` : path;
    const address = kind === 'tcp' ? `tcp://127.0.0.1:${port}` : `unix:${path}`;
    const environment = ['-E', 'PATH'];
    const { program, child } = start('systemd-socket-activate', [
      ...environment,
      '-l',
      where,
      process.execPath,
      ...node,
    ]);
    await eventually(() => Caller.dial(address)).then(async (caller) => {
      await caller.say('hello\n');
      expect(await caller.hear()).toBe('HELLO');
      caller.hangUp();
      expect(await caller.hear()).toBeUndefined();
    });
    expect((await program.until(/^listening at (.+)$/m))[1]).toBe(address);
    child.kill('SIGTERM');
    expect(await program.ended, program.errors).toBe(0);
    if (kind === 'unix') expect(existsSync(path)).toBe(true);
  });
});

function hasSystemd(): boolean {
  try {
    execFileSync('systemd-socket-activate', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

async function freePort(): Promise<{ port: number }> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return { port };
}

/** Repeats `attempt` until a server listens. */
async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
