/**
 * **What for**: the number of an accepted socket's file descriptor. A new descriptor gets the lowest free number, so a
 * high number shows, at no cost, that few are left (S15). The number also allows one more read at the end of a stream
 * (C8).
 *
 * **How**: `socket._handle.fd`.
 *
 * **Where**: all versions of the CI matrix (Node 20.19 to 26), except on Windows.
 *
 * **Tried out**: at each use; a negative number counts as none.
 *
 * **Without it**: the descriptor monitor opens a descriptor of its own from time to time. A reset right after the last
 * bytes counts as the end of the stream.
 */
import type net from 'node:net';

/** Returns the number of the socket's descriptor, if Node shows it. */
export function descriptorOf(socket: net.Socket): number | undefined {
  const fd = (socket as { _handle?: { fd?: number } | null })._handle?.fd;
  return fd === undefined || fd < 0 ? undefined : fd;
}
