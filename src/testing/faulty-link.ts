import { asyncScheduler, type Subscription, type Unsubscribable } from 'rxjs';
import type { Channel } from '../channel/channel.js';
import type { Hold } from '../flow/hold.js';
import type { CutCounter, FaultDice, FaultKind, Faults } from './faults.js';

/** How many bytes may be on their way in one direction, and in how many pieces; then the sender is held. */
const window = 65_536;
const mostPieces = 1_024;
/** With a bandwidth, bytes pass in pieces of so many milliseconds. */
const tick = 20;

type Bytes = Channel<Buffer, Uint8Array | string>;

/** What is on its way: bytes, how the stream ended, or a fault that strikes once it is there. */
interface Item {
  readonly due: number;
  readonly what: Buffer | 'fin' | 'reset' | 'cut' | 'blackHole' | { readonly failure: unknown };
}

/** What a Passage tells the pair of connections that it is between. */
export interface PassageEvents {
  /** A fault has struck, after so many bytes of this direction. */
  struck(fault: FaultKind, at: number): void;
  /** Both ends are to be reset. */
  reset(): void;
  /** Both ends are to be closed. */
  cut(): void;
}

/** Runs `work` in a turn of its own, once what was sent before is written; unsubscribing takes it back. */
export type NextTurn = (work: () => void) => Unsubscribable;

/** One direction of a faulty connection: what comes from one channel goes to another, at the mercy of the faults. */
export class FaultyLink {
  private readonly from: Bytes;
  private readonly to: Bytes;
  private readonly faults: Faults;
  private readonly dice: FaultDice;
  private readonly cuts: CutCounter;
  private readonly nextTurn: NextTurn;
  private readonly events: PassageEvents;
  private readonly blackHoleAfter: number;
  private readonly resetAfter: number;
  private readonly cutAfter: number;
  private watch: Subscription | undefined;
  private feed: Subscription | undefined;
  /** What has come and is not on its way yet, and how the stream ended after it. */
  private inbox: Buffer | undefined;
  private end: 'fin' | { readonly failure: unknown } | undefined;
  private hold: Hold | undefined;
  private queue: Item[] = [];
  /** How many bytes were sent on their way, and how many of them have not arrived. */
  private launched = 0;
  private underway = 0;
  /** How many bytes are left of the slice that was begun. */
  private slice = 0;
  /** When the line has got rid of what it was given, and when the last item is due: none overtakes it. */
  private free = 0;
  private lastDue = 0;
  private writable = true;
  /** In a black hole nothing passes. */
  private hole = false;
  private timer: Unsubscribable | undefined;
  /** Nothing follows. */
  private sealed = false;

  constructor(
    from: Bytes,
    to: Bytes,
    faults: Faults,
    dice: FaultDice,
    cuts: CutCounter,
    nextTurn: NextTurn,
    events: PassageEvents,
  ) {
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
    // Who can't be sent to any more does not hold back who sends.
    const ended = (): void => {
      this.writable = true;
      this.arm();
    };
    this.watch = to.writable.subscribe({
      next: (writable) => {
        this.writable = writable;
        this.arm();
      },
      complete: ended,
      error: ended,
    });
    this.strike(false);
    this.feed = from.subscribe({
      next: (chunk) => {
        this.inbox = chunk;
        this.launch();
      },
      error: (failure: unknown) => {
        this.end = { failure };
        this.launch();
      },
      complete: () => {
        this.end = 'fin';
        this.launch();
      },
    });
  }

  stop(): void {
    this.sealed = true;
    this.feed?.unsubscribe();
    this.watch?.unsubscribe();
    this.timer?.unsubscribe();
    this.inbox = undefined;
    this.queue = [];
    this.hold?.release();
  }

