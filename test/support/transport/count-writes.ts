import net from 'node:net';
import { onTestFinished } from 'vitest';
import { MemorySocket } from '../../../src/transport/memory/memory-socket.js';

type Method = (...args: never[]) => unknown;

/**
 * Counts the writes to the kernel, or to the pipe of the memory transport, until the end of the test. Each `_write` and
 * each `_writev` of a `net.Socket` is one system call.
 */
export function countWrites(onWrite: () => void = () => undefined): { readonly count: number } {
  const counter = { count: 0 };
  const count = (prototype: object, name: string): void => {
    const methods = prototype as Record<string, Method>;
    const original = methods[name]!;
    methods[name] = function (this: unknown, ...args: never[]): unknown {
      counter.count++;
      onWrite();
      return original.apply(this, args);
    };
    onTestFinished(() => {
      methods[name] = original;
    });
  };
  count(net.Socket.prototype, '_write');
  count(net.Socket.prototype, '_writev');
  count(MemorySocket.prototype, 'writeAll');
  return counter;
}
