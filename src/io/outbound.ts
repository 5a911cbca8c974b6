import type { Encoder } from '../codecs/codec.js';
import { SocketError } from '../errors/socket-error.js';
import type { TransportSocket } from '../transport/transport.js';
import type { Flushable, FlushScheduler } from '../scheduling/flush-scheduler.js';
import { type LaneOwner, type LaneStream, SendLane } from './send-lane.js';
import { type OutboundLimits, type Parking, type Verdict, WriteState } from './write-state.js';

/** The connection, or the client, that an {@link Outbound} belongs to and reports to. */
export interface OutboundOwner extends LaneOwner {
  /** Called when a value was refused. The owner has to fail, because `overflow` or `whileDisconnected` is `'error'`. */
  sendFailed(error: SocketError): void;
  /** Called when the kernel has taken bytes. */
  progressed?(): void;
  /** Called when the FIN has been sent. */
  finishedSending?(): void;
}

/**
 * Sends values on several connections at the end of the turn. Before a connection sends any other value, the connection
 * asks the publisher for the values that the publisher has announced.
 */
export interface Publisher extends Flushable {
  /** Sends the announced values that `outbound` does not have yet. */
  deliverTo(outbound: Outbound): void;
}

/**
 * How a source sends a value:
 *
 * - `free`: the source sends at any time, so the option `overflow` applies.
 * - `paced`: the source sends only while the channel is writable. A paced value is accepted even if it exceeds
 *   `maxBuffered`.
 * - `last`: the source has stopped waiting, and sends immediately. The value is already in the memory of the process,
 *   so it is always accepted.
 */
export type Pace = 'free' | 'paced' | 'last';

/** Why a value was refused. A SocketError means that the value can't be encoded. */
export type Refusal = 'closed' | 'overflow' | SocketError;

/**
 * The sending side of one connection. An Outbound encodes each value immediately, and writes all values of a turn
 * together. Values sent during a write are queued for the next write (C3, C4).
 *
 * `WriteState` decides what is written, and when. `Outbound` does the writing, and notifies the owner and the lanes. A
 * client without a connection has an Outbound that has no socket and queues values for the next connection.
 */
export class Outbound implements Flushable, LaneStream {
  readonly owner: OutboundOwner;
  /** The lane of the owner's channels. */
  readonly lane: SendLane;

  private readonly state: WriteState;
  /** The lane of the client's channel, while that channel sends on this connection. */
  private clientLane: SendLane | undefined = undefined;
  private socket: TransportSocket | undefined = undefined;
  private failure: SocketError | undefined = undefined;
  private isScheduled = false;
  private isWakeScheduled = false;
  /** The publisher that has announced values but has not delivered these values yet. */
  private publisher: Publisher | undefined = undefined;
  private onDrained: (() => void) | undefined = undefined;

  /**
   * @param lane - a lane that moves to this Outbound from the Outbound of an earlier connection; by default a new lane
   * @param state - the unsent values of `lane`
   */
  constructor(limits: OutboundLimits, owner: OutboundOwner, lane?: SendLane, state?: WriteState) {
    this.owner = owner;
    this.state = state ?? new WriteState(limits);
    this.lane = lane ?? new SendLane(this, limits.highWaterMark);
  }

  get bufferedBytes(): number {
    if (this.publisher !== undefined) this.pullPublished();
    return this.state.level;
  }

  /**
   * The number of bytes that the kernel has taken. In an unfinished write, the bytes that the kernel has taken count as
   * well.
   */
  get written(): number {
    return this.state.recordProgress();
  }

  get accepted(): number {
    return this.state.accepted;
  }

  get closed(): boolean {
    return this.state.closed;
  }

  get error(): SocketError | undefined {
    return this.failure;
  }

  get ended(): boolean {
    return this.state.ended;
  }

  get isFlushed(): boolean {
    return this.state.isFlushed;
  }

  get isEncoding(): boolean {
    return this.state.isEncoding;
  }

  /** How many more bytes can be queued before `overflow` applies. */
  get room(): number {
    return this.state.limits.maxBuffered - this.state.level;
  }

