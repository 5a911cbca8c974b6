import type { SendLane } from './send-lane.js';

/** A part of what is too much for one write, or of what came in on another lane than what follows it. */
interface Part {
  readonly pieces: Uint8Array[];
  size: number;
  /** Whether it begins with the first byte of a value. */
  readonly begins: boolean;
  /** What it was sent on. */
  lane: SendLane | undefined;
  /** Whether it is written even while the Outbound is suspended. */
  isAhead: boolean;
}

/** What is too much for one write, in the order in which it is written: a slow peer's progress is seen part by part. */
export class WriteBatches {
  /** In bytes. */
  size: number;
  private list: Part[];

  constructor(list: Part[] = []) {
    this.list = list;
    this.size = sizeOf(list);
  }

  /** Takes the first one out. */
  shift(): Part | undefined {
    const part = this.list.shift();
    if (part !== undefined) this.size -= part.size;
    return part;
  }

  /** These parts, and behind them `others`, which were sent on `lane`. */
  with(others: WriteBatches, lane: SendLane): WriteBatches {
    for (const part of others.list) part.lane ??= lane;
    return others.size === 0 ? this : new WriteBatches([...this.list, ...others.list]);
  }

  /** Has these parts written even while the Outbound is suspended. */
  markAhead(): void {
    for (const part of this.list) part.isAhead = true;
  }

  /** Whether the first one is written even while the Outbound is suspended. */
  get startAhead(): boolean {
    return this.list[0]?.isAhead === true;
  }

  /** Takes out what was sent on `lane` and comes after the value that is cut through by what was taken out before. */
  splitWhole(lane: SendLane): Split {
    const split = new Split();
    let whole = false;
    for (const part of this.list) {
      whole ||= part.begins;
      split.add(part, whole && part.lane === lane);
    }
    this.list = split.kept;
    this.size = sizeOf(this.list);
    return split;
  }
}

/** What was taken out of some Parts, and which of the bytes that were before an offset. */
export class Split {
  readonly kept: Part[] = [];
  readonly taken: Part[] = [];
  /** Where each of the taken parts was, from the first part on. */
  private readonly ranges: { readonly start: number; readonly end: number }[] = [];
  private size = 0;

  add(part: Part, isTaken: boolean): void {
    const start = this.size;
    this.size += part.size;
    if (isTaken) this.ranges.push({ start, end: this.size });
    (isTaken ? this.taken : this.kept).push(part);
  }

  /** Whether the value that ends at `offset` was taken out. */
  has(offset: number): boolean {
    return this.ranges.some(({ start, end }) => offset > start && offset <= end);
  }

  /** How many of the bytes before `offset` were taken out. */
  takenBefore(offset: number): number {
    return this.ranges.reduce((sum, { start, end }) => sum + Math.max(0, Math.min(end, offset) - start), 0);
  }
}

/** Where nothing waits. */
export const noParts: WriteBatches = new WriteBatches();

/**
 * Cuts into parts of at most `limit` bytes each, which end between two values where they can.
 *
 * @param starts - where some of the values begin
 */
export function cutIntoParts(pieces: readonly Uint8Array[], starts: readonly number[], limit: number): WriteBatches {
  const parts: Part[] = [];
  let next = 0;
  let part: Part = { pieces: [], size: 0, begins: true, lane: undefined, isAhead: false };
  let end = 0;
  let at = 0;
  for (const piece of pieces) {
    for (let start = 0; start < piece.length;) {
      if (at === end) {
        part = { pieces: [], size: 0, begins: at === 0 || starts[next - 1] === at, lane: undefined, isAhead: false };
        parts.push(part);
        end = at + Math.floor(limit);
        const first = next;
        // The rest of a value that was cut through makes a part of its own.
        while ((starts[next] ?? Infinity) <= end && (part.begins || next === first)) next++;
        if (next > first) end = starts[next - 1] as number;
      }
      const slice = piece.subarray(start, start + end - at);
      part.pieces.push(slice);
      part.size += slice.length;
      start += slice.length;
      at += slice.length;
    }
  }
  return new WriteBatches(parts);
}

function sizeOf(list: readonly Part[]): number {
  return list.reduce((sum, part) => sum + part.size, 0);
}
