/**
 * **Purpose**: gets the file descriptor of a socket. A descriptor with a high number shows that few descriptors are
 * still free (S15). With the descriptor, the library can also read once more at the end of a stream (C8).
 *
 * **How**: `socket._handle.fd`.
 *
 * **Versions**: all versions of the CI matrix (Node 20.19 to 26), except on Windows.
 *
 * **Check**: each use first tests whether the property exists. A negative number counts as no descriptor.
 *
 * **Without it**: the descriptor monitor relies on its own probes. A reset right after the last bytes counts as the end
 * of the stream.
 */
import type net from 'node:net';

export function descriptorOf(socket: net.Socket): number | undefined {
  const fd = (socket as { _handle?: { fd?: number } | null })._handle?.fd;
  return fd === undefined || fd < 0 ? undefined : fd;
}
