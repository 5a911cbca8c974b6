/**
 * **What for**: distinguishing an abort from an end. When a reset arrives right after the last bytes, libuv treats it
 * as the end of the stream and does not ask the kernel for the error, so the abort would look like a completion (C8).
 *
 * **How**: one more read from the socket's descriptor, whose number `descriptorOf` returns.
 *
 * **Where**: all versions of the CI matrix (Node 20.19 to 26), except on Windows.
 *
 * **Tried out**: at each use. An error that is not a connection error is ignored: it means only that the descriptor
 * cannot be read.
 *
 * **Without it**: such a reset counts as the end of the stream, as in plain Node.
 */
import { readSync } from 'node:fs';
import type net from 'node:net';
import { descriptorOf } from './descriptor.js';

const oneByte = Buffer.alloc(1);

/** The connection errors that the kernel keeps for the next read. */
const connectionErrors = new Set<unknown>([
  'ECONNABORTED',
  'ECONNRESET',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETUNREACH',
  'ENOPROTOOPT',
  'EPIPE',
  'EPROTO',
  'ETIMEDOUT',
]);

/**
 * Returns the error that the kernel keeps for a stream that has just ended, if it has one.
 *
 * @param socket - the plain socket; with TLS, the socket below it
 */
export function hiddenReset(socket: net.Socket): Error | undefined {
  const fd = descriptorOf(socket);
  if (fd === undefined) return undefined;
  try {
    readSync(fd, oneByte, 0, 1, null);
    return undefined;
  } catch (error) {
    return connectionErrors.has((error as NodeJS.ErrnoException).code) ? (error as Error) : undefined;
  }
}
