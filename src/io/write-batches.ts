/** Who has sent a value: a channel of the connection itself, or the channel of the client, which outlives the connection. */
export type ValueSender = 'own' | 'client';

/** What is written to: a socket. Both methods return whether the kernel has taken everything. */
export interface Target {
  write(data: Uint8Array | string, encoding: 'utf8' | 'latin1'): boolean;
  writeAll(pieces: readonly Uint8Array[]): boolean;
}

/** What goes out in one write. */
export interface Write {
  /** Returns whether the kernel has taken everything. */
  writeTo(target: Target): boolean;
}

/** The bytes of one write. */
class Batch implements Write {
  readonly pieces: Uint8Array[] = [];
  size = 0;
  /** Whether it begins with the first byte of a value. */
  readonly begins: boolean;
  sender: ValueSender = 'own';
  /** Whether it was accepted before the sending side was suspended. */
  isAhead = false;

  constructor(begins: boolean) {
    this.begins = begins;
  }

  writeTo(target: Target): boolean {
    return target.writeAll(this.pieces);
  }
}

/**
 * A row of writes, in order: what is too much for a single write, so that the progress of a slow peer shows batch by batch,
 * and what has another sender than the values behind it.
 */
export class WriteBatches {
  private bytes: number;
  private list: Batch[];

  constructor(list: Batch[] = []) {
    this.list = list;
    this.bytes = sizeOf(list);
  }

  /** In bytes. */
  get size(): number {
    return this.bytes;
  }

  /** Takes the first batch out. */
  shift(): Batch | undefined {
    const batch = this.list.shift();
    if (batch !== undefined) this.bytes -= batch.size;
    return batch;
  }

  /** Returns these batches and behind them `others`, which `sender` has sent. */
  concat(others: WriteBatches, sender: ValueSender): WriteBatches {
    for (const batch of others.list) batch.sender = sender;
    return others.size === 0 ? this : new WriteBatches([...this.list, ...others.list]);
  }

  /** Marks these batches as accepted before the sending side was suspended. */
  markAhead(): void {
    for (const batch of this.list) batch.isAhead = true;
  }

  /** Whether the first batch was accepted before the sending side was suspended. */
  get startAhead(): boolean {
    return this.list[0]?.isAhead === true;
  }

  /** Takes out what the client has sent, from the first batch on that begins with a whole value. */
  splitClient(): Split {
    const split = new Split();
    let isWhole = false;
    for (const batch of this.list) {
      isWhole ||= batch.begins;
      split.add(batch, isWhole && batch.sender === 'client');
    }
    this.list = split.kept;
    this.bytes = sizeOf(this.list);
    return split;
  }
}

/** The batches that were taken out of a row, and where they were. */
export class Split {
  readonly kept: Batch[] = [];
  readonly taken: Batch[] = [];
  /** Where each taken batch was, counted from the first byte of the row. */
  private readonly ranges: { readonly start: number; readonly end: number }[] = [];
  private size = 0;

  add(batch: Batch, isTaken: boolean): void {
    const start = this.size;
    this.size += batch.size;
    if (isTaken) this.ranges.push({ start, end: this.size });
    (isTaken ? this.taken : this.kept).push(batch);
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

/** The row of a connection without batches. */
export const noBatches: WriteBatches = new WriteBatches();

/**
 * Cuts `pieces` into batches of at most `limit` bytes each, between two values where possible.
 *
 * @param starts - where some of the values begin
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
        // The rest of a value that was cut through gets a batch of its own.
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
