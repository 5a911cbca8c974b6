import type net from 'node:net';
import type { SocketEvents } from '../transport.js';
import { listenTo, type SocketReader, type ReaderOwner, type ReadListener, stopListening } from './reader.js';

/** Reads from a socket, with or without TLS, through its `'data'` events. */
export class StreamReader implements SocketReader, ReadListener {
  private readonly socket: net.Socket;
  private readonly events: SocketEvents;
  private readonly owner: ReaderOwner;
  private hasReceived = false;

  constructor(socket: net.Socket, events: SocketEvents, owner: ReaderOwner) {
    this.socket = socket;
    this.events = events;
    this.owner = owner;
    listenTo(socket, this, 'events');
  }

  stop(): void {
    stopListening(this.socket);
  }

  release(): void {
    this.stop();
  }

  received(chunk: Buffer): void {
    this.hasReceived = true;
    this.events.onData(chunk);
  }

  ended(): void {
    this.owner.ended(this.hasReceived);
  }
}
