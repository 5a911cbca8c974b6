import type { Encoder } from '../codecs/codec.js';
import { SocketError } from '../errors/socket-error.js';
import { originate } from '../errors/error-origin.js';
import type { TransportSocket } from '../transport/transport.js';
import type { OutboundLimits, OutboundOwner, Pace, Publisher, Refusal } from './outbound-owner.js';
import { noParts, WriteBatches } from './write-batches.js';
import { ownBuffer, spendBuffer, unusedBuffer } from './write-buffer.js';
import type { Flushable, FlushScheduler } from '../scheduling/flush-scheduler.js';
import { SendLane } from './send-lane.js';

/** What is sent in one turn goes out in one write up to here, in bytes; more goes in parts. */
const largestWrite = 65_536;
/** While a chunk is being delivered, so many bytes go out at once: the peer works on them meanwhile (C3). */
const earlyWrite = 32_768;
/** A part has half the high-water mark, so that the last but one being taken means that there is room; but not less. */
const smallestPart = 16_384;

/**
 * The sending side of one connection: values are encoded at once, collected for the turn, and written together; while
 * a write is under way they wait, and the next write takes them all (C3, C4).
 */
export class Outbound implements Flushable {
  /** What is done with values while there is no connection. */
  parking: 'buffer' | 'drop' | 'error' = 'buffer';
  /** Whom it tells. */
  owner: OutboundOwner;
  /** What its owner's channels send on. */
  readonly lane: SendLane;

  private readonly limits: OutboundLimits;
  /** What the client's channel sends on, where its values go to this connection. */
  private guest: SendLane | undefined;
  /** Its own only while something waits in it. */
  private buffer = unusedBuffer;
  /** The lane of what waits in the buffer. */
  private writer: SendLane;
  private socket: TransportSocket | undefined;
  /** The size of the writes that are done. */
  private done = 0;
  /** The size of the write under way. */
  private writing = 0;
  private reached = 0;
  private parts = noParts;
  private queued = false;
  /** Who has published values that were not yet given to this connection. */
  private awaited: Publisher | undefined;
  private state: 'open' | 'ending' | 'ended' = 'open';
  private failure: SocketError | undefined;
  private resting = false;
  /** Whether a value is being encoded: its encoder may send, too, and nothing is to be taken from the buffer within that. */
  adding = false;
  /** Whether only the parts that were marked may be written: what comes after them waits for `resume`. */
  private suspended = false;
  /** Called once they were taken. */
  private drained: (() => void) | undefined;
  /** While at most so many bytes wait in the buffer, a value is taken without a closer look. */
  private ceiling = 0;

  /** @param lane - one that moves here from the Outbound of an earlier connection; by default a new one */
  constructor(limits: OutboundLimits, owner: OutboundOwner, lane?: SendLane) {
    this.limits = limits;
    this.owner = owner;
    this.lane = lane ?? new SendLane(this, limits.highWaterMark);
    this.writer = this.lane;
  }

  /** Bytes that were accepted and that the kernel has not taken. */
  get bufferedBytes(): number {
    if (this.awaited !== undefined) this.settleAwaited();
    return this.level;
  }

  /** As `bufferedBytes`, without what was published and not yet given to this connection. */
  private get level(): number {
    return this.buffer.size + this.parts.size + this.unsent;
  }

  /** How many bytes the transport has taken, those of the write under way among them. */
  get written(): number {
    // A socket that is gone doesn't tell any more how far it had come.
    this.reached = Math.max(this.reached, this.done + this.writing - this.unsent);
    return this.reached;
  }

  /** Whether nothing more can be sent. */
  get closed(): boolean {
    return this.state !== 'open';
  }

  /** What ended it, where it did not end in order. */
  get error(): SocketError | undefined {
    return this.failure;
  }

  /** Whether the FIN, too, was handed over. */
  get ended(): boolean {
    return this.state === 'ended';
  }

  /** The connection is there: what waits is written first (C2). */
  attach(socket: TransportSocket): void {
    this.socket = socket;
    this.lane.expecting = false;
    this.flush();
  }

