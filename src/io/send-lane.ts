import type { Encoder } from '../codecs/codec.js';
import type { SocketError } from '../errors/socket-error.js';
import type { Outbound } from './outbound.js';
import type { Pace, Refusal } from './outbound-owner.js';
import { noWaiters, type Waiters } from './waiters.js';
import { Watermark } from './watermark.js';

/**
 * The sending side as the channels of one owner see it: those of a connection, or the one of a client, which outlives
 * its connections. A client's connection has two lanes: what was given to the connection's own channels ends with it,
 * and what was given to the client's goes on to the next connection (C5, K4).
 */
export class SendLane {
  /** Where its values go now. */
  outbound: Outbound;
  readonly watermark: Watermark;
  /** Changes with each connection, because each has an encoder of its own. */
  stream = 0;
  /** How many values `overflow: 'drop'` has dropped. */
  dropped = 0;
  /** While a connection is being dialled: `send` then waits for it (K7). */
  expecting = false;
  /** How many sends from a source, and handlers, are in progress. */
  tasks = 0;
  /** How many of them send at the pace of the peer. */
  pacedTasks = 0;
  /** How many of them are functions that work on what they have taken. */
  functions = 0;
  senders: Waiters = noWaiters;
  flushers: Waiters = noWaiters;
  private failure: SocketError | undefined;

  constructor(outbound: Outbound, highWaterMark: number) {
    this.outbound = outbound;
    this.watermark = new Watermark(highWaterMark);
  }

  /** Whether nothing more can be sent. */
  get closed(): boolean {
    return this.failure !== undefined || this.outbound.closed;
  }

  /** What ended it, where it did not end in order. */
  get error(): SocketError | undefined {
    return this.failure ?? this.outbound.error;
  }

  /** Encodes `value` and has it written at the end of the turn, or says why not. */
  push<T>(encoder: Encoder<T>, value: T, pace: Pace = 'free'): Refusal | undefined {
    return this.failure === undefined ? this.outbound.push(this, encoder, value, pace) : 'closed';
  }

  /** Settles when the caller may send more (C5). Called after a successful push. */
  whenWritable(): Promise<void> {
    if (!this.expecting && this.watermark.writable) return Promise.resolve();
    const written = new Promise<void>((resolve, reject) => {
      this.senders = this.senders.with(this.outbound.accepted, resolve, reject);
    });
    return this.outbound.owner.reports ? handled(written) : written;
  }

  /** Calls `resolve` once everything accepted so far was taken by the kernel, at once if it was. */
  whenFlushed(resolve: () => void, reject: (error: SocketError) => void): void {
    if (this.outbound.isFlushed) resolve();
    else this.flushers = this.flushers.with(this.outbound.accepted, resolve, reject);
  }

  /** Whether anybody waits for what the outbound does next. */
  get isAwaited(): boolean {
    return this.senders.size + this.flushers.size > 0 || !this.watermark.writable;
  }

  /** A send from a source, or a handler, begins, which a shutdown waits for (S7). */
  begin(): void {
    this.tasks++;
  }

  /** It is over. */
  finish(): void {
    if (--this.tasks === 0) this.outbound.owner.settled?.();
  }

  /**
   * The kernel has taken more.
   *
   * @param level - how many bytes wait
   * @param written - the offset in the stream up to which the kernel has taken it
   * @param isClosed - whether the sending side is ending
   */
  wake(level: number, written: number, isClosed: boolean): void {
    this.watermark.update(level);
    // Until the sending side ends, a sender waits for room, and not only for its own value to be gone.
    if (isClosed) this.senders.wake(written);
    else if (this.watermark.writable) this.senders.wake(Infinity);
    this.flushers.wake(written);
  }

  /** Nothing more is written: those who wait for bytes that were not are given the error. */
  end(written: number, error: SocketError): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    this.watermark.close();
    this.rejectWaiting(written, error);
  }

  rejectWaiting(written: number, error: SocketError): void {
    this.senders.end(written, error);
    this.flushers.end(written, error);
  }
}

/**
 * A server reports why a connection failed, so a `send` that nobody waits for must not end the process (S19). Those who
 * do wait are still rejected.
 */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
