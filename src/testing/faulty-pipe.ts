import { asyncScheduler, Subscription, type Unsubscribable } from 'rxjs';
import type { Channel } from '../channel/channel.js';
import type { Hold } from '../flow/hold.js';
import type { CutCounter, FaultDice } from './fault-dice.js';
import type { FaultKind, Faults } from './faults.js';

/**
 * While this many bytes or pieces are in transit in one direction, no further piece is put in transit, and the sender
 * is held.
 */
const maxBytesInTransit = 65_536;
const maxPiecesInTransit = 1_024;
/** The longest time that one piece takes to pass if `bandwidth` is set, in ms. */
const maxPieceDuration = 20;

type Bytes = Channel<Buffer, Uint8Array | string>;

type StreamEnd = 'fin' | { readonly failure: unknown };

/** An item in transit: bytes, the end of the stream, or a fault that takes effect when the item arrives. */
interface Item {
  readonly due: number;
  readonly what: Buffer | StreamEnd | 'reset' | 'cut' | 'blackHole';
}

export interface FaultyPipeEvents {
  /** Called when a fault has been injected, after `at` bytes in this direction. */
  injected(fault: FaultKind, at: number): void;
  reset(): void;
  cut(): void;
}

/** Runs `work` in a turn of its own, after everything sent earlier has been written. Unsubscribing cancels `work`. */
export type NextTurn = (work: () => void) => Unsubscribable;

interface FaultyPipeConfig {
  readonly from: Bytes;
  readonly to: Bytes;
  readonly faults: Faults;
  readonly dice: FaultDice;
  readonly cuts: CutCounter;
  readonly nextTurn: NextTurn;
  readonly events: FaultyPipeEvents;
}

/**
 * One direction of a faulty connection: passes the bytes of the channel `from` to the channel `to`, and injects the
 * faults.
 */
export class FaultyPipe {
  private readonly from: Bytes;
  private readonly to: Bytes;
  private readonly faults: Faults;
  private readonly dice: FaultDice;
  private readonly cuts: CutCounter;
  private readonly nextTurn: NextTurn;
  private readonly events: FaultyPipeEvents;
  private readonly blackHoleAfter: number;
  private readonly resetAfter: number;
  private readonly cutAfter: number;
  private readonly subscriptions = new Subscription();
  /** The rest of the last chunk, which waits while too many bytes or pieces are in transit. */
  private input: Buffer | undefined;
  /** The end of the stream, which follows `input`. */
  private end: StreamEnd | undefined;
  private hold: Hold | undefined;
  private inTransit: Item[] = [];
  private bytesInTransit = 0;
  /** The number of bytes put in transit so far. */
  private offset = 0;
  private sliceLeft = 0;
  /** The time at which the bandwidth allows the next byte to leave. */
  private freeAt = 0;
  /** The due time of the last item in transit. No later item is due before this time. */
  private lastDue = 0;
  private isWritable = true;
  private isInBlackHole = false;
  private timer: Unsubscribable | undefined;
  /** If true, no more input is put in transit. */
  private hasEnded = false;

  constructor({ from, to, faults, dice, cuts, nextTurn, events }: FaultyPipeConfig) {
    this.from = from;
    this.to = to;
    this.faults = faults;
    this.dice = dice;
    this.cuts = cuts;
    this.nextTurn = nextTurn;
    this.events = events;
    this.blackHoleAfter = dice.drawOffset(faults.blackHoleAfter);
    this.resetAfter = dice.drawOffset(faults.resetAfter);
    this.cutAfter = dice.drawOffset(faults.cutAfter);
  }

  start(): void {
    const { to, from } = this;
    // A receiver that has ended must no longer hold up the sender.
    const receiverEnded = (): void => {
      this.isWritable = true;
      this.scheduleArrival();
    };
    const writable = to.writable.subscribe({
      next: (isWritable) => {
        this.isWritable = isWritable;
        this.scheduleArrival();
      },
      complete: receiverEnded,
      error: receiverEnded,
    });
    this.subscriptions.add(writable);
    this.injectFaultsAtOffset(false);
    const received = from.subscribe({
      next: (chunk) => {
        this.input = chunk;
        this.passOn();
      },
      error: (failure: unknown) => {
        this.end = { failure };
        this.passOn();
      },
      complete: () => {
        this.end = 'fin';
        this.passOn();
      },
    });
    this.subscriptions.add(received);
  }

  stop(): void {
    this.hasEnded = true;
    this.subscriptions.unsubscribe();
    this.timer?.unsubscribe();
    this.input = undefined;
    this.inTransit = [];
    this.hold?.release();
  }

