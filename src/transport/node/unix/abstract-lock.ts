import { once } from 'node:events';
import net from 'node:net';
import { maxPathBytes } from '../../../address-parsing/parse-address.js';
import { nodeCrypto } from '../../lazy-builtins.js';

/** Gives a lock back. */
export type Unlock = () => void;

const shortages = new Set<unknown>(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM']);

/** Whether an error tells that the process lacks something, rather than how things stand elsewhere. */
export function isShortage(cause: unknown): boolean {
  return shortages.has((cause as { code?: unknown } | undefined)?.code);
}

/**
 * Takes the lock called `key`, or gives `undefined` where another process, or another part of this one, has it. It is an
 * abstract unix socket, so the kernel gives it back when its holder dies. Only Linux has those, each network namespace
 * its own, and a security module may forbid them: then nothing is locked, and the answer is the same.
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

/** As long as a name can be: releases of Node differ in whether they pad a shorter one. */
function nameOf(key: string): string {
  const hash = nodeCrypto().createHash('sha512').update(key).digest('hex');
  return `\0${`rxjs-sockets/${hash}`.slice(0, maxPathBytes)}`;
}

function nothing(): void {
  // Nothing was locked.
}
