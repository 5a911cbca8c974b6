import type { Encoder } from '../codecs/codec.js';
import type { ByteSink } from '../bytes/byte-sink.js';
import { SocketError } from '../errors/socket-error.js';
import { reasonOf } from '../errors/describe-value.js';
import { isLending, isLent } from '../bytes/shared-read-block.js';
import { cutIntoParts, type WriteBatches } from './write-batches.js';
import { PassedOn } from './passed-on.js';
import { copied } from './buffer-list.js';
import { slabLimit } from '../bytes/slab-pool.js';

type Encoding = 'utf8' | 'latin1';

/** At least every so many bytes it is noted where a value begins, and text becomes bytes: joined, it costs less than by itself. */
const noted = 8_192;

/** A part of foreign memory that is left for another one has at least so many bytes. */
const worthwhile = 512;

const nothing: never[] = [];

/** What a {@link WriteBuffer} writes to: a socket. */
export interface Target {
  write(data: Uint8Array | string, encoding: Encoding): boolean;
  writeAll(pieces: readonly Uint8Array[]): boolean;
}

/**
 * What was encoded and not yet written: complete pieces, then an open slab that small values are copied into, then a
 * run of text that is joined first and copied as one. The bytes of the run are counted only when somebody needs to
 * know: until then three times its length is an upper bound.
 */
export class WriteBuffer extends PassedOn implements ByteSink {
  private readonly borrows: boolean;

  /** A number of bytes that is not under the exact one, at no cost. */
  atMost = 0;
  /** Whether a value is being encoded: its encoder may send, too, and nothing is to be taken from here within that. */
  adding = false;

  /** The only value, small and in bytes, kept by reference until a second one comes. */
  private lone: Uint8Array | undefined = undefined;
  private run = '';
  private encoding: Encoding = 'utf8';
  /** The length of the run when its bytes were counted, and how many there were. */
  private countedRun = 0;
  private countedSize = 0;
  /** Where some of the values begin. */
  private starts: number[] = nothing;
  /** From here on it is time to note where the next value begins. */
  private noteAt = noted;

  // What there was before the value that was added last.
  private markedAtMost = 0;
  private markedRun = 0;
  private markedForeignEnd = 0;
  /** Whether that value has put anything elsewhere than at the end of the run: only then does the rest matter. */
  private touched = false;

  /** @param borrows - whether it takes parts of somebody else's memory: for what is kept, a copy is better */
  constructor(borrows = true) {
    super();
    this.borrows = borrows;
  }

  /** The exact number of bytes. */
  get size(): number {
    const lone = this.lone === undefined ? 0 : this.lone.length;
    const before = this.piecesSize + this.slabEnd + lone + this.foreignEnd - this.foreignStart;
    if (this.run === '') return before;
    if (this.countedRun !== this.run.length) {
      this.countedRun = this.run.length;
      this.countedSize = Buffer.byteLength(this.run, this.encoding);
      this.atMost = before + this.countedSize;
    }
    return before + this.countedSize;
  }

  /** Whether nothing waited before the value that was added last. */
  get wasEmpty(): boolean {
    return this.markedAtMost === 0;
  }

  bytes(value: Uint8Array): void {
    const length = value.length;
    if (length === 0) return;
    this.close();
    this.atMost += length;
    if (length > copied) {
      this.sealSlab();
      if (isLent(value.buffer)) this.addCopy(value);
      else this.addPiece(value);
    } else if (this.slab === undefined && this.pieces.length === 0) {
      this.lone = isLending() ? Buffer.from(value) : value;
    } else this.room(length).set(value, this.slabEnd - length);
  }

  part(memory: ArrayBufferLike, start: number, end: number): boolean {
    if (!this.borrows) return false;
    if (memory !== this.foreign || start !== this.foreignEnd) {
      // Where text waits it is joined, and a part that is short is no better than that.
      if (this.run !== '' || (this.foreign !== undefined && this.foreignEnd - this.foreignStart < worthwhile))
        return false;
      this.close();
      this.setForeign(memory, start, end);
    } else this.foreignEnd = end;
    this.atMost += end - start;
    return true;
  }

  text(value: string, encoding: Encoding): void {
    if (value.length === 0) return;
    if (encoding !== this.encoding || this.lone !== undefined || this.foreign !== undefined) {
      this.close();
      this.encoding = encoding;
    }
    const most = encoding === 'utf8' ? value.length * 3 : value.length;
    this.atMost += most;
    // What comes behind bytes of the same value is followed by bytes of the next one, most likely.
    if (this.touched && this.run === '' && most <= copied) this.copyText(value, most);
    else this.run += value;
  }

  uint(value: number, bytes: 1 | 2 | 4, endian: 'big' | 'little'): void {
    this.close();
    this.atMost += bytes;
    const slab = this.room(bytes);
    const at = this.slabEnd - bytes;
    if (endian === 'big') slab.writeUIntBE(value, at, bytes);
    else slab.writeUIntLE(value, at, bytes);
  }

  /** Encodes `value`: all of it, or nothing and why. A `rollback` takes it out again. */
  add<T>(encoder: Encoder<T>, value: T): SocketError | undefined {
    if (this.atMost >= this.noteAt) this.noteStart();
    this.markedAtMost = this.atMost;
    this.markedRun = this.run.length;
    this.markedForeignEnd = this.foreignEnd;
    this.touched = false;
    const { adding } = this;
    this.adding = true;
    try {
      encoder.encode(value, this);
      this.adding = adding;
      return undefined;
    } catch (cause) {
      this.adding = adding;
      this.rollback();
      if (cause instanceof SocketError) return cause;
      return new SocketError('ERR_FRAME_INVALID', `the value can't be encoded: ${reasonOf(cause)}`, { cause });
    }
  }

