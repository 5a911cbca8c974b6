/**
 * **Purpose**: detects a TLS stream that ends with a FIN but without a close_notify. An attacker on the network can
 * forge a FIN (T5). For a FIN without a close_notify, Node reports `'end'`, as for a complete stream.
 *
 * **How**: after a close_notify, libuv is still reading the socket below TLS. After a FIN, libuv has stopped reading.
 * When Node reports the end, in `push(null)`, the library calls `readStart` of `tlsSocket._handle._parent`. The return
 * value of `readStart` shows whether libuv was already reading.
 *
 * **Versions**: all versions of the CI matrix (Node 20.19 to 26).
 *
 * **Check**: right after the handshake and with each chunk, libuv is certainly reading. The result at the end counts
 * only if `readStart` has shown at least once that libuv is reading, because on some runtimes `readStart` always
 * returns the same value.
 *
 * **Without it**: every end counts as a close_notify, as in plain Node.
 */
import type { TLSSocket } from 'node:tls';

export interface TlsStreamEnd {
  /** Whether a FIN arrived without a close_notify. */
  readonly isTruncated: boolean;
}

/** The result for sockets whose end cannot be examined. */
export const neverTruncated: TlsStreamEnd = Object.freeze({ isTruncated: false });

interface TlsHandle {
  readonly reading?: boolean;
  /** The socket that TLS reads from. */
  readonly _parent?: { readStart?(): number };
}

/** The return values of `readStart` if libuv is already reading: EALREADY on Linux, Windows and macOS. */
const alreadyReading = new Set([-114, -4084, -37]);

/**
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

/** Whether libuv reads the socket below TLS; `undefined` if the answer is unknown. */
function readsBelow(socket: TLSSocket): boolean | undefined {
  const handle = (socket as unknown as { _handle?: TlsHandle | null })._handle;
  // `readStart` would start a socket that has stopped reading, so `readStart` is not called for a socket that has
  // stopped.
  if (handle?.reading !== true) return undefined;
  const answer = handle._parent?.readStart?.();
  return answer === undefined ? undefined : alreadyReading.has(answer);
}