  get scheduler(): FlushScheduler | undefined {
    return this.socket?.scheduler;
  }

  /** Starts to write to `socket`, beginning with the queued values (C2). */
  attach(socket: TransportSocket): void {
    this.socket = socket;
    this.state.attach(socket);
    this.lane.connected();
    this.flush('haste');
  }

  /** Sets whether values are queued, dropped or refused until the connection is open. */
  park(parking: Parking): void {
    this.state.park(parking);
    this.updateWatermarks();
  }

  /**
   * Takes over the client's channel, which from now on sends through this Outbound. `client` is the client's Outbound
   * without a connection. The values queued in `client` are sent after the values that this Outbound has already
   * accepted (C2).
   */
  adopt(client: Outbound): void {
    const { state } = this;
    const { lane } = client;
    const before = state.accepted;
    if (before > 0) lane.shift((offset) => offset + before);
    state.adopt(client.state);
    this.clientLane = lane;
    lane.joinStream(this);
    if (client.closed) this.complete();
    this.flush('haste');
    // Until now, each lane has compared only its own bytes with `highWaterMark`. Together, the bytes of the two lanes
    // may exceed `highWaterMark`.
    if (state.level > state.limits.highWaterMark) this.updateWatermarks();
  }

  /**
   * Encodes `value`, and schedules a flush for the end of the turn.
   *
   * @returns the reason why the value was refused; undefined if the value was accepted
   */
  push<T>(lane: SendLane, encoder: Encoder<T>, value: T, pace: Pace): Refusal | undefined {
    if (this.publisher !== undefined) this.pullPublished();
    const { state } = this;
    const isExempt = pace !== 'free' && (pace === 'last' || lane.watermark.writable);
    const verdict = state.push(lane === this.lane ? 'own' : 'client', encoder, value, isExempt);
    if (verdict !== 'accepted') return this.perform(verdict, lane);
    if (!this.isScheduled && state.isReady) this.schedule();
    return undefined;
  }

  /** Announces values that `publisher` will deliver at the end of the turn, or earlier if another value is sent. */
  announce(publisher: Publisher): void {
    if (this.publisher !== undefined && this.publisher !== publisher) this.pullPublished();
    this.publisher = publisher;
  }

  /**
   * Withdraws the announcement of `publisher`. Call when `publisher` has delivered its values, or is about to deliver
   * them.
   */
  clearPublisher(publisher: Publisher): void {
    if (this.publisher === publisher) this.publisher = undefined;
  }

  /** If `publisher` has announced values, asks `publisher` for these values now. */
  pullFrom(publisher: Publisher): void {
    if (this.publisher === publisher) this.pullPublished();
  }

  /**
   * Writes everything accepted so far, and queues later values until `resume` (T10). Must not be called by an encoder.
   *
   * @param onDrained - called when the kernel has taken everything accepted so far, but never during the call of
   * `suspend`
   */
  suspend(onDrained: () => void): void {
    if (this.publisher !== undefined) this.pullPublished();
    this.state.suspend();
    this.onDrained = onDrained;
    this.schedule();
  }

  resume(): void {
    this.state.resume();
    this.flush('haste');
  }

  /** Sends the FIN after everything accepted so far, and refuses later values (C6). */
  complete(): void {
    if (this.publisher !== undefined) this.pullPublished();
    if (!this.state.complete()) return;
    this.lane.watermark.close();
    this.clientLane?.watermark.close();
    this.schedule();
  }

  /** Drops everything unsent, and rejects the callers whose values are lost. */
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
   * Moves the client's lane, with its unwritten values, to a new Outbound for the next connection. A value that is
   * being written stays in this Outbound (K4).
   *
   * @param succeed - called with the new Outbound before any sender is woken, so that later values go to that Outbound
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

  overflowError(): SocketError {
    const message = this.state.dropsAll
      ? "the client is disconnected, and whileDisconnected is 'drop'"
      : `more than maxBuffered (${this.state.limits.maxBuffered} bytes) would be queued: send at the peer's pace, with ` +
        'sendFrom or await send; the option overflow sets what happens otherwise';
    return new SocketError('ERR_OVERFLOW', message);
  }

