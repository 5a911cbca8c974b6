/**
 * **What for**: telling a stream that TLS has ended (close_notify) from one that was cut off by a FIN, which anybody on the
 * way can send (T5). Node reports both as `'end'`.
 *
 * **How**: after a close_notify, libuv still reads the transport below TLS; after a FIN it has stopped. `readStart` of
 * `tlsSocket._handle._parent` answers that it reads already, or that it has just started. It is called the moment Node hears
 * of the end, in `push(null)`, before anything else can come.
 *
 * **Where**: all versions of the CI matrix (Node 20.19 to 26).
 *
 * **Tried out**: right after the handshake and with each chunk, when the answer is known to be "reads already". Later answers count
 * only if that one was right, because some runtimes always give the same answer.
 *
 * **Without it**: every end counts as one of TLS, as in plain Node.
 */
import type { TLSSocket } from 'node:tls';

/** How the stream of a TLS socket has ended. */
export interface TlsStreamEnd {
  /** Whether a FIN came without the close_notify that ends a stream of TLS. */
  readonly isTruncated: boolean;
}

/** The answer where nobody can tell: no stream is truncated. */
export const neverTruncated: TlsStreamEnd = Object.freeze({ isTruncated: false });

interface TlsHandle {
  readonly reading?: boolean;
  /** The socket that TLS reads from. */
  readonly _parent?: { readStart?(): number };
}

/** What libuv answers to `readStart` where it reads already: EALREADY of Linux, of Windows, and of macOS. */
const alreadyReading = new Set([-114, -4084, -37]);

/**
 * Watches for the end of a stream.
 *
 * @param socket - one whose handshake has just ended, and whose stream has not ended yet
 * @returns an object whose `isTruncated` is right from the `'end'` event on
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

/** Whether libuv reads the transport below TLS; `undefined` where it cannot be asked. */
function readsBelow(socket: TLSSocket): boolean | undefined {
  const handle = (socket as unknown as { _handle?: TlsHandle | null })._handle;
  // The question starts the reading, so a socket that has stopped is not asked: it has heard only of what it has read.
  if (handle?.reading !== true) return undefined;
  const answer = handle._parent?.readStart?.();
  return answer === undefined ? undefined : alreadyReading.has(answer);
}
