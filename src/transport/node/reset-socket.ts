import type net from 'node:net';

/**
 * Resets a TCP socket, and closes any other socket. While libuv is sending the FIN of a TCP socket, a reset would fail
 * with EINVAL, and no `'close'` would follow. So this function first waits until the FIN has been sent. Usually the
 * kernel takes the FIN within one turn.
 *
 * @param raw - the socket without TLS
 * @param socket - `raw`, or the TLS socket on top of `raw`
 * @param patience - the maximum number of turns to wait for the FIN
 */
export function resetSocket(raw: net.Socket, socket: net.Socket, patience = 2): void {
  const isTcp = raw.remoteFamily !== undefined && !raw.destroyed;
  const isEnding = socket.writableEnded;
  if (isTcp && isEnding && !socket.writableFinished && patience > 0) {
    setImmediate(() => {
      resetSocket(raw, socket, patience - 1);
    });
    return;
  }
  // If the FIN is still unfinished, a reset would fail. If both sides have finished, the peer has everything, so no
  // reset is needed.
  if (isTcp && (!isEnding || (socket.writableFinished && !socket.readableEnded))) raw.resetAndDestroy();
  socket.destroy();
  raw.destroy();
}
