import type net from 'node:net';

/**
 * Reads one socket: it passes on the chunks, and reports the end of the stream. There are two: {@link DirectReader} for
 * memory of ours, and {@link StreamReader} for Node's own way.
 */
export interface SocketReader {
  /** Reports nothing more; the socket may continue to read. */
  stop(): void;
  /** Stops, and lets go of the socket: TLS reads it from now on, or it has closed. */
  release(): void;
}

/** The socket that a reader belongs to. */
export interface ReaderOwner {
  /**
   * The peer has ended its stream. Called once, after all chunks.
   *
   * @param hasReceived - whether a chunk came before
   */
  ended(hasReceived: boolean): void;
}

/** A reader as the socket's events see it. */
export interface ReadListener {
  /** The first `count` bytes of `memory` have been received. */
  received(memory: Buffer, count: number): void;
  /** The peer has ended its stream. */
  ended(): void;
}

/** The key of a socket's reader. */
export const listener: unique symbol = Symbol('rxjs-sockets.reader');

/** A socket that finds its reader in a property: closures for each socket would be most of what a reader costs. */
export interface ReadSocket extends net.Socket {
  [listener]?: ReadListener;
}

/** Has `reader` receive the end of the socket's stream, and its chunks where they come as events. */
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