  /** Drops the value that was added last. */
  rollback(): void {
    this.atMost = this.markedAtMost;
    this.run = this.run.slice(0, this.markedRun);
    this.countedRun = 0;
    this.foreignEnd = this.markedForeignEnd;
    if (!this.touched) return;
    this.returnToMark();
    this.lone = undefined;
    this.leaveForeign();
  }

  /** Writes all and is empty afterwards. Gives what the target's write gave. */
  writeTo(target: Target): boolean {
    const { lone, foreign } = this;
    let taken: boolean;
    if (lone !== undefined) taken = target.write(lone, 'latin1');
    else if (this.slab !== undefined || this.pieces.length > 0) taken = this.writeSealed(target);
    else if (foreign !== undefined && isLent(foreign)) {
      // The kernel may take a part of it only, and the rest later.
      this.sealForeign();
      taken = this.writeSealed(target);
    } else if (foreign === undefined) taken = target.write(this.run, this.encoding);
    else taken = target.write(Buffer.from(foreign, this.foreignStart, this.foreignEnd - this.foreignStart), 'latin1');
    this.clear(taken);
    return taken;
  }

  private writeSealed(target: Target): boolean {
    this.seal();
    const { pieces } = this;
    return pieces.length === 1 ? target.write(pieces[0] as Uint8Array, 'latin1') : target.writeAll(pieces);
  }

  /** Gives all as one piece of memory of its own, or the one value that was given by reference, and is empty afterwards. */
  takeAll(): Uint8Array {
    const { lone } = this;
    let all: Uint8Array;
    if (lone !== undefined) all = lone;
    else if (this.run !== '' && this.slab === undefined && this.pieces.length === 0) {
      all = Buffer.from(this.run, this.encoding);
    } else {
      this.seal();
      const { pieces } = this;
      all = pieces.length === 1 && this.slabs.length === 0 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces);
    }
    this.clear(true);
    return all;
  }

  /** Gives all, cut into parts of at most `limit` bytes each, and is empty afterwards. */
  takeParts(limit: number): WriteBatches {
    this.seal();
    const parts = cutIntoParts(this.pieces, this.starts, limit);
    this.clear(false);
    return parts;
  }

  /** Forgets everything; the slabs serve again only where nobody reads them any more. */
  clear(reusable: boolean): void {
    this.clearPieces(reusable);
    this.starts = nothing;
    this.noteAt = noted;
    this.lone = undefined;
    this.leaveForeign();
    this.run = '';
    this.countedRun = 0;
    this.atMost = 0;
  }

  private noteStart(): void {
    if (this.run !== '') this.sealRun();
    const size = (this.atMost = this.size);
    if (size < this.noteAt) return;
    if (this.starts.length === 0) this.starts = [size];
    else this.starts.push(size);
    this.noteAt = size + noted;
  }

  private copyLone(): void {
    const lone = this.lone as Uint8Array;
    this.lone = undefined;
    this.room(lone.length).set(lone, this.slabEnd - lone.length);
  }

  /** Copies `text`, of at most `most` bytes, into the slab. */
  private copyText(text: string, most: number): void {
    const slab = this.room(most);
    const start = this.slabEnd - most;
    this.slabEnd = start + slab.write(text, start, this.encoding);
  }

  /** Makes one row of pieces of everything. */
  private seal(): void {
    if (this.lone !== undefined) {
      this.addPiece(this.lone);
      this.lone = undefined;
    }
    if (this.foreign !== undefined) this.sealForeign();
    if (this.run !== '') this.sealRun();
    this.sealSlab();
  }

  /** What comes next is not to be joined with what came last: that is copied. */
  private close(): void {
    if (!this.touched) this.touch();
    if (this.lone !== undefined) this.copyLone();
    if (this.foreign !== undefined) this.sealForeign();
    if (this.run !== '') this.sealRun();
  }

  /** Copies all that came before the value that is being added, so that a rollback can leave it as it is. */
  private touch(): void {
    const { run, markedRun, foreign, foreignEnd } = this;
    if (run !== '') {
      this.run = run.slice(0, markedRun);
      if (markedRun > 0) this.sealRun();
      this.run = run.slice(markedRun);
      this.markedRun = 0;
    }
    if (this.lone !== undefined) this.copyLone();
    if (foreign !== undefined) {
      const end = (this.foreignEnd = this.markedForeignEnd);
      this.sealForeign();
      if (end < foreignEnd) this.setForeign(foreign, end, foreignEnd);
    }
    this.touched = true;
    this.mark();
  }

  /** Copies the run behind what came before it. */
  private sealRun(): void {
    const { run, encoding } = this;
    let most = encoding === 'utf8' ? run.length * 3 : run.length;
    if (this.slabEnd + most > slabLimit) most = Buffer.byteLength(run, encoding);
    this.run = '';
    this.countedRun = 0;
    if (most <= slabLimit / 2) this.copyText(run, most);
    else {
      this.sealSlab();
      this.addPiece(Buffer.from(run, encoding));
    }
  }
}