  /**
   * Writes everything that is due, and wakes the waiting senders.
   *
   * @param cause - `turn`: the scheduler calls this method at the end of the turn. `haste`: the caller can't wait for
   * the end of the turn. `taken`: the kernel has taken the last write. Only `taken` wakes the senders immediately
   */
  flush(cause: 'turn' | 'haste' | 'taken'): void {
    if (cause === 'turn') this.isScheduled = false;
    const { socket, state } = this;
    if (socket === undefined) return;
    const { completed } = state;
    let due = state.next();
    while (typeof due === 'object') {
      state.wrote(due, due.writeTo(socket));
      due = state.next();
    }
    if (state.completed > completed) this.owner.progressed?.();
    if (due === 'drained') this.reportDrained();
    else if (due === 'finish') {
      // `end` is called only after the last write has finished, because a socket that is ending can no longer be reset.
      socket.end();
      this.owner.finishedSending?.();
    }
    if (cause === 'taken') this.wakeUp();
    else this.wakeLater(socket.scheduler);
  }

  /** Call when the kernel has taken all of the current write. */
  taken(): void {
    this.state.taken();
    this.owner.progressed?.();
    this.flush('taken');
  }

  private reportDrained(): void {
    const { onDrained } = this;
    this.onDrained = undefined;
    onDrained?.();
  }

  private schedule(): void {
    if (this.socket === undefined || this.isScheduled) return;
    this.isScheduled = true;
    this.socket.scheduler.add(this);
  }

  private perform(verdict: Exclude<Verdict, 'accepted'>, lane: SendLane): Refusal | undefined {
    switch (verdict) {
      case 'over':
        this.updateWatermarks();
        break;
      case 'early':
      case 'write':
        this.updateWatermarks();
        if (verdict === 'write' || this.socket?.scheduler.isDelivering === true) {
          this.flush('haste');
        }
        break;
      case 'dropped':
        lane.drop();
        return 'overflow';
      case 'overflow':
        this.owner.sendFailed(this.overflowError());
        return 'overflow';
      case 'disconnected':
        this.owner.sendFailed(new SocketError('ERR_CLOSED', 'a value was sent while the client was disconnected'));
        return 'closed';
      default:
        return verdict;
    }
    if (this.state.isReady) this.schedule();
    return undefined;
  }

  private pullPublished(): void {
    const { publisher } = this;
    this.publisher = undefined;
    publisher?.deliverTo(this);
  }

  private updateWatermarks(): void {
    const { lane, clientLane } = this;
    // The level has risen, so a watermark that is already full stays full.
    if (!lane.watermark.writable && clientLane?.watermark.writable !== true) return;
    const { pressure } = this.state;
    lane.watermark.update(pressure);
    clientLane?.watermark.update(pressure);
  }

  /**
   * Wakes the senders when the event loop has handled other events. If the senders were woken immediately, a source as
   * fast as the kernel would block the event loop.
   */
  private wakeLater(scheduler: FlushScheduler): void {
    if (this.isWakeScheduled) return;
    const { lane, clientLane } = this;
    const isAwaited = this.closed
      ? lane.hasWaiters || clientLane?.hasWaiters === true
      : lane.isAwaited || clientLane?.isAwaited === true;
    if (!isAwaited) return;
    this.isWakeScheduled = true;
    scheduler.afterOtherEvents(() => {
      this.isWakeScheduled = false;
      this.wakeUp();
    });
  }

  private wakeUp(): void {
    this.wake(this.lane);
    if (this.clientLane === undefined) return;
    this.wake(this.clientLane);
    // The senders of one lane may have filled the buffer, so the other lane may no longer be writable.
    this.updateWatermarks();
  }

  private wake(lane: SendLane): void {
    const { state } = this;
    lane.wake(state.pressure, state.recordProgress(), state.closed);
  }
}
