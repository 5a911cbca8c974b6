import net from 'node:net';
import { onTestFinished } from 'vitest';
import { HandleSocket } from '../../../src/transport/node/handle-socket.js';
import { MemorySocket } from '../../../src/transport/memory/memory-socket.js';

type Method = (...args: never[]) => unknown;

/**
 * Counts the writes to the kernel, or to the pipe of the memory transport, until the end of the test. Each `_write` and
 * each `_writev` of a `net.Socket` is one system call.
 */
export function countWrites(onWrite: () => void = () => undefined): { readonly count: number } {
  const counter = { count: 0 };
  const count = <T extends object>(prototype: T, name: string, counts: (socket: T) => boolean = () => true): void => {
    const methods = prototype as unknown as Record<string, Method>;
    const original = methods[name]!;
    methods[name] = function (this: T, ...args: never[]): unknown {
      if (counts(this)) {
        counter.count++;
        onWrite();
      }
      return original.apply(this, args);
    };
    onTestFinished(() => {
      methods[name] = original;
    });
  };
  count(net.Socket.prototype, '_write');
  count(net.Socket.prototype, '_writev');
  // After `startTls`, a HandleSocket writes to a `net.Socket`, and is not counted again.
  count(HandleSocket.prototype, 'write', ({ tls }: HandleSocket) => tls === undefined);
  count(HandleSocket.prototype, 'writeAll', ({ tls }: HandleSocket) => tls === undefined);
  count(MemorySocket.prototype, 'writeAll');
  return counter;
}
