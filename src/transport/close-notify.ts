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
 * reading there. Which it was is asked the moment Node is told of the end, before anything else can come. Where that
 * can't be asked, Node is believed.
 *
 * @param socket - one whose stream has not ended yet
 */
export function watchEnd(socket: TLSSocket): StreamEnd {
  const end: StreamEnd = { truncated: false };
  const push = socket.push.bind(socket);
  socket.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk === null) end.truncated = isCutOff(socket);
    return push(chunk, encoding);
  };
  return end;
}

function isCutOff(socket: TLSSocket): boolean {
  const handle = (socket as unknown as { _handle?: TlsHandle | null })._handle;
  // A socket that had stopped reading was told of nothing but what it had read.
  if (handle?.reading !== true) return false;
  const answer = handle._parent?.readStart?.();
  return answer !== undefined && !already.has(answer);
}
