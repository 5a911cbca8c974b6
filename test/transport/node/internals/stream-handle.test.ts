import { nodeTransport, parseAddress } from 'rxjs-sockets';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { HandleSocket } from '../../../../src/transport/node/handle-socket.js';
import { passesSelfTest, streamHandles } from '../../../../src/transport/node/internals/handle-self-test.js';
import { findStreamHandles, type StreamHandles } from '../../../../src/transport/node/internals/stream-handle.js';
import { NodeSocket } from '../../../../src/transport/node/node-socket.js';
import type { TransportSocket } from '../../../../src/transport/transport.js';
import '../../../support/leaks.js';
import { rawSocket } from '../../../support/sockets/plain-sockets.js';
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

async function acceptedAt(place: Place, internals: boolean): Promise<TransportSocket> {
  const address = await place.address();
  return new Promise((resolve, reject) => {
    const listener = nodeTransport({ internals }).listen(parseAddress(address), listenerOptions, {
      onListening: (bound) => {
        const client = rawSocket(bound, true).on('error', () => undefined);
        onTestFinished(() => {
          client.destroy();
        });
      },
      onConnection: resolve,
      onError: reject,
      onIncident: reject,
    });
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

  it('are not used if Node would warn of `process.binding`', () => {
    replace(process, 'execArgv', ['--pending-deprecation']);
    expect(findStreamHandles()).toBeUndefined();
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

  it('fails if a handle never calls back', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const silent = broken('readResult', 0);
    const result = passesSelfTest(silent);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await result).toBe(false);
  });
});