  /** Sends on its way what there is room for; the sender is held for as long as something is left. */
  private launch(): void {
    while (this.inbox !== undefined && this.underway < window && this.queue.length < mostPieces && !this.sealed) {
      const piece = this.inbox.subarray(0, this.mostAsOne());
      this.inbox = piece.length === this.inbox.length ? undefined : this.inbox.subarray(piece.length);
      if (this.launched === 0) this.tellStanding();
      this.launched += piece.length;
      this.underway += piece.length;
      this.slice -= piece.length;
      this.push(piece, this.dueOf(piece.length));
      this.strike(this.cuts.count(piece.length));
    }
    if (this.sealed) this.inbox = undefined;
    if (this.inbox !== undefined) this.hold ??= this.from.hold();
    else if (this.end !== undefined && !this.sealed) this.launchEnd(this.end);
    else if (this.hold !== undefined) {
      const { hold } = this;
      this.hold = undefined;
      hold.release();
    }
  }

  private launchEnd(end: 'fin' | { readonly failure: unknown }): void {
    const late = end === 'fin' ? this.dice.draw(this.faults.lateFin ?? 0) : 0;
    if (late > 0) this.events.struck('lateFin', this.launched);
    this.push(end, this.dueOf(0) + late);
    this.sealed = true;
  }

  /** How many bytes may pass as one. */
  private mostAsOne(): number {
    const { slices, bandwidth } = this.faults;
    if (this.slice <= 0) {
      this.slice = slices === undefined ? Infinity : this.dice.draw(slices);
      if (bandwidth !== undefined)
        this.slice = Math.min(this.slice, Math.max(1, Math.floor((bandwidth * tick) / 1_000)));
    }
    const strikes = [this.blackHoleAfter, this.resetAfter, this.cutAfter].map((offset) => offset - this.launched);
    return Math.min(this.slice, this.cuts.room, ...strikes.filter((bytes) => bytes > 0));
  }

  /** Has the faults strike that this offset is the one for. */
  private strike(cut: boolean): void {
    if (this.launched === this.blackHoleAfter) this.push('blackHole', this.lastDue);
    if (this.launched === this.resetAfter) this.push('reset', this.lastDue);
    else if (cut || this.launched === this.cutAfter) this.push('cut', this.lastDue);
    else return;
    this.sealed = true;
  }

  /** When what is launched now arrives, having been so many bytes long. */
  private dueOf(bytes: number): number {
    const { bandwidth, latency } = this.faults;
    this.free = Math.max(this.free, asyncScheduler.now());
    if (bandwidth !== undefined) this.free += (bytes / bandwidth) * 1_000;
    this.lastDue = Math.max(this.lastDue, this.free + this.dice.draw(latency ?? 0));
    return this.lastDue;
  }

  private push(what: Item['what'], due: number): void {
    this.queue.push({ what, due });
    this.arm();
  }

  /** Waits until the first item is due; each arrives in a turn of its own, or they would be written as one (C3). */
  private arm(): void {
    const [first] = this.queue;
    if (first === undefined || this.timer !== undefined || !this.writable || this.hole) return;
    const delay = Math.ceil(first.due - asyncScheduler.now());
    const arrive = (): void => {
      this.timer = undefined;
      this.arrive();
    };
    this.timer = delay > 0 ? asyncScheduler.schedule(arrive, delay) : this.nextTurn(arrive);
  }

  private arrive(): void {
    if (!this.writable) return;
    const item = this.queue.shift();
    if (item === undefined) return;
    this.take(item.what);
    this.launch();
    this.arm();
  }

  private take(what: Item['what']): void {
    const { to, events } = this;
    if (Buffer.isBuffer(what)) {
      this.underway -= what.length;
      to.next(what);
    } else if (typeof what === 'object') to.error(what.failure);
    else if (what === 'fin') to.complete();
    else if (what === 'blackHole') this.enterHole();
    else {
      events.struck(what, this.launched);
      events[what]();
    }
  }

  private enterHole(): void {
    this.events.struck('blackHole', this.blackHoleAfter);
    this.hole = true;
    const time = this.dice.draw(this.faults.blackHoleFor ?? 0);
    if (time === 0) return;
    this.timer = asyncScheduler.schedule(() => {
      this.timer = undefined;
      this.hole = false;
      this.arm();
    }, time);
  }

  /** The faults that befall every byte are told once. */
  private tellStanding(): void {
    const { latency, bandwidth, slices } = this.faults;
    if (latency !== undefined) this.events.struck('latency', 0);
    if (bandwidth !== undefined) this.events.struck('bandwidth', 0);
    if (slices !== undefined) this.events.struck('slices', 0);
  }
}
