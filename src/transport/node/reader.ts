import type net from 'node:net';
import type { BorrowingSocketEvents } from '../transport.js';
import type { NodeInternals } from './internals/internals.js';

/**
 * Reads one socket and reports what comes. There are three: {@link StreamReader}, {@link DirectReader} and
 * {@link TlsReader}. A new one is paused.
 */
export interface Reader {
  pause(): void;
  resume(): void;
  /** Reports nothing more; the socket may go on reading. */
  stop(): void;
  /** Stops, and lets go of the socket: TLS reads it from now on, or it has closed. */
  release(): void;
}

/** How the peer has ended its stream. */
export type StreamEnd =
  | { readonly how: 'finished' }
  /** Only a FIN came, where TLS should have ended the stream. */
  | { readonly how: 'truncated' }
  | { readonly how: 'reset'; readonly error: Error };

/** The socket that a reader belongs to. */
export interface ReaderOwner {
  readonly internals: NodeInternals;
  /** Where the reader reports the chunks. */
  readonly events: BorrowingSocketEvents;
  /** Called once, after all chunks. */
  streamEnded(end: StreamEnd): void;
}

/** How the stream of a socket without TLS has ended, once `'end'` has come. */
export function plainEnd(socket: net.Socket, internals: NodeInternals): StreamEnd {
  const error = internals.hiddenReset(socket);
  return error === undefined ? { how: 'finished' } : { how: 'reset', error };
}

const listener = Symbol('rxjs-sockets.reader');

/** What the events of a stream call. */
export interface StreamListener {
  received(chunk: Buffer): void;
  ended(): void;
}

/** A socket that finds its reader in a property: closures for each socket would be most of what a reader costs. */
interface ReadSocket extends net.Socket {
  [listener]?: StreamListener;
}

/** Has `reader` receive the chunks and the end of `socket`, or the end alone. */
export function listenTo(socket: net.Socket, reader: StreamListener, chunks: 'chunks' | 'end only' = 'chunks'): void {
  (socket as ReadSocket)[listener] = reader;
  if (chunks === 'chunks') socket.on('data', onData);
  socket.on('end', onEnd);
}

export function stopListening(socket: net.Socket): void {
  socket.off('data', onData);
  socket.off('end', onEnd);
}

function onData(this: ReadSocket, chunk: Buffer): void {
  this[listener]?.received(chunk);
}

function onEnd(this: ReadSocket): void {
  this[listener]?.ended();
}