  /** The client's channel sends here from now on; what waits on its lane comes behind what was sent here already (C2). */
  adopt(lane: SendLane): void {
    const { outbound } = lane;
    const before = this.accepted;
    if (before > 0) {
      const shift = (offset: number): number => offset + before;
      lane.senders = lane.senders.moved(shift);
      lane.flushers = lane.flushers.moved(shift);
      this.seal();
    }
    this.parts = this.parts.with(outbound.parts, lane);
    this.buffer = outbound.buffer;
    this.writer = this.guest = lane;
    outbound.buffer = unusedBuffer;
    outbound.parts = noParts;
    lane.outbound = this;
    lane.expecting = false;
    this.ceiling = 0;
    if (outbound.state === 'ending') this.complete();
    this.flush();
    // Each lane has known of its own bytes only.
    if (this.level > this.limits.highWaterMark) this.updateWatermarks();
    this.setCeiling();
  }

  /**
   * Encodes `value` and has it written at the end of the turn, or says why not.
   *
   * @param pace - whether the source waits while the channel is not writable: what it gives otherwise is always taken
   */
  push<T>(lane: SendLane, encoder: Encoder<T>, value: T, pace: Pace): Refusal | undefined {
    if (this.awaited !== undefined) this.settleAwaited();
    if (this.state !== 'open') return 'closed';
    if (this.socket === undefined && this.parking !== 'buffer') return this.turnAway(lane);
    if (lane !== this.writer) this.changeWriter(lane);
    const buffer = (this.buffer = ownBuffer(this.buffer));
    const { adding } = this;
    this.adding = true;
    const error = buffer.add(encoder, value);
    this.adding = adding;
    // An encoder may do anything, end the connection too.
    if (error !== undefined || this.failure !== undefined) return error ?? 'closed';
    if (buffer.atMost > this.ceiling && !this.fits(lane, pace)) return 'overflow';
    if (!this.queued && this.writing === 0 && this.socket !== undefined && this.buffer === buffer) {
      this.queued = true;
      this.socket.scheduler.add(this);
    }
    return undefined;
  }

  /** Tells that `publisher` has values for this connection: they are given at the end of the turn, or before what is sent first. */
  await(publisher: Publisher): void {
    if (this.awaited !== undefined && this.awaited !== publisher) this.settleAwaited();
    this.awaited = publisher;
  }

  /** How many more bytes may wait before the policy acts. */
  get room(): number {
    return this.limits.maxBuffered - this.level;
  }

  /** Whose turns its writes belong to. */
  get turn(): FlushScheduler | undefined {
    return this.socket?.scheduler;
  }

  /** `publisher` gives what it has, or has none any more. */
  settled(publisher: Publisher): void {
    if (this.awaited === publisher) this.awaited = undefined;
  }

  /** Has `publisher` give what it has for this connection now. */
  settle(publisher: Publisher): void {
    if (this.awaited === publisher) this.settleAwaited();
  }

  /** Whether the kernel has taken all that was accepted. */
  get isFlushed(): boolean {
    return this.writing + this.parts.size + this.buffer.size === 0;
  }

  /**
   * Writes what was accepted so far, and keeps what comes later until `resume` (T10). Must not be called while a value is
   * being encoded.
   *
   * @param taken - called once the transport has taken everything that was accepted before, never within this call
   */
  suspend(taken: () => void): void {
    if (this.awaited !== undefined) this.settleAwaited();
    this.seal().markAhead();
    this.suspended = true;
    this.drained = taken;
    if (this.socket !== undefined && !this.queued) {
      this.queued = true;
      this.socket.scheduler.add(this);
    }
  }

  /** Writes what has waited since `suspend`. */
  resume(): void {
    this.suspended = false;
    this.flush();
  }

  /** Ends the sending side after what was sent (C6). */
  complete(): void {
    if (this.awaited !== undefined) this.settleAwaited();
    if (this.state !== 'open') return;
    this.state = 'ending';
    this.lane.watermark.close();
    this.guest?.watermark.close();
    if (this.socket !== undefined && !this.queued) {
      this.queued = true;
      this.socket.scheduler.add(this);
    }
  }

