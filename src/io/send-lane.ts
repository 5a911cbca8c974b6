import { handled, noteOrigin, type Origin } from '../errors/error-origin.js';
import { SocketError } from '../errors/socket-error.js';
import { noWaiters, type Waiters } from './waiters.js';
import { WriteWatermark } from './write-watermark.js';
import type { Retired } from './write-state.js';

/** The connection, or the client, that a lane sends for. */
export interface LaneOwner extends Origin {
  /** Called when the last task has ended. A task is a handler, or a source that is being sent. */
  workEnded?(): void;
}

/** The stream that carries the values of a lane. */
export interface LaneStream {
  readonly owner: LaneOwner;
  /** Whether nothing more can be sent. */
  readonly closed: boolean;
  /** The error that ended the stream; undefined after an orderly end. */
  readonly error: SocketError | undefined;
  /** The stream offset after the last accepted byte. */
  readonly accepted: number;
  readonly isFlushed: boolean;
}

/**
 * The sending side of the channels of one connection or client. The lane tracks whether senders are allowed to send
 * more, which callers are waiting, and how many tasks are running.
 *
 * A client's connection has two lanes. The lane of the connection's own channels ends with the connection. The lane of
 * the client's channel moves to the next connection, together with its unsent values (C5, K4).
 */
export class SendLane {
  readonly watermark: WriteWatermark;

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
    this.watermark = new WriteWatermark(highWaterMark);
  }

  get owner(): LaneOwner {
    return this.stream.owner;
  }

  /** Whether the lane's values currently go to the stream of `owner`. */
  isOn(owner: unknown): boolean {
    return this.stream.owner === owner;
  }

  /** How many times the lane has moved to a new connection. Each connection needs a new encoder. */
  get connection(): number {
    return this.connections;
  }

  get dropped(): number {
    return this.drops;
  }

  get tasks(): number {
    return this.running;
  }

  /** How many paced sources are being sent. */
  get pacedTasks(): number {
    return this.paced;
  }

  /** How many handlers are running. */
  get functions(): number {
    return this.handlers;
  }

  get closed(): boolean {
    return this.failure !== undefined || this.stream.closed;
  }

  /** The error that ended the lane; undefined after an orderly end. */
  get error(): SocketError | undefined {
    return this.failure ?? this.stream.error;
  }

  /**
   * Call after a successful push. The promise resolves when the caller is allowed to send more. The promise rejects if
   * the pushed value will never be written (C5).
   */
  whenWritable(): Promise<void> {
    if (!this.isConnecting && this.watermark.writable) return Promise.resolve();
    const written = new Promise<void>((resolve, reject) => {
      this.senders = this.senders.append(this.stream.accepted, resolve, reject);
    });
    return this.stream.owner.hasIncidents ? handled(written) : written;
  }

  /** Calls `resolve` as soon as the kernel has taken everything accepted so far. */
  whenFlushed(resolve: () => void, reject: (error: SocketError) => void): void {
    if (this.stream.isFlushed) resolve();
    else this.flushers = this.flushers.append(this.stream.accepted, resolve, reject);
  }

  /** Whether a caller of `whenWritable` or `whenFlushed` is waiting. */
  get hasWaiters(): boolean {
    return this.senders.size + this.flushers.size > 0;
  }

  /** Whether a caller is waiting, or the channel is not writable. If it is not writable, a source is possibly held. */
  get isAwaited(): boolean {
    return this.hasWaiters || !this.watermark.writable;
  }

  /** Call when the client dials. Until the connection opens, callers of `send` have to wait (K9). */
  connecting(): void {
    this.isConnecting = true;
  }

  connected(): void {
    this.isConnecting = false;
  }

  drop(): void {
    this.drops++;
  }

  /** Call when a task begins. A shutdown waits until all tasks have ended (S7). */
  begin(): void {
    this.running++;
  }

  finish(): void {
    if (--this.running === 0) this.stream.owner.workEnded?.();
  }

  beginPaced(): void {
    this.paced++;
  }

  finishPaced(): void {
    this.paced--;
  }

  /** Call when a handler begins. */
  beginFunction(): void {
    this.handlers++;
    this.begin();
  }

  finishFunction(): void {
    this.handlers--;
    this.finish();
  }

  /** Sends later values to `stream`, whose connection must be open. */
  joinStream(stream: LaneStream): void {
    this.stream = stream;
    this.isConnecting = false;
  }

  /**
   * Moves the lane to `successor`, which queues values for the next connection.
   *
   * @returns a function that settles the callers whose values stay with the old connection
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

  /** Call when the stream offsets of the queued values have changed. */
  shift(offsetOf: (offset: number) => number): void {
    this.senders = this.senders.moved(offsetOf);
    this.flushers = this.flushers.moved(offsetOf);
  }

  /**
   * Call when the kernel has taken bytes.
   *
   * @param level - how many bytes are still buffered
   * @param written - the stream offset up to which the kernel has taken the bytes
   * @param isClosed - whether the sending side accepts no more values
   */
  wake(level: number, written: number, isClosed: boolean): void {
    this.watermark.update(level);
    // A closed sending side never becomes writable again, so each sender waits until its own value has been written.
    if (isClosed) this.senders.wake(written);
    else if (this.watermark.writable) this.senders.wake(Infinity);
    this.flushers.wake(written);
  }

  /** Ends the lane. Rejects the callers whose bytes end after the offset `written`, and resolves all other callers. */
  end(written: number, error: SocketError): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    this.watermark.close();
    this.senders.end(written, error);
    this.flushers.end(written, error);
  }
}

/** Returns the error that ended the sending side, or a new `ERR_CLOSED` error after an orderly end. */
export function closedError(lane: SendLane): SocketError {
  return lane.error ?? noteOrigin(new SocketError('ERR_CLOSED', 'the sending side has ended'), lane.owner);
}
