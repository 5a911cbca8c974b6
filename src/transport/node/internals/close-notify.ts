/**
 * **What for**: distinguishing a stream that the peer has ended with a close_notify from a stream that a FIN has cut
 * off. An attacker on the network can forge a FIN (T5). Node reports both ends as `'end'`.
 *
 * **How**: after a close_notify, libuv still reads the socket below TLS; after a FIN it has stopped. The return value
 * of `readStart` of `tlsSocket._handle._parent` shows whether libuv was already reading. `readStart` is called when
 * Node reports the end, in `push(null)`, before any other event can arrive.
 *
 * **Where**: all versions of the CI matrix (Node 20.19 to 26).
 *
 * **Tried out**: right after the handshake and with each chunk, when the socket is known to read. The result at the end
 * counts only if `readStart` has reported correctly before, because on some runtimes it always returns the same value.
 *
 * **Without it**: every end counts as a close_notify, as in plain Node.
 */
import type { TLSSocket } from 'node:tls';

/** The end of the stream of a TLS socket. */
export interface TlsStreamEnd {
  /** Whether a FIN arrived without a close_notify. */
  readonly isTruncated: boolean;
}

/** Used for sockets whose end cannot be examined: their streams never count as truncated. */
export const neverTruncated: TlsStreamEnd = Object.freeze({ isTruncated: false });

interface TlsHandle {
  readonly reading?: boolean;
  /** The socket that TLS reads from. */
  readonly _parent?: { readStart?(): number };
}

/** The return values of `readStart` if libuv is already reading: EALREADY on Linux, Windows and macOS. */
const alreadyReading = new Set([-114, -4084, -37]);

/**
 * Watches for the end of a stream.
 *
 * @param socket - a socket whose handshake has just finished, and whose stream has not ended
 * @returns an object whose `isTruncated` is valid from the `'end'` event on
 */
export function watchTlsEnd(socket: TLSSocket): TlsStreamEnd {
  const end = { isTruncated: false };
  const push = socket.push.bind(socket);
  let isReliable = readsBelow(socket) === true;
  socket.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk === null) end.isTruncated = isReliable && readsBelow(socket) === false;
    else isReliable ||= readsBelow(socket) === true;
    return push(chunk, encoding);
  };
  return end;
}

/** Whether libuv reads the socket below TLS; `undefined` if that is unknown. */
function readsBelow(socket: TLSSocket): boolean | undefined {
  const handle = (socket as unknown as { _handle?: TlsHandle | null })._handle;
  // `readStart` would start a socket that has stopped reading, so it is not called for such a socket.
  if (handle?.reading !== true) return undefined;
  const answer = handle._parent?.readStart?.();
  return answer === undefined ? undefined : alreadyReading.has(answer);
}
