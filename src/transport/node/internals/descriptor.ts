/**
 * **What for**: the number of an accepted socket's file descriptor. New descriptors get the lowest free number, so it shows
 * at no cost how many are in use (S15); and the descriptor can be read once more at the end of a stream (C8).
 *
 * **How**: `socket._handle.fd`.
 *
 * **Where**: all versions of the CI matrix (Node 20.19 to 26), except on Windows.
 *
 * **Tried out**: at each use; a number below 0 counts as none.
 *
 * **Without it**: the descriptor monitor opens a descriptor of its own from time to time, and a reset right behind the last
 * bytes counts as the end of the stream.
 */
import type net from 'node:net';

/** Returns the number of the socket's descriptor, where Node shows it. */
export function descriptorOf(socket: net.Socket): number | undefined {
  const fd = (socket as { _handle?: { fd?: number } | null })._handle?.fd;
  return fd === undefined || fd < 0 ? undefined : fd;
}
