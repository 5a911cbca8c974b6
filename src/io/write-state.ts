import type { Encoder } from '../codecs/codec.js';
import type { SocketError } from '../errors/socket-error.js';
import { noBatches, type ValueSender, type Split, type Write, WriteBatches } from './write-batches.js';
import { ownBuffer, returnBuffer, unusedBuffer, WriteBuffer } from './write-buffer.js';

/** The options that bound what is buffered, all in bytes. */
export interface OutboundLimits {
  readonly highWaterMark: number;
  readonly maxBuffered: number;
  readonly overflow: 'error' | 'drop';
}

/** What becomes of values while there is no connection: they wait, are dropped, or are refused. */
export type Parking = 'buffer' | 'drop' | 'error';

/** Everything sent in one turn goes out in one write up to this size, in bytes; more goes out in batches. */
const largestWrite = 65_536;
/** While a chunk is being delivered, a write begins at this size: the peer works on it meanwhile (C3). */
const earlyWrite = 32_768;
/** A batch has half the high-water mark, so that there is room when the last but one is taken, but not less than this. */
const smallestBatch = 16_384;

/**
 * What the driver has to do about a value:
 *
 * - `accepted`: write it at the end of the turn.
 * - `over`: the same; the level may have passed the high-water mark, too.
 * - `early`: as `over`; within a delivery, write at once.
 * - `write`: write at once: more than `maxBuffered` waits, and the kernel has not been asked yet to take any of it.
 * - `dropped`: count it: the value is over `maxBuffered` with the policy `drop`, or has no connection.
 * - `overflow`: report it: the value is over `maxBuffered` with the policy `error`.
 * - `disconnected`: report it: the value has no connection, and must not wait for one.
 * - `closed`, or an error: the value was refused.
 */
export type Verdict =
  'accepted' | 'over' | 'early' | 'write' | 'dropped' | 'overflow' | 'disconnected' | 'closed' | SocketError;

/** What is due: nothing, a write, the report that all from before `suspend` is written, or the FIN. */
export type WriteStep = 'none' | Write | 'drained' | 'finish';

/** Tells how far the kernel is with the current write. */
export interface Kernel {
  /** How many bytes of the current write the kernel has not taken. */
  readonly unsent: number;
}

/**
 * The state of the sending side of one connection. It does no I/O: a method takes an input, changes the state, and returns
 * what the driver (`Outbound`) has to do.
 *
 * Four small machines:
 *
 * | machine | states                                                                                  |
 * | ------- | --------------------------------------------------------------------------------------- |
 * | side    | `open` → `ending` (no more values) → `ended` (FIN sent); from each of them → `failed`   |
 * | link    | no connection: `buffer`, `drop` or `error`; → `ready` ⇄ `writing`                       |
 * | gate    | `open` → `draining` (what came before `suspend` is written) → `held` → `open`           |
 * | buffer  | `idle` ⇄ `encoding` (in `WriteBuffer`; an encoder that sends stays in `encoding`)       |
 *
 * | input     | accepted when                  | becomes                                 | then due                        |
 * | --------- | ------------------------------ | --------------------------------------- | ------------------------------- |
 * | `push`    | side `open`                    | buffered                                | as its `Verdict` says           |
 * | `park`    | link without a connection      | link as given                           | update the watermarks           |
 * | `attach`  | link without a connection      | link `ready`                            | `next`                          |
 * | `next`    | link `ready`, buffer `idle`    | see below                               | what is returned                |
 * | `wrote`   | `next` has returned a write    | as `taken`, if the kernel took it all   | `next`                          |
 * | `taken`   | link `writing`                 | link `ready`                            | `next`, then wake waiters       |
 * | `suspend` | side `open`, buffer `idle`     | gate `draining`                         | `next`                          |
 * | `resume`  | always                         | gate `open`                             | `next`                          |
 * | `complete`| side `open`                    | side `ending`                           | close the watermarks, `next`    |
 * | `fail`    | side not `failed`              | side `failed`, nothing is buffered      | settle the waiters              |
 * | `adopt`   | any                            | the client's values behind its own      | `next`, update the watermarks   |
 * | `retire`  | any                            | without the client's values             | move the waiters                |
 *
 * While the link is `ready`, the buffer `idle` and the side `open` or `ending`, `next` takes the first of these that applies;
 * otherwise it returns `none`:
 *
 * | condition                           | becomes        | returns           |
 * | ----------------------------------- | -------------- | ----------------- |
 * | the gate lets something through     | link `writing` | the write to do   |
 * | gate `draining`                     | gate `held`    | `drained`         |
 * | gate `open`, side `ending`          | side `ended`   | `finish`          |
 */
export class WriteState {
  readonly limits: OutboundLimits;

