/**
 * **Purpose**: detects a reset that arrives right after the last bytes. libuv treats such a reset as the end of the
 * stream, and does not ask the kernel for the error. Without one more read, the aborted stream would look complete
 * (C8).
 *
 * **How**: reads once more from the socket's descriptor.
 *
 * **Versions**: all versions of the CI matrix (Node 20.19 to 26), except on Windows.
 *
 * **Check**: there is no test before the first use. Only connection errors count as a reset. If the descriptor cannot be
 * read, the read fails with a different error, which is ignored.
 *
 * **Without it**: a reset right after the last bytes counts as the end of the stream, as in plain Node.
 */
import { readSync } from 'node:fs';
import type net from 'node:net';
import { descriptorOf } from './descriptor.js';

const oneByte = Buffer.alloc(1);

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
 * Returns the error that ended the stream, or undefined if no error ended it. Call when the stream has ended.
 *
 * @param socket - the plain socket; with TLS, the socket below TLS
 */
export function hiddenReset(socket: net.Socket): Error | undefined {
  const fd = descriptorOf(socket);
  return fd === undefined ? undefined : resetOf(fd);
}

/** The same for the descriptor of a socket. */
export function resetOf(fd: number): Error | undefined {
  try {
    readSync(fd, oneByte, 0, 1, null);
    return undefined;
  } catch (error) {
    return connectionErrors.has((error as NodeJS.ErrnoException).code) ? (error as Error) : undefined;
  }
}
