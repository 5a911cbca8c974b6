/** The sender of a value: a channel of the connection, or the client's channel, which outlives the connection. */
export type ValueSender = 'own' | 'client';

/** A socket to write to. `write` and `writeAll` return whether the kernel has taken everything. */
export interface Target {
  write(data: Uint8Array | string, encoding: 'utf8' | 'latin1'): boolean;
  writeAll(pieces: readonly Uint8Array[]): boolean;
}

/** The data of one write. */
export interface Write {
  /** Writes the data. Returns whether the kernel has taken everything. */
  writeTo(target: Target): boolean;
}

/** The bytes of one queued write. */
class Batch implements Write {
  readonly pieces: Uint8Array[] = [];
  size = 0;
  /** Whether the batch starts with the first byte of a value. */
  readonly begins: boolean;
  sender: ValueSender = 'own';
  /** Whether the batch was accepted before the sending side was suspended. */
  isAhead = false;

  constructor(begins: boolean) {
    this.begins = begins;
  }

  writeTo(target: Target): boolean {
    return target.writeAll(this.pieces);
  }
}

/**
 * Queued writes, in order. A new batch begins when the sender changes, or when the last batch would become too large. A
 * very large write would hide the progress of a slow peer, because progress is reported only when a write is complete.
 */
export class WriteBatches {
  private bytes: number;
  private list: Batch[];

  constructor(list: Batch[] = []) {
    this.list = list;
    this.bytes = sizeOf(list);
  }

  get size(): number {
    return this.bytes;
  }

  shift(): Batch | undefined {
    const batch = this.list.shift();
    if (batch !== undefined) this.bytes -= batch.size;
    return batch;
  }

  /** Returns these batches followed by `others`, which `sender` has sent. */
  concat(others: WriteBatches, sender: ValueSender): WriteBatches {
    for (const batch of others.list) batch.sender = sender;
    return others.size === 0 ? this : new WriteBatches([...this.list, ...others.list]);
  }

  markAhead(): void {
    for (const batch of this.list) batch.isAhead = true;
  }

  get startAhead(): boolean {
    return this.list[0]?.isAhead === true;
  }

  /** Removes the client's batches, except for the rest of a value that is being written. */
  splitClient(): Split {
    const split = new Split();
    let isUnsent = false;
    for (const batch of this.list) {
      isUnsent ||= batch.begins;
      split.add(batch, isUnsent && batch.sender === 'client');
    }
    this.list = split.kept;
    this.bytes = sizeOf(this.list);
    return split;
  }
}

/** The batches removed from a queue, their positions in the queue, and the batches that stay in the queue. */
export class Split {
  readonly kept: Batch[] = [];
  readonly taken: Batch[] = [];
  /** The position of each taken batch, counted from the first byte of the queue. */
  private readonly ranges: { readonly start: number; readonly end: number }[] = [];
  private size = 0;

  add(batch: Batch, isTaken: boolean): void {
    const start = this.size;
    this.size += batch.size;
    if (isTaken) this.ranges.push({ start, end: this.size });
    (isTaken ? this.taken : this.kept).push(batch);
  }

  /** Whether the value that ends at `offset` was removed. */
  has(offset: number): boolean {
    return this.ranges.some(({ start, end }) => offset > start && offset <= end);
  }

  /** How many of the bytes before `offset` were removed. */
  takenBefore(offset: number): number {
    return this.ranges.reduce((sum, { start, end }) => sum + Math.max(0, Math.min(end, offset) - start), 0);
  }
}

/**
 * The shared object of all connections without batches. The shared object stays empty, because `concat` returns a new
 * object.
 */
export const noBatches: WriteBatches = new WriteBatches();

/**
 * Cuts `pieces` into batches of at most `limit` bytes each. If possible, each cut is between two values.
 *
 * @param starts - the offsets at which some of the values begin
 */
export function cutIntoBatches(pieces: readonly Uint8Array[], starts: readonly number[], limit: number): WriteBatches {
  const batches: Batch[] = [];
  let next = 0;
  let batch = new Batch(true);
  let end = 0;
  let at = 0;
  for (const piece of pieces) {
    for (let start = 0; start < piece.length;) {
      if (at === end) {
        batch = new Batch(at === 0 || starts[next - 1] === at);
        batches.push(batch);
        end = at + Math.floor(limit);
        const first = next;
        // The rest of a value that had to be cut gets a batch of its own.
        while ((starts[next] ?? Infinity) <= end && (batch.begins || next === first)) next++;
        if (next > first) end = starts[next - 1] as number;
      }
      const slice = piece.subarray(start, start + end - at);
      batch.pieces.push(slice);
      batch.size += slice.length;
      start += slice.length;
      at += slice.length;
    }
  }
  return new WriteBatches(batches);
}

function sizeOf(list: readonly Batch[]): number {
  return list.reduce((sum, batch) => sum + batch.size, 0);
}
