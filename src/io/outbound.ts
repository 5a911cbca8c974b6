import type { Encoder } from '../codecs/codec.js';
import { SocketError } from '../errors/socket-error.js';
import { originate } from '../errors/error-origin.js';
import type { TransportSocket } from '../transport/transport.js';
import type { Flushable, FlushScheduler } from '../scheduling/flush-scheduler.js';
import { noWaiters, type Waiters } from './waiters.js';
import { Watermark } from './watermark.js';
import { spendBuffer, WriteBuffer } from './write-buffer.js';
import { type OutboundLimits, type Parking, type Retired, type Verdict, WriteState } from './write-state.js';

/** What an {@link Outbound} reports to the connection, or the client, that it belongs to. */
export interface OutboundOwner {
  /** Whether a server reports what ends it, so that nobody else has to (S19). */
  readonly reports: boolean;
  /** A value was over `maxBuffered`, and the policy is `'error'`. */
  overflowed(error: SocketError): void;
  /** The kernel has taken bytes. */
  progressed?(): void;
  /** The FIN was sent. */
  finishedSending?(): void;
  /** No send from a source and no handler is in progress any more. */
  settled?(): void;
}

/** Has values for several connections, and gives them to each before anything else is sent on it. */
export interface Publisher extends Flushable {
  /** Gives `outbound` the values that it lacks. */
  settle(outbound: Outbound): void;
}

/**
 * How a source sends: freely, so that `overflow` acts; only while the channel is writable; or the rest of what it has in
 * memory already, which has nowhere else to wait.
 */
export type Pace = 'free' | 'paced' | 'last';

/** Why a value was not taken: the side is closed, the value is over `maxBuffered`, or it can't be encoded. */
export type Refusal = 'closed' | 'overflow' | SocketError;

/**
 * The sending side of one connection. Values are encoded at once, collected for the turn, and written together. While a
 * write is in progress they wait, and the next write takes all of them (C3, C4).
 *
 * `WriteState` decides what is written, and when; this class does it: it writes to the socket, adds itself to the scheduler,
 * and tells its owner and its lanes.
 */
export class Outbound implements Flushable {
  readonly owner: OutboundOwner;
  /** What the channels of its owner send on. */
  readonly lane: SendLane;

  private readonly state: WriteState;
  /** What the client's channel sends on, while its values go to this connection. */
  private clientLane: SendLane | undefined = undefined;
  private socket: TransportSocket | undefined = undefined;
  private failure: SocketError | undefined = undefined;
  /** Whether the scheduler will flush it at the end of the turn. */
  private isScheduled = false;
  /** Whether the scheduler will wake its lanes once the event loop has gone round. */
  private isResting = false;
  /** A publisher that has values which it has not yet given to this connection. */
  private publisher: Publisher | undefined = undefined;
  /** Called when everything that was accepted before `suspend` is written. */
  private onDrained: (() => void) | undefined = undefined;

  /**
   * @param lane - one that moves here from the Outbound of an earlier connection; by default a new one
   * @param state - what that lane brings along
   */
  constructor(limits: OutboundLimits, owner: OutboundOwner, lane?: SendLane, state?: WriteState) {
    this.owner = owner;
    this.state = state ?? new WriteState(limits);
    this.lane = lane ?? new SendLane(this, limits.highWaterMark);
  }

  /** Bytes that were accepted and that the kernel has not taken. */
  get bufferedBytes(): number {
    if (this.publisher !== undefined) this.settlePublisher();
    return this.state.level;
  }

  /** How many bytes the kernel has taken, those of the current write included. */
  get written(): number {
    return this.state.written;
  }

  /** The offset in the stream of the end of what was accepted. */
  get accepted(): number {
    return this.state.accepted;
  }

  /** Whether nothing more can be sent. */
  get closed(): boolean {
    return this.state.closed;
  }

  /** The error that ended it, unless it ended in order. */
  get error(): SocketError | undefined {
    return this.failure;
  }

  /** Whether the FIN was sent, or never will be. */
  get ended(): boolean {
    return this.state.ended;
  }

