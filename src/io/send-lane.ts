import { handled, noteOrigin, type Origin } from '../errors/error-origin.js';
import { SocketError } from '../errors/socket-error.js';
import { noWaiters, type Waiters } from './waiters.js';
import { Watermark } from './watermark.js';
import type { Retired } from './write-state.js';

/** The connection, or the client, that a lane sends for. */
export interface LaneOwner extends Origin {
  /** No send from a source and no handler is in progress any more. */
  workEnded?(): void;
}

/** The stream that the values of a lane become part of. */
export interface LaneStream {
  readonly owner: LaneOwner;
  /** Whether nothing more can be sent. */
  readonly closed: boolean;
  /** The error that ended it, unless it ended in order. */
  readonly error: SocketError | undefined;
  /** The offset of the end of what was accepted. */
  readonly accepted: number;
  /** Whether the kernel has taken everything that was accepted. */
  readonly isFlushed: boolean;
}

/**
 * What the channels of one owner share when they send: whether more may be sent, who waits for that or for the kernel, and
 * how much work is in progress. The owner is a connection, or a client, whose lane outlives its connections. A client's
 * connection has two lanes: what was given to the connection's own channels ends with it, and what was given to the
 * client's goes on to the next connection (C5, K4).
 */
export class SendLane {
  readonly watermark: Watermark;

  private stream: LaneStream;
  private connections = 0;
  private drops = 0;
  private isConnecting = false;
  private running = 0;
  private paced = 0;
  private handlers = 0;
  private senders: Waiters = noWaiters;
  private flushers: Waiters = noWaiters;
  private failure: SocketError | undefined = undefined;

  constructor(stream: LaneStream, highWaterMark: number) {
    this.stream = stream;
    this.watermark = new Watermark(highWaterMark);
  }

  /** The owner of the stream that its values go to now. */
  get owner(): LaneOwner {
    return this.stream.owner;
  }

  /** The number of the connection that its values go to. Each has an encoder of its own. */
  get connection(): number {
    return this.connections;
  }

  /** How many values `overflow: 'drop'` has dropped. */
  get dropped(): number {
    return this.drops;
  }

  /** How many sends from a source, and handlers, are in progress. */
  get tasks(): number {
    return this.running;
  }

  /** How many sends at the pace of the peer are in progress. */
  get pacedTasks(): number {
    return this.paced;
  }

  /** How many handlers are in progress. */
  get functions(): number {
    return this.handlers;
  }

  /** Whether nothing more can be sent. */
  get closed(): boolean {
    return this.failure !== undefined || this.stream.closed;
  }

  /** The error that ended it, unless it ended in order. */
  get error(): SocketError | undefined {
    return this.failure ?? this.stream.error;
  }

  /** Settles when the caller may send more (C5). Called after a successful push. */
  whenWritable(): Promise<void> {
    if (!this.isConnecting && this.watermark.writable) return Promise.resolve();
    const written = new Promise<void>((resolve, reject) => {
      this.senders = this.senders.append(this.stream.accepted, resolve, reject);
    });
    return this.stream.owner.hasIncidents ? handled(written) : written;
  }

  /** Calls `resolve` once the kernel has taken everything accepted so far, at once if it has. */
  whenFlushed(resolve: () => void, reject: (error: SocketError) => void): void {
    if (this.stream.isFlushed) resolve();
    else this.flushers = this.flushers.append(this.stream.accepted, resolve, reject);
  }

  /** Whether a `send` or a `whenFlushed` is waiting. */
  get hasWaiters(): boolean {
    return this.senders.size + this.flushers.size > 0;
  }

  /** Whether anybody waits for what the outbound does next. */
  get isAwaited(): boolean {
    return this.hasWaiters || !this.watermark.writable;
  }

  /** A connection is being dialled: `send` waits for it (K7). */
  connecting(): void {
    this.isConnecting = true;
  }

  /** The connection is there. */
  connected(): void {
    this.isConnecting = false;
  }

  /** A value was dropped. */
  drop(): void {
    this.drops++;
  }

  /** A send from a source, or a handler, begins: a shutdown waits for it (S7). */
  begin(): void {
    this.running++;
  }

  /** It has ended. */
  finish(): void {
    if (--this.running === 0) this.stream.owner.workEnded?.();
  }

  /** A send at the pace of the peer begins. */
  beginPaced(): void {
    this.paced++;
  }

  /** It has ended. */
  finishPaced(): void {
    this.paced--;
  }

  /** A handler begins, which works on what it has taken. */
  beginFunction(): void {
    this.handlers++;
    this.begin();
  }

  /** It has ended. */
  finishFunction(): void {
    this.handlers--;
    this.finish();
  }

  /** Its values go to `stream` from now on, whose connection is there. */
  joinStream(stream: LaneStream): void {
    this.stream = stream;
    this.isConnecting = false;
  }

  /**
   * Its values wait in `successor` from now on, for the next connection.
   *
   * @returns settles those who wait for the values that stay with the old connection
   */
  moveTo(successor: LaneStream, retired: Retired): (written: number, error: SocketError) => void {
    const isMoved = (offset: number): boolean => retired.has(offset);
    const movedTo = (offset: number): number => retired.movedTo(offset);
    const { senders, flushers } = this;
    this.stream = successor;
    this.connections++;
    this.senders = senders.split(isMoved).moved(movedTo);
    this.flushers = flushers.split(isMoved).moved(movedTo);
    return (written, error) => {
      senders.end(written, error);
      flushers.end(written, error);
    };
  }

  /** The values that waiters wait for lie elsewhere in the stream now. */
  shift(offsetOf: (offset: number) => number): void {
    this.senders = this.senders.moved(offsetOf);
    this.flushers = this.flushers.moved(offsetOf);
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
    // Until the sending side ends, a sender waits for room, and not only for its own value to be written.
    if (isClosed) this.senders.wake(written);
    else if (this.watermark.writable) this.senders.wake(Infinity);
    this.flushers.wake(written);
  }

  /** Nothing more is written. Everyone who waits for bytes that were not written gets the error. */
  end(written: number, error: SocketError): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    this.watermark.close();
    this.senders.end(written, error);
    this.flushers.end(written, error);
  }
}

/** Why nothing more can be sent: the error that ended the sending side, or that it has ended in order. */
export function closedError(lane: SendLane): SocketError {
  return lane.error ?? noteOrigin(new SocketError('ERR_CLOSED', 'the sending side has ended'), lane.owner);
}
