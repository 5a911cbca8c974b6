/**
 * **What for**: the number of bytes of the last write that the kernel has not taken (C4).
 *
 * **How**: `socket._handle.writeQueueSize`, libuv's own count.
 *
 * **Where**: all versions of the CI matrix (Node 20.19 to 26).
 *
 * **Tried out**: at each use.
 *
 * **Without it**: `socket.writableLength`, which counts a write in full until the kernel has taken all of it. For a TLS
 * socket, `writableLength` is always used, because the socket's handle counts encrypted bytes.
 */
import type net from 'node:net';

/** Returns the number of bytes that libuv still has to write, if Node shows it. */
export function unsentBytes(socket: net.Socket): number | undefined {
  return (socket as { _handle?: { writeQueueSize?: number } | null })._handle?.writeQueueSize;
}
