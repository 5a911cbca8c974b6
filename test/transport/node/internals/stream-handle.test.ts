import { createHook } from 'node:async_hooks';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { promisify } from 'node:util';
import { firstValueFrom } from 'rxjs';
import { listen, nodeTransport, parseAddress } from 'rxjs-sockets';
import { toNodeStream } from 'rxjs-sockets/interop';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { HandleSocket } from '../../../../src/transport/node/handle-socket.js';
import { passesSelfTest, streamHandles } from '../../../../src/transport/node/internals/handle-self-test.js';
import {
  acceptHandles,
  findStreamHandles,
  type StreamHandles,
  type WriteRequest,
} from '../../../../src/transport/node/internals/stream-handle.js';
import { NodeSocket } from '../../../../src/transport/node/node-socket.js';
import type { TransportSocket } from '../../../../src/transport/transport.js';
import '../../../support/leaks.js';
import { settled, turns, until } from '../../../support/scheduling/event-loop.js';
import { rawClient, rawServer, rawSocket } from '../../../support/sockets/plain-sockets.js';
import { server as identity } from '../../../support/transport/node/tls/certificates.js';
import { listenerOptions } from '../../../support/transport/node/listener-options.js';
import { type Place, tcp, unix } from '../../../support/transport/places.js';

/** Replaces a property of `object` until the end of the test. */
function replace(object: object, name: string, value: unknown): void {
  const original = Object.getOwnPropertyDescriptor(object, name);
  Object.defineProperty(object, name, { configurable: true, writable: true, enumerable: true, value });
  onTestFinished(() => {
    if (original === undefined) Reflect.deleteProperty(object, name);
    else Object.defineProperty(object, name, original);
  });
}

/** The plain clients of `acceptedAt`, the newest first. */
const clients: net.Socket[] = [];

async function acceptedAt(place: Place, internals: boolean, options = {}): Promise<TransportSocket> {
  const address = await place.address();
  return new Promise((resolve, reject) => {
    const listener = nodeTransport({ internals }).listen(
      parseAddress(address),
      { ...listenerOptions, ...options },
      {
        onListening: (bound) => {
          const client = rawSocket(bound, true).on('error', () => undefined);
          clients.unshift(client);
          onTestFinished(() => {
            client.destroy();
          });
        },
        onConnection: resolve,
        onError: reject,
        onIncident: reject,
      },
    );
    onTestFinished(() => void listener.close());
  });
}

describe('stream handles', () => {
  it.each([tcp, unix])('carry accepted connections after the self-test, over $name', async (place) => {
    expect(await streamHandles()).toBeDefined();
    const socket = await acceptedAt(place, true);
    expect(socket).toBeInstanceOf(HandleSocket);
    socket.reset();
  });

  it.each([tcp, unix])('are not used with `internals: false`, over $name', async (place) => {
    const socket = await acceptedAt(place, false);
    expect(socket).toBeInstanceOf(NodeSocket);
    socket.reset();
  });

  it('are not used on a version of Node that CI does not test', () => {
    replace(process.versions, 'node', '23.5.0');
    expect(findStreamHandles()).toBeUndefined();
  });

  it.each(['darwin', 'win32'])('are not used on %s', (platform) => {
    replace(process, 'platform', platform);
    expect(findStreamHandles()).toBeUndefined();
  });

  it.each([
    ['--pending-deprecation', undefined],
    [undefined, '1'],
  ])(
    'are not used if Node would warn of `process.binding` (%s, NODE_PENDING_DEPRECATION=%s)',
    async (option, variable) => {
      const module = new URL('../../../../src/transport/node/internals/stream-handle.ts', import.meta.url);
      const program = `const { findStreamHandles } = await import('${module.href}'); console.log(findStreamHandles());`;
      const options = ['--import', import.meta.resolve('tsx'), ...(option === undefined ? [] : [option])];
      const env = { ...process.env, ...(variable === undefined ? {} : { NODE_PENDING_DEPRECATION: variable }) };
      const { stdout, stderr } = await promisify(execFile)(
        process.execPath,
        [...options, '--input-type=module', '--eval', program],
        { env },
      );
      expect(stdout).toBe('undefined\n');
      expect(stderr).not.toContain('DEP0111');
    },
  );

  it('are not used if the handles of a TCP server lack a method', async () => {
    const server = net.createServer().listen(0, '127.0.0.1');
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    replace((server as unknown as { _handle: object })._handle, 'reset', undefined);
    expect(
      acceptHandles(
        server,
        () => undefined,
        () => undefined,
      ),
    ).toBe(false);
  });

  it('are not used if `process.binding` throws, or lacks a request', () => {
    replace(process, 'binding', () => {
      throw new Error('ERR_ACCESS_DENIED');
    });
    expect(findStreamHandles()).toBeUndefined();
    replace(process, 'binding', () => ({ WriteWrap: Object }));
    expect(findStreamHandles()).toBeUndefined();
  });
});

