import { asapScheduler, asyncScheduler } from 'rxjs';
import type { Address } from '../../address/address.js';
import { SocketError } from '../../errors/socket-error.js';
import type { FlushScheduler } from '../../scheduling/flush-scheduler.js';
import type { SocketEvents, TransportSocket } from '../transport.js';

/**
 * The number of unread bytes that one direction can hold, like the kernel's buffers. A write that leaves more bytes
 * unread returns false.
 */
const capacity = 65_536;
/** The maximum size of a chunk, in bytes: as much as one read from a real socket returns. */
const largestChunk = 65_536;

export function socketPair(
  dialler: Address,
  listener: Address,
  scheduler: FlushScheduler,
): [near: MemorySocket, far: MemorySocket] {
  const near = new MemorySocket(dialler, listener, scheduler);
  const far = new MemorySocket(listener, dialler, scheduler);
  near.join(far);
  far.join(near);
  return [near, far];
}

/**
 * One end of a connection over the memory transport. The socket reports the peer's bytes, FIN and reset in the order in
 * which they were sent.
 */
export class MemorySocket implements TransportSocket {
  readonly local: Address;
  readonly remote: Address;
  readonly scheduler: FlushScheduler;
  readonly tls: undefined = undefined;

  private peer: MemorySocket = this;
  private events: SocketEvents | undefined;
  /** The chunks that the peer has written but this end has not read yet. */
  private incoming: Buffer[] = [];
  private incomingSize = 0;
  /** The event that follows the incoming bytes. */
  private follows: 'more' | 'fin' | 'reset' = 'more';
  private reading = true;
  private scheduled = false;
  private blocked = false;
  private finSent = false;
  private finRead = false;
  private closed = false;

  constructor(local: Address, remote: Address, scheduler: FlushScheduler) {
    this.local = local;
    this.remote = remote;
    this.scheduler = scheduler;
  }

  get unsent(): number {
    if (!this.blocked) return 0;
    // When the peer has closed, it is unknown how many bytes the peer has read.
    return this.peer.closed ? Infinity : Math.max(0, this.peer.incomingSize - capacity);
  }

  join(peer: MemorySocket): void {
    this.peer = peer;
  }

  open(events: SocketEvents): void {
    this.events = events;
    if (this.closed) asapScheduler.schedule(() => events.onClose(undefined));
    else this.readSoon();
  }

  pause(): void {
    this.reading = false;
  }

  resume(): void {
    this.reading = true;
    this.readSoon();
  }

  write(data: Uint8Array | string, encoding: 'utf8' | 'latin1'): boolean {
    return this.writeAll([typeof data === 'string' ? Buffer.from(data, encoding) : Buffer.from(data)]);
  }

  writeAll(pieces: readonly Uint8Array[]): boolean {
    const { peer } = this;
    if (peer.closed) {
      const message = 'the connection failed: EPIPE (the other end is closed)';
      this.closeSoon(new SocketError('EPIPE', message, { address: this.remote }));
      this.blocked = true;
      return false;
    }
    for (const piece of pieces) peer.arrive(piece);
    peer.readSoon();
    this.blocked = peer.incomingSize > capacity;
    return !this.blocked;
  }

  end(): void {
    this.finSent = true;
    if (this.peer.follows === 'more') this.peer.follows = 'fin';
    this.peer.readSoon();
    if (this.finRead) this.closeSoon(undefined);
  }

  reset(): void {
    if (this.closed) return;
    this.closeSoon(undefined);
    // After a FIN, send no reset, because the peer would see a failure instead of a complete stream.
    if (this.finSent) return;
    this.peer.follows = 'reset';
    this.peer.readSoon();
  }

  /** Copies the bytes, because the writer may reuse the memory of `piece`. */
  private arrive(piece: Uint8Array): void {
    for (let start = 0; start < piece.length; start += largestChunk) {
      this.incoming.push(Buffer.from(piece.subarray(start, start + largestChunk)));
    }
    this.incomingSize += piece.length;
  }

  private readSoon(): void {
    if (this.scheduled || this.closed) return;
    this.scheduled = true;
    asapScheduler.schedule(() => {
      this.scheduled = false;
      this.read();
    });
  }

  private read(): void {
    const { events, peer } = this;
    if (events === undefined) return;
    // If all bytes have been read, even a paused socket reports the end, as Node's sockets do.
    while (!this.closed && (this.reading || this.incoming.length === 0)) {
      const chunk = this.incoming.shift();
      if (chunk === undefined) {
        this.readEnd(events);
        return;
      }
      this.incomingSize -= chunk.length;
      events.onData(chunk);
      if (peer.blocked && this.incomingSize <= capacity && !peer.closed) {
        peer.blocked = false;
        // If `onDrain` ran in a microtask, a writer and an equally fast reader could run in microtasks forever, and
        // block the event loop.
        asyncScheduler.schedule(() => {
          if (!peer.closed) peer.events?.onDrain();
        });
      }
    }
  }

  private readEnd(events: SocketEvents): void {
    if (this.follows === 'reset') {
      this.closeSoon(this.resetError());
    } else if (this.follows === 'fin' && !this.finRead) {
      this.finRead = true;
      events.onEnd();
      if (this.finSent) this.closeSoon(undefined);
    }
  }

  private resetError(): SocketError {
    const message = 'the connection failed: ECONNRESET (the other end was destroyed)';
    return new SocketError('ECONNRESET', message, { address: this.remote });
  }

  private closeSoon(error: SocketError | undefined): void {
    if (this.closed) return;
    this.closed = true;
    this.incoming = [];
    this.incomingSize = 0;
    asapScheduler.schedule(() => {
      this.events?.onClose(error);
    });
    // An unfinished write of the peer can no longer finish. So the peer fails, even if the peer is paused.
    const { peer } = this;
    if (peer.blocked) peer.closeSoon(peer.resetError());
  }
}
