import type { Encoder } from '../codecs/codec.js';
import type { SocketError } from '../errors/socket-error.js';
import { noBatches, type ValueSender, type Split, type Write, WriteBatches } from './write-batches.js';
import { ownBuffer, returnBuffer, unusedBuffer, WriteBuffer } from './write-buffer.js';

/** The options that limit how much is buffered. The sizes are in bytes. */
export interface OutboundLimits {
  readonly highWaterMark: number;
  readonly maxBuffered: number;
  readonly overflow: 'error' | 'drop';
}

/** Whether values are queued, dropped or refused while there is no connection. */
export type Parking = 'buffer' | 'drop' | 'error';

/** A buffer that holds more bytes than this is not written in one piece, but cut into batches. */
const largestWrite = 65_536;
/**
 * While a received chunk is being delivered, the buffer is written early if it holds more bytes than this, so that the
 * peer can start to process the bytes (C3).
 */
const earlyWrite = 32_768;
/**
 * The maximum number of bytes in a batch is this number, or half of `highWaterMark` if that half is more. So the
 * channel becomes writable before the last batch has been written.
 */
const smallestBatch = 16_384;

/**
 * The result of a push, which tells the driver what to do. The first four results mean that the value is buffered. The
 * other results mean that the value is not buffered:
 *
 * - `accepted`: write at the end of the turn.
 * - `over`: like `accepted`, but also update the watermarks, because the level may exceed `highWaterMark`.
 * - `early`: like `over`, but write immediately if a received chunk is being delivered.
 * - `write`: write immediately, because more than `maxBuffered` is queued, and none of the queued bytes have been
 *   offered to the kernel.
 * - `dropped`: count the value as dropped. The value exceeds `maxBuffered` with `overflow: 'drop'`, or the value was
 *   sent without a connection, with `whileDisconnected: 'drop'`.
 * - `overflow`: report an overflow. The value exceeds `maxBuffered`, and the option `overflow` is `'error'`.
 * - `disconnected`: report that the value was sent without a connection, with `whileDisconnected: 'error'`.
 * - `closed`: the sending side has ended.
 * - an error: the value could not be encoded.
 */
export type Verdict =
  'accepted' | 'over' | 'early' | 'write' | 'dropped' | 'overflow' | 'disconnected' | 'closed' | SocketError;

/** The next step: nothing, a write, a report that everything accepted before `suspend` is written, or the FIN. */
export type WriteStep = 'none' | Write | 'drained' | 'finish';

export interface Kernel {
  /** How many bytes of the current write the kernel has not taken. */
  readonly unsent: number;
}

