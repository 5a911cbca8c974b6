import type net from 'node:net';

/**
 * Reads from one socket, delivers the chunks, and reports the end of the stream. {@link DirectReader} reads into the
 * library's memory; {@link StreamReader} listens to Node's `'data'` events.
 */
export interface SocketReader {
  /** Stops reporting. The socket may continue to read. */
  stop(): void;
  /**
   * Stops reporting, and releases the socket. Call `release` when the socket has closed, or before TLS reads from the
   * socket.
   */
  release(): void;
}

export interface ReaderOwner {
  /**
   * Called once, after all chunks, when the peer has ended its stream.
   *
   * @param hasReceived - whether any chunk arrived before the end. Only TLS needs this information, so {@link
   * DirectReader}, which does not read from TLS sockets, always passes true
   */
  ended(hasReceived: boolean): void;
}

export interface ReadListener {
  /** The received bytes are the first `count` bytes of `memory`. */
  received(memory: Buffer, count: number): void;
  ended(): void;
}

export const listener: unique symbol = Symbol('rxjs-sockets.reader');

/**
 * A socket that holds its reader in a property. The property lets all sockets share the same listener functions. If
 * each reader had closures of its own, the closures would make up most of the reader's memory.
 */
export interface ReadSocket extends net.Socket {
  [listener]?: ReadListener;
}

/** Notifies `reader` of the end of the stream, and of the chunks if they arrive as events. */
export function listenTo(socket: net.Socket, reader: ReadListener, chunks: 'events' | 'in memory'): void {
  (socket as ReadSocket)[listener] = reader;
  if (chunks === 'events') socket.on('data', onData);
  socket.on('end', onEnd);
}

export function stopListening(socket: net.Socket): void {
  socket.off('data', onData);
  socket.off('end', onEnd);
}

function onData(this: ReadSocket, chunk: Buffer): void {
  this[listener]?.received(chunk, chunk.length);
}

function onEnd(this: ReadSocket): void {
  this[listener]?.ended();
}