  /** Whether the kernel has taken everything that was accepted. */
  get isFlushed(): boolean {
    return this.state.isFlushed;
  }

  /** Whether a value is being encoded. */
  get isEncoding(): boolean {
    return this.state.isEncoding;
  }

  /** How many more bytes may wait before the policy acts. */
  get room(): number {
    return this.state.limits.maxBuffered - this.state.level;
  }

  /** The scheduler of its socket. */
  get turn(): FlushScheduler | undefined {
    return this.socket?.scheduler;
  }

  /** The connection is there: what waits is written first (C2). */
  attach(socket: TransportSocket): void {
    this.socket = socket;
    this.state.attach(socket);
    this.lane.connected();
    this.flush();
  }

  /** Decides what becomes of values until the connection is there. */
  park(parking: Parking): void {
    this.state.park(parking);
  }

  /** The client's channel sends here from now on. What waits on its lane comes behind what was sent here already (C2). */
  adopt(lane: SendLane): void {
    const { state } = this;
    const earlier = lane.outbound.state;
    const before = state.accepted;
    if (before > 0) lane.shift((offset) => offset + before);
    state.adopt(earlier);
    this.clientLane = lane;
    lane.sendThrough(this);
    if (earlier.closed) this.complete();
    this.flush();
    // Each lane has counted its own bytes only.
    if (state.level > state.limits.highWaterMark) this.updateWatermarks();
  }

  /**
   * Encodes `value` and has it written at the end of the turn, or returns why not.
   *
   * @param pace - whether the source waits while the channel is not writable: then its values are taken even over the limit
   */
  push<T>(lane: SendLane, encoder: Encoder<T>, value: T, pace: Pace): Refusal | undefined {
    if (this.publisher !== undefined) this.settlePublisher();
    const { state } = this;
    if (state.turnsAway !== undefined && !state.closed) return this.turnAway(lane);
    const isExempt = pace !== 'free' && (pace === 'last' || lane.watermark.writable);
    const verdict = state.push(lane === this.lane ? 'own' : 'client', encoder, value, isExempt);
    if (verdict !== 'accepted') return this.perform(verdict, lane);
    if (!this.isScheduled && state.isReady) this.schedule();
    return undefined;
  }

  /** `publisher` has values for this connection. It gives them at the end of the turn, or before the next value is sent. */
  await(publisher: Publisher): void {
    if (this.publisher !== undefined && this.publisher !== publisher) this.settlePublisher();
    this.publisher = publisher;
  }

  /** `publisher` has given its values, or gives them now. */
  settled(publisher: Publisher): void {
    if (this.publisher === publisher) this.publisher = undefined;
  }

  /** Has `publisher` give its values now. */
  settle(publisher: Publisher): void {
    if (this.publisher === publisher) this.settlePublisher();
  }

  /**
   * Writes what was accepted so far, and keeps what comes later until `resume` (T10). Must not be called while a value is
   * being encoded.
   *
   * @param onDrained - called once the kernel has taken everything that was accepted before, never within this call
   */
  suspend(onDrained: () => void): void {
    if (this.publisher !== undefined) this.settlePublisher();
    this.state.suspend();
    this.onDrained = onDrained;
    this.schedule();
  }

  /** Writes what has waited since `suspend`. */
  resume(): void {
    this.state.resume();
    this.flush();
  }

  /** Ends the sending side after what was sent (C6). */
  complete(): void {
    if (this.publisher !== undefined) this.settlePublisher();
    if (!this.state.complete()) return;
    this.lane.watermark.close();
    this.clientLane?.watermark.close();
    this.schedule();
  }

