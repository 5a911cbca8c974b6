import { once } from 'node:events';
import net from 'node:net';
import { maxPathBytes } from '../../../address-parsing/parse-address.js';
import { nodeCrypto } from '../../lazy-builtins.js';

export type Unlock = () => void;

const shortages = new Set<unknown>(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM']);

/** Whether the cause of the error is that this system lacks a resource, such as memory. */
export function isShortage(cause: unknown): boolean {
  return shortages.has((cause as { code?: unknown } | undefined)?.code);
}

/**
 * Takes the lock called `key`. The lock is an abstract unix socket, so the kernel releases the lock when the process
 * that holds the lock dies. Abstract sockets exist only on Linux, are separate in each network namespace, and may be
 * forbidden by a security module. If abstract sockets are not available, this function locks nothing.
 *
 * @returns a function that releases the lock (if a lock was taken); `undefined` if this process or another process
 * already holds the lock
 */
export async function tryLock(key: string): Promise<Unlock | undefined> {
  if (process.platform !== 'linux') return nothing;
  const lock = net.createServer((socket) => {
    socket.destroy();
  });
  const listening = once(lock, 'listening');
  lock.listen({ path: nameOf(key), exclusive: true });
  try {
    await listening;
  } catch (cause) {
    if ((cause as { code?: unknown }).code === 'EADDRINUSE') return undefined;
    if (isShortage(cause)) throw cause;
    return nothing;
  }
  return () => {
    lock.close();
  };
}

/** Returns a name of the maximum length, because some versions of Node pad a shorter name. */
function nameOf(key: string): string {
  const hash = nodeCrypto().createHash('sha512').update(key).digest('hex');
  return `\0${`rxjs-sockets/${hash}`.slice(0, maxPathBytes)}`;
}

function nothing(): void {
  // Nothing was locked.
}