describe('the self-test of stream handles', () => {
  const works = (): StreamHandles => {
    const handles = findStreamHandles();
    if (handles === undefined) throw new Error('there are no handles');
    return handles;
  };

  /** Working handles, except for one member. */
  const broken = (name: keyof StreamHandles, value: unknown): StreamHandles =>
    new Proxy(works(), {
      get: (handles, key) => {
        if (key === name) return value;
        const member: unknown = Reflect.get(handles, key, handles);
        return typeof member === 'function' ? (member as () => unknown).bind(handles) : member;
      },
    });

  it('passes on this version of Node', async () => {
    expect(await passesSelfTest(works())).toBe(true);
  });

  it.each([
    ['a wrong length of a chunk', 'readResult', 3],
    ['every write is said to be complete', 'isWriteQueued', false],
    ['every write is said to be queued', 'isWriteQueued', true],
  ] as const)('fails if %s', async (_, name, value) => {
    expect(await passesSelfTest(broken(name, value))).toBe(false);
  });

  it('fails if the request of a write never completes, but not because the event loop was busy', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const newWrite = (): WriteRequest =>
      Object.defineProperty(works().newWrite(), 'oncomplete', { get: () => undefined, set: () => undefined });
    const result = passesSelfTest(broken('newWrite', newWrite));
    let isOver = false;
    void result.then(() => (isOver = true));
    vi.advanceTimersByTime(1_000);
    await settled();
    expect(isOver).toBe(false);
    vi.advanceTimersByTime(1_000);
    expect(await result).toBe(false);
  });

  it('passes after the event loop was busy for longer than the limit', async () => {
    const result = passesSelfTest(works());
    for (const until = Date.now() + 1_100; Date.now() < until;);
    expect(await result).toBe(true);
  });
});

describe('an accepted handle', () => {
  it.each([tcp, unix])('C4: does not count a write that fails at once as sent, over $name', async (place) => {
    const closed: unknown[] = [];
    const socket = await acceptedAt(place, true);
    socket.open({
      onData: () => undefined,
      onEnd: () => undefined,
      onDrain: () => undefined,
      onClose: (error) => closed.push(error?.code),
    });
    socket.pause();
    const [client] = clients;
    client!.destroy();
    await once(client!, 'close');
    // Over TCP, the first write makes the peer's kernel answer with a reset.
    while (socket.write('x', 'latin1')) await turns(1);
    expect(socket.unsent).toBe(Infinity);
    expect(closed).toEqual([]);
    await until(() => closed.length === 1);
    expect(closed).toEqual([expect.stringMatching(/EPIPE|ECONNRESET/)]);
  });

  it.each([
    [5_000, '02'],
    [0, '00'],
  ])('S1: has the keepAlive of its listener in the kernel (%i ms, timer %s)', async (keepAlive, timer) => {
    const socket = await acceptedAt(tcp, true, { keepAlive });
    const { local, remote } = socket as { local: { port: number }; remote: { port: number } };
    const hex = (port: number): string => port.toString(16).toUpperCase().padStart(4, '0');
    const line = readFileSync('/proc/net/tcp', 'latin1')
      .split('\n')
      .find((text) => text.includes(`:${hex(local.port)} 0100007F:${hex(remote.port)} `));
    const [active, ticks = ''] = line?.trim().split(/\s+/)[5]?.split(':') ?? [];
    expect(active).toBe(timer);
    // The kernel counts 100 ticks a second.
    expect(parseInt(ticks, 16)).toBeLessThanOrEqual(keepAlive / 10);
    socket.reset();
  });

  it('S1: gets the options noDelay and keepAlive, and keeps what controls have changed after startTls', async () => {
    const calls: unknown[] = [];
    const client = await rawClient(await rawServer(tcp, () => undefined));
    const prototype = Object.getPrototypeOf((client as unknown as { _handle: object })._handle) as Record<
      string,
      (...args: unknown[]) => number
    >;
    for (const name of ['setNoDelay', 'setKeepAlive']) {
      const original = prototype[name]!;
      replace(prototype, name, function (this: unknown, ...args: unknown[]) {
        calls.push([name, ...args]);
        return original.apply(this, args);
      });
    }
    const socket = await acceptedAt(tcp, true, { noDelay: true, keepAlive: 5_000 });
    expect(calls.slice(0, 2)).toEqual([
      ['setNoDelay', true],
      ['setKeepAlive', true, 5],
    ]);
    socket.open({
      onData: () => undefined,
      onEnd: () => undefined,
      onDrain: () => undefined,
      onClose: () => undefined,
    });
    socket.controls?.setKeepAlive(true, 0);
    const start = socket.startTls?.(identity);
    start?.(() => undefined);
    calls.length = 0;
    socket.controls?.setNoDelay(false);
    socket.controls?.setKeepAlive(false, 0);
    // Newer versions of Node pass more arguments.
    expect(calls.map((call) => (call as unknown[]).slice(0, 2))).toEqual([
      ['setNoDelay', false],
      ['setKeepAlive', false],
    ]);
    socket.reset();
  });

  it('I2: switches an option on for each truthy value of a stream, as `net.Socket` does', async () => {
    const calls = [vi.spyOn(HandleSocket.prototype, 'setNoDelay'), vi.spyOn(HandleSocket.prototype, 'setKeepAlive')];
    onTestFinished(() => {
      for (const call of calls) call.mockRestore();
    });
    const server = listen('tcp://127.0.0.1:0');
    const connection = firstValueFrom(server);
    const client = rawSocket(await firstValueFrom(server.listening), true);
    onTestFinished(() => void client.destroy());
    const stream = toNodeStream((await connection).data);
    stream.setNoDelay(1 as never).setKeepAlive('yes' as never);
    expect(calls.map((call) => call.mock.lastCall?.[0])).toEqual([true, true]);
    stream.destroy();
  });

  it('writes on another socket within an async hook of a queued write', async () => {
    const [first, second] = [await acceptedAt(unix, true), await acceptedAt(unix, true)];
    let isWritten = false;
    const hook = createHook({
      init: (_, type) => {
        if (type !== 'WRITEWRAP' || isWritten) return;
        isWritten = true;
        second.write(Buffer.alloc(1 << 20), 'latin1');
      },
    }).enable();
    onTestFinished(() => void hook.disable());
    expect(first.write(Buffer.alloc(4 << 20), 'latin1')).toBe(false);
    expect(isWritten).toBe(true);
    first.reset();
    second.reset();
  });
});