  /** Nothing more is written. Everyone who waits for bytes that were not written gets the error. */
  fail(error: SocketError): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    this.state.fail();
    this.onDrained = undefined;
    const { lane, clientLane, written } = this;
    lane.end(written, error);
    clientLane?.end(written, error);
  }

  /**
   * Parts with the client's channel: its values go to the next connection, and so do those that wait. The value that is
   * being written stays (K4).
   *
   * @param succeed - gets the new Outbound of the lane before anybody is woken: a sender that may go on then reaches it
   */
  retire(owner: OutboundOwner, succeed: (successor: Outbound) => void): void {
    const lane = this.clientLane;
    if (lane === undefined) return;
    this.clientLane = undefined;
    const retired = this.state.retire();
    const successor = new Outbound(this.state.limits, owner, lane, retired.rest);
    const endLost = lane.moveTo(successor, retired);
    this.lane.shift((offset) => retired.keptAt(offset));
    succeed(successor);
    endLost(this.written, new SocketError('ERR_CLOSED', 'the connection ended while the value was being written'));
    successor.wakeUp();
  }

  /** Why the value that was given last was not taken, and what to do instead (C4). */
  overflowError(): SocketError {
    const message =
      this.state.turnsAway === 'drop'
        ? "the client is disconnected, and whileDisconnected is 'drop'"
        : `more than maxBuffered (${this.state.limits.maxBuffered} bytes) would wait: send at the peer's pace, with ` +
          'sendFrom or await send; the option overflow sets what happens otherwise';
    return new SocketError('ERR_OVERFLOW', message);
  }

  /** Writes at the end of a turn. */
  flush(): void {
    this.write();
    if (this.isResting || this.socket === undefined) return;
    const { lane, clientLane } = this;
    const isAwaited = this.closed
      ? lane.hasWaiters || clientLane?.hasWaiters === true
      : lane.isAwaited || clientLane?.isAwaited === true;
    if (!isAwaited) return;
    // Woken at once, a source that is as fast as the kernel would never let the event loop go round.
    this.isResting = true;
    this.socket.scheduler.rest(() => {
      this.isResting = false;
      this.wakeUp();
    });
  }

  /** The kernel has taken the whole write. */
  taken(): void {
    this.state.taken();
    this.owner.progressed?.();
    this.write();
    this.wakeUp();
  }

  /** Does what is due: writes, then the report to `suspend`, or the FIN. */
  private write(): void {
    this.isScheduled = false;
    const { socket, state } = this;
    if (socket === undefined) return;
    const before = state.completed;
    while (state.next() === 'write') {
      const data = state.begin();
      if (data instanceof WriteBuffer ? spendBuffer(data, socket) : socket.writeAll(data)) state.taken();
    }
    if (state.completed > before) this.owner.progressed?.();
    switch (state.next()) {
      case 'drained': {
        const { onDrained } = this;
        this.onDrained = undefined;
        state.drained();
        onDrained?.();
        return;
      }
      case 'finish':
        // Not while a write is in progress: a socket that is ending can't be reset any more.
        state.finish();
        socket.end();
        this.owner.finishedSending?.();
        return;
      case 'none':
      case 'write':
    }
  }

  private schedule(): void {
    if (this.socket === undefined || this.isScheduled) return;
    this.isScheduled = true;
    this.socket.scheduler.add(this);
  }

  /** Does what a verdict other than `accepted` demands. */
  private perform(verdict: Exclude<Verdict, 'accepted'>, lane: SendLane): Refusal | undefined {
    switch (verdict) {
      case 'over':
        this.updateWatermarks();
        break;
      case 'early':
      case 'write':
        this.updateWatermarks();
        if (verdict === 'write' || this.socket?.scheduler.isDelivering === true) {
          const { isScheduled } = this;
          this.flush();
          // The flush has not taken it off the list of the turn.
          this.isScheduled = isScheduled;
        }
        break;
      case 'overflow':
        if (this.state.limits.overflow === 'drop') lane.drop();
        else this.owner.overflowed(this.overflowError());
        return 'overflow';
      default:
        return verdict;
    }
    if (this.state.isReady) this.schedule();
    return undefined;
  }

  /** There is no connection, and the value is not to wait for one. */
  private turnAway(lane: SendLane): Refusal {
    if (this.state.turnsAway === 'drop') {
      lane.drop();
      return 'overflow';
    }
    this.owner.overflowed(new SocketError('ERR_CLOSED', 'a value was sent while the client was disconnected'));
    return 'closed';
  }

  private settlePublisher(): void {
    const { publisher } = this;
    this.publisher = undefined;
    publisher?.settle(this);
  }

  private updateWatermarks(): void {
    const { lane, clientLane } = this;
    // While nobody may send, only a lower level changes anything: then the size need not be computed.
    if (!lane.watermark.writable && clientLane?.watermark.writable !== true) return;
    const { level } = this.state;
    lane.watermark.update(level);
    clientLane?.watermark.update(level);
  }

  private wakeUp(): void {
    this.wake(this.lane);
    if (this.clientLane === undefined) return;
    this.wake(this.clientLane);
    // A sender that was woken may have filled the buffer: the other lane was writable meanwhile.
    this.updateWatermarks();
  }

  private wake(lane: SendLane): void {
    const { state } = this;
    // Where values are dropped for want of a connection, what is paced waits for one (K13).
    lane.wake(state.turnsAway === 'drop' ? Infinity : state.level, state.written, state.closed);
  }
}

