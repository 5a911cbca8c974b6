import type { Encoder } from '../codecs/codec.js';
import { SocketError } from '../errors/socket-error.js';
import type { TransportSocket } from '../transport/transport.js';
import type { Flushable, FlushScheduler } from '../scheduling/flush-scheduler.js';
import { type LaneOwner, type LaneStream, SendLane } from './send-lane.js';
import { type OutboundLimits, type Parking, type Verdict, WriteState } from './write-state.js';

/** What an {@link Outbound} reports to the connection, or the client, that it belongs to. */
export interface OutboundOwner extends LaneOwner {
  /** A value could not be sent, and the owner has to fail: `overflow` or `whileDisconnected` is `'error'`. */
  sendFailed(error: SocketError): void;
  /** The kernel has taken bytes. */
  progressed?(): void;
  /** The FIN was sent. */
  finishedSending?(): void;
}

/** Has values for several connections, and gives them to each before anything else is sent on it. */
export interface Publisher extends Flushable {
  /** Sends the values that `outbound` lacks. */
  deliverTo(outbound: Outbound): void;
}

/**
 * How a source sends: freely, so that `overflow` acts; only while the channel is writable; or the rest of what it has in
 * memory already, which has nowhere else to wait.
 */
export type Pace = 'free' | 'paced' | 'last';

/** Why a value was not taken: the side is closed, the value is over `maxBuffered`, or it can't be encoded. */
export type Refusal = 'closed' | 'overflow' | SocketError;

/**
 * The sending side of one connection. It encodes values at once, collects them for the turn, and writes them together. While
 * a write is in progress they wait, and the next write takes all of them (C3, C4).
 *
 * `WriteState` decides what is written, and when. This class does it: it writes to the socket, adds itself to the scheduler,
 * and notifies its owner and its lanes. Before a client has a connection, its Outbound has no socket, and keeps the values.
 */
export class Outbound implements Flushable, LaneStream {
  readonly owner: OutboundOwner;
  /** What the channels of its owner send on. */
  readonly lane: SendLane;

  private readonly state: WriteState;
  /** What the client's channel sends on, while its values go to this connection. */
  private clientLane: SendLane | undefined = undefined;
  private socket: TransportSocket | undefined = undefined;
  private failure: SocketError | undefined = undefined;
  /** Whether it is on the scheduler's list, and so will be flushed at the end of the turn. */
  private isScheduled = false;
  /** Whether the scheduler will wake the senders, after the other events of the event loop. */
  private isWakeScheduled = false;
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
    if (this.publisher !== undefined) this.pullPublished();
    return this.state.level;
  }

  /** How many bytes the kernel has taken, those of the current write included. */
  get written(): number {
    return this.state.recordProgress();
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
  get scheduler(): FlushScheduler | undefined {
    return this.socket?.scheduler;
  }

  /** The connection is there: what waits is written first (C2). */
  attach(socket: TransportSocket): void {
    this.socket = socket;
    this.state.attach(socket);
    this.lane.connected();
    this.flush('haste');
  }

  /** Decides what becomes of values until the connection is there. */
  park(parking: Parking): void {
    this.state.park(parking);
    this.updateWatermarks();
  }

  /**
   * The client's channel sends here from now on. What waits in `client`, which had no connection, comes behind what was
   * sent here already (C2).
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
    // Each lane has counted its own bytes only.
    if (state.level > state.limits.highWaterMark) this.updateWatermarks();
  }

  /**
   * Encodes `value` and has it written at the end of the turn, or returns why not.
   *
   * @param pace - whether the source waits while the channel is not writable: then its values are taken even over the limit
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

  /** Announces values of `publisher`, which delivers them at the end of the turn, or before the next value is sent. */
  announce(publisher: Publisher): void {
    if (this.publisher !== undefined && this.publisher !== publisher) this.pullPublished();
    this.publisher = publisher;
  }

  /** Withdraws the announcement of `publisher`, because it has delivered its values, or delivers them now. */
  clearPublisher(publisher: Publisher): void {
    if (this.publisher === publisher) this.publisher = undefined;
  }

  /** Asks `publisher` for its values now, if it has announced any. */
  pullFrom(publisher: Publisher): void {
    if (this.publisher === publisher) this.pullPublished();
  }

  /**
   * Writes what was accepted so far, and keeps what comes later until `resume` (T10). Must not be called while a value is
   * being encoded.
   *
   * @param onDrained - called once the kernel has taken everything that was accepted before, never within this call
   */
  suspend(onDrained: () => void): void {
    if (this.publisher !== undefined) this.pullPublished();
    this.state.suspend();
    this.onDrained = onDrained;
    this.schedule();
  }

  /** Writes what has waited since `suspend`. */
  resume(): void {
    this.state.resume();
    this.flush('haste');
  }

  /** Ends the sending side after what was sent (C6). */
  complete(): void {
    if (this.publisher !== undefined) this.pullPublished();
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
   * @param succeed - gets the new Outbound of the lane before any sender is woken, so that what they send reaches it
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
    const message = this.state.dropsAll
      ? "the client is disconnected, and whileDisconnected is 'drop'"
      : `more than maxBuffered (${this.state.limits.maxBuffered} bytes) would wait: send at the peer's pace, with ` +
        'sendFrom or await send; the option overflow sets what happens otherwise';
    return new SocketError('ERR_OVERFLOW', message);
  }

  /**
   * Writes what is due. The senders that wait for it are woken after the other events of the event loop, or at once if the
   * kernel has taken a write.
   *
   * @param cause - why it is called: the scheduler has reached the end of the turn, the caller can't wait for that, or the
   * kernel has taken the last write
   */
  flush(cause: 'turn' | 'haste' | 'taken' = 'turn'): void {
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
      // Not while a write is in progress: a socket that is ending can't be reset any more.
      socket.end();
      this.owner.finishedSending?.();
    }
    if (cause === 'taken') this.wakeUp();
    else this.wakeLater(socket.scheduler);
  }

  /** The kernel has taken the whole write. */
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
    // While nobody may send, only a lower level changes anything: then the size need not be computed.
    if (!lane.watermark.writable && clientLane?.watermark.writable !== true) return;
    const { pressure } = this.state;
    lane.watermark.update(pressure);
    clientLane?.watermark.update(pressure);
  }

  /** If they were woken at once, a source that is as fast as the kernel would keep the event loop from all other events. */
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
    // A sender that was woken may have filled the buffer: the other lane was writable meanwhile.
    this.updateWatermarks();
  }

  private wake(lane: SendLane): void {
    const { state } = this;
    lane.wake(state.pressure, state.recordProgress(), state.closed);
  }
}
