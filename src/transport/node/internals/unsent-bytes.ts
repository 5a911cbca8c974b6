/**
 * **Purpose**: gets the number of bytes of the last write that the kernel has not taken (C4).
 *
 * **How**: `socket._handle.writeQueueSize`, libuv's own count.
 *
 * **Versions**: all versions of the CI matrix (Node 20.19 to 26).
 *
 * **Check**: each use first tests whether the property exists.
 *
 * **Without it**: the library uses `socket.writableLength`, which counts a write in full until the kernel has taken the
 * whole write.
 */
import type net from 'node:net';

export function unsentBytes(socket: net.Socket): number | undefined {
  return (socket as { _handle?: { writeQueueSize?: number } | null })._handle?.writeQueueSize;
}
