import { asapScheduler, asyncScheduler } from 'rxjs';
import type { Address } from '../../address/address.js';
import { SocketError } from '../../errors/socket-error.js';
import type { FlushScheduler } from '../../scheduling/flush-scheduler.js';
import type { SocketEvents, TransportSocket } from '../transport.js';

/** How many bytes a pipe takes before its writer has to wait, as a socket's buffers in the kernel do. */
const capacity = 65_536;
/** How many bytes are reported at once, as by one read from a socket. */
const largestChunk = 65_536;

/** Makes two ends that are connected to each other. */
export function socketPair(
  dialler: Address,
  listener: Address,
  turn: FlushScheduler,
): [near: MemorySocket, far: MemorySocket] {
  const near = new MemorySocket(dialler, listener, turn);
  const far = new MemorySocket(listener, dialler, turn);
  near.join(far);
  far.join(near);
  return [near, far];
}

/** One end of a connection in memory. Like a socket it notices a FIN or a reset only when it reads that far. */
export class MemorySocket implements TransportSocket {
  readonly local: Address;
  readonly remote: Address;
  readonly scheduler: FlushScheduler;
  readonly tls: undefined = undefined;

  private peer: MemorySocket = this;
  private events: SocketEvents | undefined;
  /** What the peer has written and this end has not read. */
  private incoming: Buffer[] = [];
  private incomingSize = 0;
  /** What follows the incoming bytes. */
  private follows: 'more' | 'fin' | 'reset' = 'more';
  private reading = true;
  private scheduled = false;
  private blocked = false;
  private finSent = false;
  private finRead = false;
  private closed = false;

  constructor(local: Address, remote: Address, turn: FlushScheduler) {
    this.local = local;
    this.remote = remote;
    this.scheduler = turn;
  }

  get unsent(): number {
    if (!this.blocked) return 0;
    // What an end has not read when it closes is lost.
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
    // After a FIN the peer has all that there will be, and a reset would take it away.
    if (this.finSent) return;
    this.peer.follows = 'reset';
    this.peer.readSoon();
  }

  /** Whoever wrote may go on using its memory, so what arrives is a copy. */
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
    // As with Node's, a paused socket still notices an end that no bytes lie before.
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
        // Told within this microtask, two ends that are equally fast would never let the event loop go round.
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
    // A write that nobody will take any more fails, even where nobody reads.
    const { peer } = this;
    if (peer.blocked) peer.closeSoon(peer.resetError());
  }
}
