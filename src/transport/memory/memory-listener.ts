import { asapScheduler } from 'rxjs';
import type { Address } from '../../address/address.js';
import type { FlushScheduler } from '../../scheduling/flush-scheduler.js';
import { type MemorySocket, socketPair } from './memory-socket.js';
import type { Listener, ListenerEvents, TransportSocket } from '../transport.js';

export interface Dialler {
  readonly name: Address;
  connected(socket: TransportSocket): void;
  /** Called if the listener is closed before the listener's queue has room for the client. */
  refused(): void;
}

/**
 * A listener of the memory transport. A client in the listener's queue is already connected, like a client in the
 * kernel's listen queue.
 */
export class MemoryListener implements Listener {
  readonly stoppable = true;
  private readonly address: Address;
  private readonly backlog: number;
  private readonly scheduler: FlushScheduler;
  private readonly events: ListenerEvents;
  private readonly onClose: () => void;
  /** At most `backlog` sockets that are connected but not yet accepted. */
  private readonly queue: MemorySocket[] = [];
  /** Clients that are not connected yet, because the queue is full. */
  private readonly diallers = new Set<Dialler>();
  private held = false;
  private closed = false;

  constructor(
    address: Address,
    backlog: number,
    scheduler: FlushScheduler,
    events: ListenerEvents,
    onClose: () => void,
  ) {
    this.address = address;
    this.backlog = backlog;
    this.scheduler = scheduler;
    this.events = events;
    this.onClose = onClose;
    asapScheduler.schedule(() => {
      if (!this.closed) events.onListening(address);
      this.accept();
    });
  }

  /** Connects a client as soon as the queue has room. Returns a function that aborts the attempt to connect. */
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

  private admit(): void {
    for (const dialler of this.diallers) {
      if (this.queue.length >= this.backlog || this.closed) return;
      this.diallers.delete(dialler);
      const [near, far] = socketPair(dialler.name, this.address, this.scheduler);
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
