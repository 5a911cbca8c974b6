import type net from 'node:net';
import { listenTo, plainEnd, type Reader, type ReaderOwner, stopListening, type StreamListener } from './reader.js';

/** Reads a socket without TLS by its `'data'` events. */
export class StreamReader implements Reader, StreamListener {
  private readonly socket: net.Socket;
  private readonly owner: ReaderOwner;

  constructor(socket: net.Socket, owner: ReaderOwner) {
    this.socket = socket;
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
    this.owner.events.onData(chunk);
  }

  ended(): void {
    this.owner.streamEnded(plainEnd(this.socket, this.owner.internals));
  }
}
