import type net from 'node:net';
import type tls from 'node:tls';
import type { TlsStreamEnd } from './internals/close-notify.js';
import {
  listenTo,
  type Reader,
  type ReaderOwner,
  type StreamEnd,
  stopListening,
  type StreamListener,
} from './reader.js';

/** Reads a socket of TLS by its `'data'` events, and tells whether TLS has ended the stream. */
export class TlsReader implements Reader, StreamListener {
  private readonly socket: tls.TLSSocket;
  private readonly raw: net.Socket;
  private readonly end: TlsStreamEnd;
  private readonly isServer: boolean;
  private readonly owner: ReaderOwner;
  private hasReceived = false;

  /**
   * @param raw - the socket below TLS
   * @param end - has watched `socket` since the handshake
   * @param isServer - whether this end is the server of TLS
   */
  constructor(socket: tls.TLSSocket, raw: net.Socket, end: TlsStreamEnd, isServer: boolean, owner: ReaderOwner) {
    this.socket = socket;
    this.raw = raw;
    this.end = end;
    this.isServer = isServer;
    this.owner = owner;
    listenTo(socket, this);
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  stop(): void {
    stopListening(this.socket);
  }

  release(): void {
    this.stop();
  }

  received(chunk: Buffer): void {
    this.hasReceived = true;
    this.owner.events.onData(chunk);
  }

  ended(): void {
    this.owner.streamEnded(this.streamEnd());
  }

  private streamEnd(): StreamEnd {
    // A stream that TLS has ended is whole, whatever became of the transport below it.
    if (!this.end.isTruncated) return { how: 'finished' };
    const error = this.owner.internals.hiddenReset(this.raw);
    if (error !== undefined) return { how: 'reset', error };
    // Servers on Node send no close_notify when they end in the turn of their first write.
    return this.isServer || !this.hasReceived ? { how: 'truncated' } : { how: 'finished' };
  }
}
