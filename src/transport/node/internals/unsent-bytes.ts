/**
 * **What for**: how many bytes of the last write the kernel has not taken (C4).
 *
 * **How**: `socket._handle.writeQueueSize`, libuv's own count.
 *
 * **Where**: all versions of the CI matrix (Node 20.19 to 26).
 *
 * **Tried out**: at each use.
 *
 * **Without it**: `socket.writableLength`, which counts all of a write until the kernel has taken the whole of it. A socket of
 * TLS always uses that: its handle counts encrypted bytes.
 */
import type net from 'node:net';

/** Returns how many bytes libuv still has to write, where Node shows it. */
export function unsentBytes(socket: net.Socket): number | undefined {
  return (socket as { _handle?: { writeQueueSize?: number } | null })._handle?.writeQueueSize;
}