  private passOn(): void {
    while (this.input !== undefined && this.hasRoom && !this.hasEnded) {
      const piece = this.input.subarray(0, this.nextPieceSize());
      this.input = piece.length === this.input.length ? undefined : this.input.subarray(piece.length);
      if (this.offset === 0) this.reportLastingFaults();
      this.offset += piece.length;
      this.bytesInTransit += piece.length;
      this.sliceLeft -= piece.length;
      this.push(piece, this.dueTime(piece.length));
      this.injectFaultsAtOffset(this.cuts.count(piece.length));
    }
    if (this.hasEnded) this.input = undefined;
    if (this.input !== undefined) this.hold ??= this.from.hold();
    else if (this.end !== undefined && !this.hasEnded) this.passOnEnd(this.end);
    else if (this.hold !== undefined) {
      const { hold } = this;
      this.hold = undefined;
      hold.release();
    }
  }

  private get hasRoom(): boolean {
    return this.bytesInTransit < maxBytesInTransit && this.inTransit.length < maxPiecesInTransit;
  }

  private passOnEnd(end: StreamEnd): void {
    const delay = end === 'fin' ? this.dice.draw(this.faults.lateFin ?? 0) : 0;
    if (delay > 0) this.events.injected('lateFin', this.offset);
    this.push(end, this.dueTime(0) + delay);
    this.hasEnded = true;
  }

  /** Returns the number of bytes before the end of the slice or the next fault, whichever comes first. */
  private nextPieceSize(): number {
    const { slices, bandwidth } = this.faults;
    if (this.sliceLeft <= 0) {
      this.sliceLeft = slices === undefined ? Infinity : this.dice.draw(slices);
      if (bandwidth !== undefined) {
        const most = Math.max(1, Math.floor((bandwidth * maxPieceDuration) / 1_000));
        this.sliceLeft = Math.min(this.sliceLeft, most);
      }
    }
    const distances = [this.blackHoleAfter, this.resetAfter, this.cutAfter].map((offset) => offset - this.offset);
    return Math.min(this.sliceLeft, this.cuts.bytesUntilCut, ...distances.filter((bytes) => bytes > 0));
  }

  private injectFaultsAtOffset(isCutDue: boolean): void {
    if (this.offset === this.blackHoleAfter) this.push('blackHole', this.lastDue);
    if (this.offset === this.resetAfter) this.push('reset', this.lastDue);
    else if (isCutDue || this.offset === this.cutAfter) this.push('cut', this.lastDue);
    else return;
    this.hasEnded = true;
  }

  /** Reserves the bandwidth for a piece of this size that leaves now, and returns the piece's time of arrival. */
  private dueTime(bytes: number): number {
    const { bandwidth, latency } = this.faults;
    this.freeAt = Math.max(this.freeAt, asyncScheduler.now());
    if (bandwidth !== undefined) this.freeAt += (bytes / bandwidth) * 1_000;
    this.lastDue = Math.max(this.lastDue, this.freeAt + this.dice.draw(latency ?? 0));
    return this.lastDue;
  }

  private push(what: Item['what'], due: number): void {
    this.inTransit.push({ what, due });
    this.scheduleArrival();
  }

  /** Each item arrives in a turn of its own, so that two items never become one write (C3). */
  private scheduleArrival(): void {
    const [first] = this.inTransit;
    if (first === undefined || this.timer !== undefined || !this.isWritable || this.isInBlackHole) return;
    const delay = Math.ceil(first.due - asyncScheduler.now());
    const arrive = (): void => {
      this.timer = undefined;
      this.arrive();
    };
    this.timer = delay > 0 ? asyncScheduler.schedule(arrive, delay) : this.nextTurn(arrive);
  }

  private arrive(): void {
    if (!this.isWritable) return;
    const item = this.inTransit.shift();
    if (item === undefined) return;
    this.deliver(item.what);
    this.passOn();
    this.scheduleArrival();
  }

  private deliver(what: Item['what']): void {
    const { to, events } = this;
    if (Buffer.isBuffer(what)) {
      this.bytesInTransit -= what.length;
      to.next(what);
    } else if (typeof what === 'object') to.error(what.failure);
    else if (what === 'fin') to.complete();
    else if (what === 'blackHole') this.enterBlackHole();
    else {
      events.injected(what, this.offset);
      events[what]();
    }
  }

  private enterBlackHole(): void {
    this.events.injected('blackHole', this.blackHoleAfter);
    this.isInBlackHole = true;
    const duration = this.dice.draw(this.faults.blackHoleFor ?? 0);
    if (duration === 0) return;
    this.timer = asyncScheduler.schedule(() => {
      this.timer = undefined;
      this.isInBlackHole = false;
      this.scheduleArrival();
    }, duration);
  }

  private reportLastingFaults(): void {
    const { latency, bandwidth, slices } = this.faults;
    if (latency !== undefined) this.events.injected('latency', 0);
    if (bandwidth !== undefined) this.events.injected('bandwidth', 0);
    if (slices !== undefined) this.events.injected('slices', 0);
  }
}
