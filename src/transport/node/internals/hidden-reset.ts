import { readSync } from 'node:fs';
import type net from 'node:net';

const nothing = Buffer.alloc(1);

/**
 * The errors of a connection that the kernel keeps for the next read. Any other error says that the descriptor can't be
 * read, as on a runtime whose handles have numbers that are not the system's, and nothing about the connection.
 */
const ofConnections = new Set<unknown>([
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

let accepted = 0;

/** A client was accepted: whatever is told of another socket next, the event loop has looked at it anew. */
export function countAccepted(): void {
  accepted = (accepted + 1) % 0x40_00_00_00;
}

/** How many were accepted so far, by whatever server. */
export function acceptedSoFar(): number {
  return accepted;
}

/**
 * Finds the reset that the end of a stream may hide. Where a reset comes right behind the last bytes, libuv takes the
 * hang-up for the end as soon as it has read those bytes, and never asks the kernel how it came about: an abort would
 * look like a completion (C8). One more read of the descriptor tells. Where there is none, Node is believed. It is in
 * vain where a client was accepted between the last bytes and the end: then the end was read by itself.
 *
 * @param socket - one that has just told `'end'`, and that reads what is on the wire itself, so none of TLS
 */
export function hiddenReset(socket: net.Socket): Error | undefined {
  const fd = (socket as { _handle?: { fd?: number } | null })._handle?.fd;
  if (fd === undefined || fd < 0) return undefined;
  try {
    readSync(fd, nothing, 0, 1, null);
    return undefined;
  } catch (error) {
    return ofConnections.has((error as NodeJS.ErrnoException).code) ? (error as Error) : undefined;
  }
}
