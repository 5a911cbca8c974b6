import type { TLSSocket } from 'node:tls';

/** The parts of Node's inside that this file leans on; everything is optional. */
interface TlsHandle {
  readonly reading?: boolean;
  /** The socket that TLS reads from. */
  readonly _parent?: { readStart?(): number };
}

/** What libuv answers to a start where it reads already. */
const already = new Set([-114, -4084, -37]);

/** How the stream of a TLS socket has ended. */
export interface StreamEnd {
  /** Whether it was cut off: the FIN came without the close_notify that TLS ends a stream with. */
  truncated: boolean;
}

/**
 * Finds out whether TLS has ended a stream or only the transport below it, which anybody on the way can do: to Node the
 * two are one (T5). A close_notify is found in bytes that were read, and libuv goes on reading below; a FIN ends the
 * reading there. Which it was is asked the moment Node is told of the end, before anything else can come. The answer
 * counts only if the question had the other answer before, when the stream could not have ended: some runtimes always
 * give the same one. Where that can't be asked, Node is believed.
 *
 * @param socket - one whose handshake has just ended, and whose stream has not ended yet
 */
export function watchEnd(socket: TLSSocket): StreamEnd {
  const end: StreamEnd = { truncated: false };
  const push = socket.push.bind(socket);
  let tried = readsBelow(socket) === true;
  socket.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk === null) end.truncated = tried && readsBelow(socket) === false;
    else tried ||= readsBelow(socket) === true;
    return push(chunk, encoding);
  };
  return end;
}

/** Whether libuv reads the transport below TLS; `undefined` where that can't be asked. */
function readsBelow(socket: TLSSocket): boolean | undefined {
  const handle = (socket as unknown as { _handle?: TlsHandle | null })._handle;
  // To ask starts the reading. A socket that had stopped was told of nothing but what it had read.
  if (handle?.reading !== true) return undefined;
  const answer = handle._parent?.readStart?.();
  return answer === undefined ? undefined : already.has(answer);
}