/**
 * The state of the sending side of one connection. A WriteState does no I/O. Each method changes the state, and returns
 * what the driver (`Outbound`) has to do.
 *
 * A WriteState consists of four small state machines:
 *
 * | machine | states                                                                                  |
 * | ------- | --------------------------------------------------------------------------------------- |
 * | side    | `open` → `ending` (no more values) → `ended` (FIN sent); from each of them → `failed`   |
 * | link    | no connection: `buffer`, `drop` or `error`; → `ready` ⇄ `writing`                       |
 * | gate    | `open` → `draining` (values from before `suspend` are written) → `held` → `open`        |
 * | buffer  | `idle` ⇄ `encoding` (in `WriteBuffer`; still `encoding` while an encoder sends a value) |
 *
 * | input     | accepted when                  | becomes                                 | then due                        |
 * | --------- | ------------------------------ | --------------------------------------- | ------------------------------- |
 * | `push`    | side `open`                    | the value is buffered                   | as the `Verdict` says           |
 * | `park`    | link without a connection      | link as given                           | update the watermarks           |
 * | `attach`  | link without a connection      | link `ready`                            | `next`                          |
 * | `next`    | link `ready`, buffer `idle`    | see below                               | what is returned                |
 * | `wrote`   | `next` has returned a write    | like `taken`, if the kernel took it all | `next`                          |
 * | `taken`   | link `writing`                 | link `ready`                            | `next`, then wake waiters       |
 * | `suspend` | side `open`, buffer `idle`     | gate `draining`                         | `next`                          |
 * | `resume`  | always                         | gate `open`                             | `next`                          |
 * | `complete`| side `open`                    | side `ending`                           | close the watermarks, `next`    |
 * | `fail`    | side not `failed`              | side `failed`, nothing is buffered      | settle the waiters              |
 * | `adopt`   | any                            | the client's values follow its own      | `next`, update the watermarks   |
 * | `retire`  | any                            | without the client's values             | move the waiters                |
 *
 * While the link is `ready`, the buffer `idle` and the side `open` or `ending`, `next` takes the first of these rows
 * that applies. In other states, or if no row applies, `next` returns `none`:
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
  private parking: Parking = 'buffer';
  private gate: 'open' | 'draining' | 'held' = 'open';
  /** The shared `unusedBuffer` while nothing is buffered. */
  private buffer = unusedBuffer;
  /** The sender of the values in the buffer. */
  private writer: ValueSender = 'own';
  private batches = noBatches;
  /** The total size of the completed writes, in bytes. */
  private done = 0;
  /** The size of the current write, in bytes. */
  private writing = 0;
  private reached = 0;

  constructor(limits: OutboundLimits) {
    this.limits = limits;
  }

  get closed(): boolean {
    return this.side !== 'open';
  }

  /** Whether the FIN has been sent, or will never be sent. */
  get ended(): boolean {
    return this.side === 'ended' || this.side === 'failed';
  }

  /** Whether the connection is open and no write is in progress. */
  get isReady(): boolean {
    return this.link === 'ready';
  }

  /** Whether values are dropped because there is no connection. */
  get dropsAll(): boolean {
    return this.link === 'drop';
  }

  get isEncoding(): boolean {
    return this.buffer.isEncoding;
  }

  get isFlushed(): boolean {
    return this.writing + this.batches.size + this.buffer.size === 0;
  }

  /** How many of the accepted bytes the kernel has not taken. */
  get level(): number {
    return this.buffer.size + this.batches.size + this.unsent;
  }

  /** The level for the watermarks. The level is infinite while values are dropped, so that paced senders wait (K13). */
  get pressure(): number {
    return this.link === 'drop' ? Infinity : this.level;
  }

  /**
   * Returns the stream offset up to which the kernel has taken the bytes. Also records this offset, because a closed
   * socket no longer reports its progress.
   */
  recordProgress(): number {
    this.reached = Math.max(this.reached, this.done + this.writing - this.unsent);
    return this.reached;
  }

  get completed(): number {
    return this.done;
  }

  /** The stream offset after the last accepted byte. */
  get accepted(): number {
    return this.done + this.writing + this.batches.size + this.buffer.size;
  }

  /**
   * Encodes and buffers a value.
   *
   * @param isExempt - whether the value is accepted even if it exceeds `maxBuffered`
   */
  push<T>(sender: ValueSender, encoder: Encoder<T>, value: T, isExempt: boolean): Verdict {
    if (this.side !== 'open') return 'closed';
    if (this.link === 'drop') return 'dropped';
    if (this.link === 'error') return 'disconnected';
    if (this.buffer.isEncoding) return this.pushWithin(sender, encoder, value, isExempt);
    if (sender !== this.writer) this.changeWriter(sender);
    return this.encode(encoder, value, isExempt);
  }

  /** Call when the connection is open. */
  attach(kernel: Kernel): void {
    this.kernel = kernel;
  }

  park(parking: Parking): void {
    this.parking = parking;
  }

  /** Returns the next step. The driver must perform this step before it calls any other method. */
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
   * Call after a write.
   *
   * @param isTaken - whether the kernel has taken all of the write. If false, call `taken` when the kernel has taken
   * all of the write
   */
  wrote(write: Write, isTaken: boolean): void {
    if (write instanceof WriteBuffer) returnBuffer(write);
    if (isTaken) this.taken();
  }

  /** Call when the kernel has taken all of the current write. */
  taken(): void {
    if (this.link !== 'writing') return;
    this.done += this.writing;
    this.writing = 0;
  }

  /** Holds back later values until `resume` (T10). */
  suspend(): void {
    this.seal();
    this.batches.markAhead();
    this.gate = 'draining';
  }

  resume(): void {
    this.gate = 'open';
  }

  /**
   * Refuses all later values, and ends the sending side after the queued values. Returns whether the side was open
   * before.
   */
  complete(): boolean {
    if (this.side !== 'open') return false;
    this.side = 'ending';
    return true;
  }

  /** Drops everything unsent. */
  fail(): void {
    this.done = this.recordProgress();
    this.writing = 0;
    this.side = 'failed';
    this.gate = 'open';
    this.buffer = unusedBuffer;
    this.batches = noBatches;
  }

  /** Appends the values queued in `other`, the state of a client without a connection. */
  adopt(other: WriteState): void {
    if (this.accepted > 0) this.seal();
    this.batches = this.batches.concat(other.batches, 'client');
    this.buffer = other.buffer;
    this.writer = 'client';
    other.buffer = unusedBuffer;
    other.batches = noBatches;
  }

  /** Removes the client's values, which the next connection will send. The value that is being written stays (K4). */
  retire(): Retired {
    const rest = new WriteState(this.limits);
    const handed = this.done + this.writing;
    // While an encoder runs, its buffer cannot be cut. So either the entire buffer moves to the next connection, or it
    // stays.
    const { isEncoding } = this;
    if (!isEncoding) this.seal();
    const split = this.batches.splitClient();
    rest.batches = noBatches.concat(new WriteBatches(split.taken), 'own');
    if (isEncoding && this.writer === 'client') {
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

  /**
   * Encodes a value that an encoder sends while it encodes another value. The sent value goes out first, even if part
   * of the other value is already buffered.
   */
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
    // The encoder may have failed the connection, or caused the buffer to move to the next connection.
    if (this.buffer !== buffer) return this.hasFailed ? 'closed' : 'accepted';
    const { highWaterMark, maxBuffered } = this.limits;
    const most = buffer.atMost + this.batches.size + this.writing;
    if (most <= earlyWrite && most <= highWaterMark && most <= maxBuffered) return 'accepted';
    return this.judge(buffer, most, isExempt);
  }

  private get hasFailed(): boolean {
    return this.side === 'failed';
  }

  /** Returns the verdict on a buffered value. Computes exact sizes only if the upper bound `most` does not decide. */
  private judge(buffer: WriteBuffer, most: number, isExempt: boolean): Verdict {
    const { highWaterMark, maxBuffered } = this.limits;
    if (this.link === 'ready' && this.gate === 'open' && !buffer.isEncoding) {
      if (most > earlyWrite || most > maxBuffered) {
        const { level } = this;
        if (level > maxBuffered) return 'write';
        if (level > earlyWrite) return 'early';
      }
    } else if (most > maxBuffered && !isExempt && this.level > maxBuffered) {
      // A value of any size is accepted if nothing else is buffered.
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

  /** Moves everything in the buffer to batches. */
  private seal(): void {
    const { buffer } = this;
    if (buffer.atMost === 0) return;
    const batches = buffer.takeBatches(Math.max(smallestBatch, this.limits.highWaterMark / 2));
    this.batches = this.batches.concat(batches, this.writer);
  }
}

/** The values that a retired {@link WriteState} leaves to the next connection, and the new offsets of all values. */
export class Retired {
  readonly rest: WriteState;
  private readonly split: Split;
  /** The offset in the old stream after the last byte of the current write. */
  private readonly handed: number;

  constructor(rest: WriteState, split: Split, handed: number) {
    this.rest = rest;
    this.split = split;
    this.handed = handed;
  }

  /** Whether the value that ended at `offset` moves to the next connection. */
  has(offset: number): boolean {
    return offset > this.handed && this.split.has(offset - this.handed);
  }

  /** Returns the end of a moved value in the new stream. In the old stream, the value ended at `offset`. */
  movedTo(offset: number): number {
    return this.split.takenBefore(offset - this.handed);
  }

  /**
   * Returns the new end of a value that stays in the old stream. Before the removal of the client's values, the value
   * ended at `offset`.
   */
  keptAt(offset: number): number {
    return offset - (offset > this.handed ? this.split.takenBefore(offset - this.handed) : 0);
  }
}