  private side: 'open' | 'ending' | 'ended' | 'failed' = 'open';
  /** Undefined until the connection is open. */
  private kernel: Kernel | undefined = undefined;
  /** What happens to values until then. */
  private parking: Parking = 'buffer';
  private gate: 'open' | 'draining' | 'held' = 'open';
  /** Its own only while something waits in it. */
  private buffer = unusedBuffer;
  /** Who has sent what waits in the buffer. */
  private writer: ValueSender = 'own';
  private batches = noBatches;
  /** The bytes of the completed writes. */
  private done = 0;
  /** The bytes of the current write. */
  private writing = 0;
  private reached = 0;

  constructor(limits: OutboundLimits) {
    this.limits = limits;
  }

  /** Whether nothing more can be sent. */
  get closed(): boolean {
    return this.side !== 'open';
  }

  /** Whether the FIN was sent, or never will be. */
  get ended(): boolean {
    return this.side === 'ended' || this.side === 'failed';
  }

  /** Whether the connection is there and no write is in progress. */
  get isReady(): boolean {
    return this.link === 'ready';
  }

  /** Whether values are dropped for want of a connection. */
  get dropsAll(): boolean {
    return this.link === 'drop';
  }

  /** Whether an encoder is writing a value into the buffer. */
  get isEncoding(): boolean {
    return this.buffer.isEncoding;
  }

  /** Whether the kernel has taken everything that was accepted. */
  get isFlushed(): boolean {
    return this.writing + this.batches.size + this.buffer.size === 0;
  }

  /** How many bytes the kernel has not taken. */
  get level(): number {
    return this.buffer.size + this.batches.size + this.unsent;
  }

  /** The level as paced senders see it: where values are dropped for want of a connection, they wait for one (K13). */
  get pressure(): number {
    return this.link === 'drop' ? Infinity : this.level;
  }

  /**
   * Asks the kernel for its progress. Returns the offset in the stream up to which it has taken it. The offset is recorded,
   * because a closed socket no longer reports how much it has sent.
   */
  recordProgress(): number {
    this.reached = Math.max(this.reached, this.done + this.writing - this.unsent);
    return this.reached;
  }

  /** The bytes of the completed writes. */
  get completed(): number {
    return this.done;
  }

  /** The offset in the stream of the end of what was accepted. */
  get accepted(): number {
    return this.done + this.writing + this.batches.size + this.buffer.size;
  }

  /**
   * Encodes and buffers a value.
   *
   * @param isExempt - whether it is taken even over `maxBuffered`
   */
  push<T>(sender: ValueSender, encoder: Encoder<T>, value: T, isExempt: boolean): Verdict {
    if (this.side !== 'open') return 'closed';
    if (this.link === 'drop') return 'dropped';
    if (this.link === 'error') return 'disconnected';
    if (this.buffer.isEncoding) return this.pushWithin(sender, encoder, value, isExempt);
    if (sender !== this.writer) this.changeWriter(sender);
    return this.encode(encoder, value, isExempt);
  }

  /** The connection is there. */
  attach(kernel: Kernel): void {
    this.kernel = kernel;
  }

  /** Decides what becomes of values until the connection is there. */
  park(parking: Parking): void {
    this.parking = parking;
  }

  /** Returns what is due. The driver does it before it asks again. */
  next(): WriteStep {
    if (this.link !== 'ready' || this.ended || this.buffer.isEncoding) return 'none';
    const isOpen = this.gate === 'open';
    if (isOpen ? this.batches.size + this.buffer.atMost === 0 : !this.batches.startAhead) {
      if (this.gate === 'draining') {
        this.gate = 'held';
        return 'drained';
      }
      if (!isOpen || this.side === 'open') return 'none';
      this.side = 'ended';
      return 'finish';
    }
    if (this.batches.size === 0 && this.buffer.size > largestWrite) this.seal();
    const batch = this.batches.shift();
    if (batch !== undefined) {
      if (this.batches.size === 0) this.batches = noBatches;
      this.writing = batch.size;
      return batch;
    }
    const { buffer } = this;
    this.writing = buffer.size;
    this.buffer = unusedBuffer;
    return buffer;
  }

  /**
   * The driver has done a write.
   *
   * @param isTaken - whether the kernel has taken all of it at once; otherwise `taken` follows
   */
  wrote(write: Write, isTaken: boolean): void {
    if (write instanceof WriteBuffer) returnBuffer(write);
    if (isTaken) this.taken();
  }

  /** The kernel has taken the whole write. */
  taken(): void {
    if (this.link !== 'writing') return;
    this.done += this.writing;
    this.writing = 0;
  }

  /** Lets through only what was accepted so far, until `resume` (T10). */
  suspend(): void {
    this.seal();
    this.batches.markAhead();
    this.gate = 'draining';
  }

  /** Lets through what has waited since `suspend`. */
  resume(): void {
    this.gate = 'open';
  }

  /** No more values follow. Returns whether the side was open. */
  complete(): boolean {
    if (this.side !== 'open') return false;
    this.side = 'ending';
    return true;
  }

  /** Nothing more is written; what waits is dropped. */
  fail(): void {
    this.done = this.recordProgress();
    this.writing = 0;
    this.side = 'failed';
    this.gate = 'open';
    this.buffer = unusedBuffer;
    this.batches = noBatches;
  }