/**
 * The sending side as the channels of one owner see it: those of a connection, or the one of a client, which outlives
 * its connections. A client's connection has two lanes: what was given to the connection's own channels ends with it,
 * and what was given to the client's goes on to the next connection (C5, K4).
 */
export class SendLane {
  readonly watermark: Watermark;

  private target: Outbound;
  private connections = 0;
  private drops = 0;
  private isConnecting = false;
  private running = 0;
  private paced = 0;
  private handlers = 0;
  private senders: Waiters = noWaiters;
  private flushers: Waiters = noWaiters;
  private failure: SocketError | undefined = undefined;

  constructor(outbound: Outbound, highWaterMark: number) {
    this.target = outbound;
    this.watermark = new Watermark(highWaterMark);
  }

  /** Where its values go now. */
  get outbound(): Outbound {
    return this.target;
  }

  /** Changes with each connection, because each has an encoder of its own. */
  get stream(): number {
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
    return this.failure !== undefined || this.target.closed;
  }

  /** The error that ended it, unless it ended in order. */
  get error(): SocketError | undefined {
    return this.failure ?? this.target.error;
  }

  /** Encodes `value` and has it written at the end of the turn, or returns why not. */
  push<T>(encoder: Encoder<T>, value: T, pace: Pace = 'free'): Refusal | undefined {
    return this.failure === undefined ? this.target.push(this, encoder, value, pace) : 'closed';
  }

  /** Settles when the caller may send more (C5). Called after a successful push. */
  whenWritable(): Promise<void> {
    if (!this.isConnecting && this.watermark.writable) return Promise.resolve();
    const written = new Promise<void>((resolve, reject) => {
      this.senders = this.senders.with(this.target.accepted, resolve, reject);
    });
    return this.target.owner.reports ? handled(written) : written;
  }

  /** Calls `resolve` once the kernel has taken everything accepted so far, at once if it has. */
  whenFlushed(resolve: () => void, reject: (error: SocketError) => void): void {
    if (this.target.isFlushed) resolve();
    else this.flushers = this.flushers.with(this.target.accepted, resolve, reject);
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
    if (--this.running === 0) this.target.owner.settled?.();
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

  /** Its values go through `outbound` from now on, whose connection is there. */
  sendThrough(outbound: Outbound): void {
    this.target = outbound;
    this.isConnecting = false;
  }

  /**
   * Its values wait in `successor` from now on, for the next connection.
   *
   * @returns settles those who wait for the values that stay with the old connection
   */
  moveTo(successor: Outbound, retired: Retired): (written: number, error: SocketError) => void {
    const isMoved = (offset: number): boolean => retired.has(offset);
    const movedTo = (offset: number): number => retired.movedTo(offset);
    const { senders, flushers } = this;
    this.target = successor;
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
  return lane.error ?? originate(new SocketError('ERR_CLOSED', 'the sending side has ended'), lane.outbound.owner);
}

/**
 * Keeps a rejection that nobody handles from ending the process. A server reports itself why a connection failed (S19).
 * Callers that wait for the promise still get the error.
 */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
