import { asapScheduler } from 'rxjs';
import type { Address } from '../../address/address.js';
import type { FlushScheduler } from '../../scheduling/flush-scheduler.js';
import { type MemorySocket, socketPair } from './memory-socket.js';
import type { Listener, ListenerEvents, TransportSocket } from '../transport.js';

/** Somebody who dials. */
export interface Dialler {
  readonly name: Address;
  connected(socket: TransportSocket): void;
  /** The listener has been closed before there was room. */
  refused(): void;
}

/** A name in memory with its queue of clients: as with a kernel's, they are connected before they are accepted. */
export class MemoryListener implements Listener {
  readonly stoppable = true;
  private readonly address: Address;
  private readonly backlog: number;
  private readonly turn: FlushScheduler;
  private readonly events: ListenerEvents;
  private readonly onClose: () => void;
  /** Connected, and not yet accepted: at most `backlog`. */
  private readonly queue: MemorySocket[] = [];
  /** Not connected, as the queue is full. */
  private readonly diallers = new Set<Dialler>();
  private held = false;
  private closed = false;

  constructor(address: Address, backlog: number, turn: FlushScheduler, events: ListenerEvents, onClose: () => void) {
    this.address = address;
    this.backlog = backlog;
    this.turn = turn;
    this.events = events;
    this.onClose = onClose;
    asapScheduler.schedule(() => {
      if (!this.closed) events.onListening(address);
      this.accept();
    });
  }

  /** Queues a client; gives what makes it leave the queue of those who are not connected. */
  enqueue(dialler: Dialler): () => void {
    this.diallers.add(dialler);
    this.admit();
    return () => {
      this.diallers.delete(dialler);
    };
  }

  hold(): void {
    this.held = true;
  }

  release(): void {
    this.held = false;
    this.acceptSoon();
  }

  close(): void {
    this.closed = true;
    this.onClose();
    for (const socket of this.queue.splice(0)) socket.reset();
    if (this.diallers.size > 0) asapScheduler.schedule(() => this.refuse());
  }

  private refuse(): void {
    for (const dialler of this.diallers) {
      this.diallers.delete(dialler);
      dialler.refused();
    }
  }

  /** Connects as many as the queue has room for. */
  private admit(): void {
    for (const dialler of this.diallers) {
      if (this.queue.length >= this.backlog || this.closed) return;
      this.diallers.delete(dialler);
      const [near, far] = socketPair(dialler.name, this.address, this.turn);
      this.queue.push(far);
      dialler.connected(near);
      this.acceptSoon();
    }
  }

  private acceptSoon(): void {
    if (this.queue.length > 0) asapScheduler.schedule(() => this.accept());
  }

  private accept(): void {
    while (!this.held && !this.closed) {
      const socket = this.queue.shift();
      if (socket === undefined) return;
      this.events.onConnection(socket);
      this.admit();
    }
  }
}