  /** Takes over what waits in `other`, the state of a client without a connection, behind what was accepted here. */
  adopt(other: WriteState): void {
    if (this.accepted > 0) this.seal();
    this.batches = this.batches.concat(other.batches, 'client');
    this.buffer = other.buffer;
    this.writer = 'client';
    other.buffer = unusedBuffer;
    other.batches = noBatches;
  }

  /**
   * Separates the values of the client that can still go out whole on another connection. The value that is being written
   * stays here (K4).
   */
  retire(): Retired {
    const rest = new WriteState(this.limits);
    const handed = this.done + this.writing;
    // Within an encoder the buffer goes as it is.
    const isOpen = this.buffer.isEncoding;
    if (!isOpen) this.seal();
    const split = this.batches.splitClient();
    rest.batches = noBatches.concat(new WriteBatches(split.taken), 'own');
    if (isOpen && this.writer === 'client') {
      rest.buffer = this.buffer;
      this.buffer = unusedBuffer;
    }
    this.writer = 'own';
    rest.side = this.side === 'open' ? 'open' : 'ending';
    return new Retired(rest, split, handed);
  }

  private get link(): Parking | 'ready' | 'writing' {
    if (this.kernel === undefined) return this.parking;
    return this.writing > 0 ? 'writing' : 'ready';
  }

  private get unsent(): number {
    return this.writing === 0 ? 0 : Math.min(this.writing, this.kernel?.unsent ?? 0);
  }

  /** An encoder sends: its own value comes behind that one, even if it has written some of it already. */
  private pushWithin<T>(sender: ValueSender, encoder: Encoder<T>, value: T, isExempt: boolean): Verdict {
    const { buffer, writer } = this;
    const tail = buffer.detachTail();
    if (sender !== writer) this.changeWriter(sender);
    const verdict = this.encode(encoder, value, isExempt);
    if (this.buffer === buffer && this.writer !== writer) this.changeWriter(writer);
    buffer.attachTail(tail);
    return verdict;
  }

  private encode<T>(encoder: Encoder<T>, value: T, isExempt: boolean): Verdict {
    const buffer = (this.buffer = ownBuffer(this.buffer));
    const error = buffer.add(encoder, value);
    if (error !== undefined) return error;
    // An encoder may do anything: fail the connection, too, or have the buffer go to the next connection.
    if (this.buffer !== buffer) return this.hasFailed ? 'closed' : 'accepted';
    const { highWaterMark, maxBuffered } = this.limits;
    const most = buffer.atMost + this.batches.size + this.writing;
    if (most <= earlyWrite && most <= highWaterMark && most <= maxBuffered) return 'accepted';
    return this.judge(buffer, most, isExempt);
  }

  private get hasFailed(): boolean {
    return this.side === 'failed';
  }

  /** Compares exact sizes, unless the upper bound `most` is enough. */
  private judge(buffer: WriteBuffer, most: number, isExempt: boolean): Verdict {
    const { highWaterMark, maxBuffered } = this.limits;
    if (this.link === 'ready' && this.gate === 'open' && !buffer.isEncoding) {
      if (most > earlyWrite || most > maxBuffered) {
        const { level } = this;
        if (level > maxBuffered) return 'write';
        if (level > earlyWrite) return 'early';
      }
    } else if (most > maxBuffered && !isExempt && this.level > maxBuffered) {
      // A single value is always taken, however large it is.
      if (!buffer.wasEmpty || this.batches.size + this.unsent > 0) {
        buffer.rollback();
        return this.limits.overflow === 'drop' ? 'dropped' : 'overflow';
      }
    }
    return most > highWaterMark ? 'over' : 'accepted';
  }

  private changeWriter(sender: ValueSender): void {
    this.seal();
    this.writer = sender;
  }

  /** Makes batches of everything in the buffer. */
  private seal(): void {
    const { buffer } = this;
    if (buffer.atMost === 0) return;
    const batches = buffer.takeBatches(Math.max(smallestBatch, this.limits.highWaterMark / 2));
    this.batches = this.batches.concat(batches, this.writer);
  }
}

/** What a retired {@link WriteState} leaves to the next connection, and where in the two streams each value lies now. */
export class Retired {
  readonly rest: WriteState;
  private readonly split: Split;
  /** The offset in the stream of the end of what was handed to the kernel. */
  private readonly handed: number;

  constructor(rest: WriteState, split: Split, handed: number) {
    this.rest = rest;
    this.split = split;
    this.handed = handed;
  }

  /** Whether the value of the client that ends at `offset` goes to the next connection. */
  has(offset: number): boolean {
    return offset > this.handed && this.split.has(offset - this.handed);
  }

  /** Where such a value ends in the next stream. */
  movedTo(offset: number): number {
    return this.split.takenBefore(offset - this.handed);
  }

  /** Where a value that stays ends now. */
  keptAt(offset: number): number {
    return offset - (offset > this.handed ? this.split.takenBefore(offset - this.handed) : 0);
  }
}