  /** Nothing more is written: whoever waits for bytes that were not is told why. */
  fail(error: SocketError): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    this.state = 'ended';
    this.suspended = false;
    this.drained = undefined;
    this.done = this.written;
    this.writing = 0;
    this.buffer = unusedBuffer;
    this.parts = noParts;
    const { lane, guest, written } = this;
    lane.end(written, error);
    guest?.end(written, error);
  }

  /**
   * Parts with the client's channel, whose values go to the next connection: what waits on its lane goes with it,
   * whereas the value that is being written is still this connection's (K4).
   *
   * @param succeed - is given the lane's new Outbound before anybody learns of it: a sender that may go on then reaches it
   */
  retire(owner: OutboundOwner, succeed: (heir: Outbound) => void): void {
    const lane = this.guest;
    if (lane === undefined) return;
    const heir = new Outbound(this.limits, owner, lane);
    const lost = new SocketError('ERR_CLOSED', 'the connection ended while the value was being written');
    const handed = this.done + this.writing;
    const whole = this.adding ? undefined : this.seal();
    const split = this.parts.splitWhole(lane);
    heir.parts = new WriteBatches(split.taken);
    if (whole === undefined && this.writer === lane) {
      heir.buffer = this.buffer;
      this.buffer = unusedBuffer;
    }
    this.writer = this.lane;
    this.guest = undefined;
    heir.state = this.state === 'open' ? 'open' : 'ending';
    lane.outbound = heir;
    lane.stream++;
    const isMoved = (offset: number): boolean => offset > handed && split.has(offset - handed);
    const movedTo = (offset: number): number => split.takenBefore(offset - handed);
    const { senders, flushers } = lane;
    lane.senders = senders.split(isMoved).moved(movedTo);
    lane.flushers = flushers.split(isMoved).moved(movedTo);
    const keptAt = (offset: number): number => offset - (offset > handed ? split.takenBefore(offset - handed) : 0);
    this.lane.senders = this.lane.senders.moved(keptAt);
    this.lane.flushers = this.lane.flushers.moved(keptAt);
    succeed(heir);
    senders.end(this.written, lost);
    flushers.end(this.written, lost);
    heir.wakeUp();
  }

  /** Why the value that was given last was not taken, and what to do instead (C4). */
  overflowError(): SocketError {
    const isDropped = this.socket === undefined && this.parking === 'drop';
    const message = isDropped
      ? "the client is disconnected, and whileDisconnected is 'drop'"
      : `more than maxBuffered (${this.limits.maxBuffered} bytes) would wait: send at the peer's pace, with sendFrom or ` +
        'await send; the option overflow sets what happens otherwise';
    return new SocketError('ERR_OVERFLOW', message);
  }

  /** Writes at the end of a turn. */
  flush(): void {
    this.write();
    if (this.resting || this.socket === undefined) return;
    const isAwaited = this.closed ? this.hasWaiters : this.lane.isAwaited || this.guest?.isAwaited === true;
    if (!isAwaited) return;
    // Told at once, a source that is as fast as the kernel would go on and on, and the event loop never round.
    this.resting = true;
    this.socket.scheduler.rest(() => {
      this.resting = false;
      this.wakeUp();
    });
  }

  /** Writes what waits, unless a write is under way; then the FIN, where it is due. */
  private write(): void {
    this.queued = false;
    const socket = this.socket;
    if (socket === undefined || this.writing > 0 || this.state === 'ended' || this.adding) return;
    const before = this.done;
    while (this.writing === 0 && this.writeNext(socket));
    this.setCeiling();
    if (this.done > before) this.owner.progressed?.();
    if (this.suspended) {
      if (this.writing === 0 && !this.parts.startAhead) this.drain();
      return;
    }
    // Not while a write is under way: a socket that is ending can't be reset any more.
    if (this.state === 'ending' && this.writing === 0) {
      this.state = 'ended';
      socket.end();
      this.owner.finishedSending?.();
    }
  }

  /** Writes what may go at once; gives whether there was anything. */
  private writeNext(socket: TransportSocket): boolean {
    if (this.suspended && !this.parts.startAhead) return false;
    const size = this.buffer.size;
    if (this.parts.size === 0 && size > largestWrite) {
      this.parts = noParts.with(this.takeParts(), this.writer);
    }
    const part = this.parts.shift();
    if (part === undefined && size === 0) return false;
    this.writing = part === undefined ? size : part.size;
    const { buffer } = this;
    if (part === undefined) this.buffer = unusedBuffer;
    if (part === undefined ? spendBuffer(buffer, socket) : socket.writeAll(part.pieces)) {
      this.done += this.writing;
      this.writing = 0;
    }
    return true;
  }

  /** The transport has taken the whole write. */
  taken(): void {
    this.done += this.writing;
    this.writing = 0;
    this.owner.progressed?.();
    this.write();
    this.wakeUp();
  }

  private drain(): void {
    const { drained } = this;
    this.drained = undefined;
    drained?.();
  }

  private get unsent(): number {
    return this.writing === 0 ? 0 : Math.min(this.writing, this.socket?.unsent ?? 0);
  }

  /** There is no connection, and the value is not to wait for one. */
  private turnAway(lane: SendLane): Refusal {
    if (this.parking === 'drop') lane.dropped++;
    else this.owner.overflowed(new SocketError('ERR_CLOSED', 'a value was sent while the client was disconnected'));
    return this.parking === 'drop' ? 'overflow' : 'closed';
  }

  /** The offset in the stream of the end of what was accepted. */
  get accepted(): number {
    return this.done + this.writing + this.parts.size + this.buffer.size;
  }

  /** Judges the value that was encoded last by exact sizes: it stays, or it is taken out again and the policy acts. */
  private fits(lane: SendLane, pace: Pace): boolean {
    const { maxBuffered, overflow } = this.limits;
    const { queued, socket } = this;
    const limit = socket?.scheduler.isDelivering === true ? Math.min(earlyWrite, maxBuffered) : maxBuffered;
    this.ceiling = 0;
    // Where only this turn's messages wait, the kernel is asked to take them before any is refused.
    const mayWrite = socket !== undefined && this.writing === 0 && !this.suspended;
    if (this.level > limit && mayWrite && !this.adding) {
      this.updateWatermarks();
      this.flush();
      // It is still in the turn's list, if it was.
      this.queued = queued;
      return true;
    }
    const taken = pace === 'last' || (pace === 'paced' && lane.watermark.writable);
    if (this.level > maxBuffered && !taken && (!this.buffer.wasEmpty || this.parts.size + this.unsent > 0)) {
      this.buffer.rollback();
      if (overflow === 'drop') lane.dropped++;
      else this.owner.overflowed(this.overflowError());
      return false;
    }
    this.updateWatermarks();
    this.setCeiling();
    return true;
  }

  private updateWatermarks(): void {
    this.lane.watermark.update(this.level);
    this.guest?.watermark.update(this.level);
  }

  private setCeiling(): void {
    const mark = Math.min(this.lane.watermark.mark, this.guest?.watermark.mark ?? Infinity);
    const limit = Math.min(mark, this.limits.maxBuffered) - this.parts.size - this.writing;
    this.ceiling = this.writing === 0 ? Math.min(earlyWrite, limit) : limit;
  }

  private settleAwaited(): void {
    const publisher = this.awaited;
    this.awaited = undefined;
    publisher?.settle(this);
  }

  private get hasWaiters(): boolean {
    const { lane, guest } = this;
    return (
      lane.senders.size + lane.flushers.size + (guest === undefined ? 0 : guest.senders.size + guest.flushers.size) > 0
    );
  }

  /** Another lane sends: what waits in the buffer keeps its own lane, and its place. */
  private changeWriter(lane: SendLane): void {
    // Within an encoder the buffer has to stay as it is.
    if (this.adding) return;
    this.seal();
    this.writer = lane;
    // It is for what waits in the buffer, and that has become parts.
    this.ceiling = 0;
  }

  /** Makes parts of all that waits. */
  private seal(): WriteBatches {
    if (this.buffer !== unusedBuffer && this.buffer.atMost > 0) {
      this.parts = this.parts.with(this.takeParts(), this.writer);
    }
    return this.parts;
  }

  private takeParts(): WriteBatches {
    return this.buffer.takeParts(Math.max(smallestPart, this.limits.highWaterMark / 2));
  }

  private wakeUp(): void {
    this.wakeUpOn(this.lane);
    if (this.guest !== undefined) this.wakeUpOn(this.guest);
    this.setCeiling();
  }

  /** A sender that is woken up may send within the call: those of the other lane are told what waits then. */
  private wakeUpOn(lane: SendLane): void {
    this.ceiling = 0;
    // Where values are dropped for want of a connection, what is paced waits for one (K13).
    const level = this.socket === undefined && this.parking === 'drop' ? Infinity : this.level;
    lane.wake(level, this.written, this.closed);
  }
}

/** Why nothing more can be sent: what ended the sending side, or that it was ended in order. */
export function closedError(lane: SendLane): SocketError {
  return lane.error ?? originate(new SocketError('ERR_CLOSED', 'the sending side has ended'), lane.outbound.owner);
}
