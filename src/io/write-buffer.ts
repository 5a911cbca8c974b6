import type { Encoder } from '../codecs/codec.js';
import type { ByteSink } from '../bytes/byte-sink.js';
import { SocketError } from '../errors/socket-error.js';
import { describeError } from '../errors/describe-value.js';
import { isShared } from '../bytes/shared-read-block.js';
import { returnSlab, slabLimit, takeSlab } from '../bytes/slab-pool.js';
import { cutIntoBatches, type Target, type Write, type WriteBatches } from './write-batches.js';

type Encoding = 'utf8' | 'latin1';

/** A byte array of at most this length is copied into a slab; a longer byte array is kept by reference. */
const longestCopy = 4_096;

/**
 * To record where a value starts, the buffer has to encode all text before the value. So the buffer records at most one
 * start in this many bytes.
 */
const noteEvery = 8_192;

const none: never[] = [];

/**
 * Collects encoded values until they are written. `add` sets a checkpoint before each value. `rollback` returns to the
 * checkpoint, which removes the last value.
 *
 * The contents have one of two forms. The first form is one small byte array, which is kept by reference until the
 * buffer gets more contents. The second form has up to three parts, in this order:
 *
 * 1. complete pieces,
 * 2. an open slab, into which small values are copied,
 * 3. a run of text: joined strings that will be encoded together. The bytes of the run are counted only on demand.
 *    Until they are counted, the size of the run in UTF-8 is taken to be at most three times its length.
 *
 * A checkpoint needs only lengths and references, because pieces and slabs only grow, and strings do not change.
 */
export class WriteBuffer implements ByteSink, Write {
  private most = 0;
  private phase: 'idle' | 'encoding' = 'idle';

  private pieces: Uint8Array[] = none;
  private piecesSize = 0;
  private slab: Buffer | undefined = undefined;
  private slabEnd = 0;
  /** All slabs in use, which later return to the pool. */
  private slabs: Buffer[] = none;
  private lone: Uint8Array | undefined = undefined;
  private run = '';
  private encoding: Encoding = 'utf8';
  /** The length of the run when its bytes were last counted. The result of the count is `countedSize`. */
  private countedLength = 0;
  private countedSize = 0;
  /** The offsets at which some of the values begin. */
  private starts: number[] = none;
  /** The next value that begins at this offset or later is recorded in `starts`. */
  private noteAt = noteEvery;

  // The checkpoint: the contents before the last value.
  private markedMost = 0;
  private markedPieces = 0;
  private markedPiecesSize = 0;
  private markedSlab: Buffer | undefined = undefined;
  private markedSlabEnd = 0;
  private markedSlabs = 0;
  private markedLone: Uint8Array | undefined = undefined;
  private markedRun = '';
  private markedEncoding: Encoding = 'utf8';

  /** An upper bound of `size`, which is known without counting bytes. */
  get atMost(): number {
    return this.most;
  }

  /**
   * Whether an encoder is writing a value into the buffer. Until the encoder returns, nothing may be taken out of the
   * buffer. If the encoder itself sends a value, `detachTail` and `attachTail` keep the two values apart.
   */
  get isEncoding(): boolean {
    return this.phase === 'encoding';
  }

  /** The exact number of bytes in the buffer. */
  get size(): number {
    const before = this.piecesSize + this.slabEnd + (this.lone === undefined ? 0 : this.lone.length);
    if (this.run === '') return before;
    if (this.countedLength !== this.run.length) {
      this.countedLength = this.run.length;
      this.countedSize = Buffer.byteLength(this.run, this.encoding);
      this.most = before + this.countedSize;
    }
    return before + this.countedSize;
  }

  /** Whether the buffer was empty before the last value. */
  get wasEmpty(): boolean {
    return this.markedMost === 0;
  }

  bytes(value: Uint8Array): void {
    const { length } = value;
    if (length === 0) return;
    this.sealText();
    this.most += length;
    if (length > longestCopy) {
      this.sealSlab();
      if (isShared(value)) this.addCopy(value);
      else this.addPiece(value);
    } else if (this.slab === undefined && this.pieces.length === 0) {
      this.lone = isShared(value) ? Buffer.from(value) : value;
    } else this.reserve(length).set(value, this.slabEnd - length);
  }

  text(value: string, encoding: Encoding): void {
    if (value.length === 0) return;
    if (encoding !== this.encoding || this.lone !== undefined) {
      this.sealText();
      this.encoding = encoding;
    }
    // If the run was counted after its last value, later values are counted one by one: to count a growing run after
    // each value would take quadratic time.
    const isCounted = this.countedLength > 0 && this.countedLength === this.run.length && !startsInPair(value);
    const most = isCounted ? Buffer.byteLength(value, encoding) : mostBytes(value, encoding);
    this.most += most;
    if (isCounted) {
      this.countedLength += value.length;
      this.countedSize += most;
    }
    // In this value, bytes precede the text. The next value is probably similar, so bytes will probably follow this
    // text. No other text can then be joined with this text, so copy this text now.
    if (this.run === '' && this.slabEnd !== this.markedSlabEnd && most <= longestCopy) this.copyText(value, most);
    else this.run += value;
  }

  uint(value: number, bytes: 1 | 2 | 4, endian: 'big' | 'little'): void {
    this.sealText();
    this.most += bytes;
    const slab = this.reserve(bytes);
    const at = this.slabEnd - bytes;
    if (endian === 'big') slab.writeUIntBE(value, at, bytes);
    else slab.writeUIntLE(value, at, bytes);
  }

  /** Encodes and appends `value`. If the encoder throws, nothing is appended, and the error is returned. */
  add<T>(encoder: Encoder<T>, value: T): SocketError | undefined {
    if (this.most >= this.noteAt) this.noteStart();
    this.setCheckpoint();
    const { phase } = this;
    this.phase = 'encoding';
    try {
      encoder.encode(value, this);
      this.phase = phase;
      return undefined;
    } catch (cause) {
      this.phase = phase;
      this.rollback();
      if (cause instanceof SocketError) return cause;
      return new SocketError('ERR_FRAME_INVALID', `the value can't be encoded: ${describeError(cause)}`, { cause });
    }
  }

  /** Removes the last value. */
  rollback(): void {
    this.most = this.markedMost;
    this.pieces.length = this.markedPieces;
    this.piecesSize = this.markedPiecesSize;
    this.slab = this.markedSlab;
    this.slabEnd = this.markedSlabEnd;
    // Many values may be dropped while a peer does not read. Each dropped value must return its slabs.
    while (this.slabs.length > this.markedSlabs) returnSlab(this.slabs.pop()!);
    this.lone = this.markedLone;
    this.run = this.markedRun;
    this.encoding = this.markedEncoding;
    this.countedLength = 0;
  }

  /**
   * Removes and returns the bytes of the unfinished value. Another value, which the encoder has sent, can then go out
   * before the unfinished value.
   */
  detachTail(): Uint8Array | undefined {
    if (this.most === this.markedMost) return undefined;
    this.seal();
    const all = Buffer.concat(this.pieces);
    this.rollback();
    return all.subarray(this.size);
  }

  /** Appends the bytes that `detachTail` has removed, so that the encoder continues after these bytes. */
  attachTail(tail: Uint8Array | undefined): void {
    this.setCheckpoint();
    if (tail !== undefined) this.bytes(tail);
  }

  /** Writes everything, and empties the buffer. */
  writeTo(target: Target): boolean {
    let taken: boolean;
    if (this.lone !== undefined) taken = target.write(this.lone, 'latin1');
    else if (this.slab === undefined && this.pieces.length === 0) {
      taken = target.write(this.run, this.encoding);
    } else {
      this.seal();
      const { pieces } = this;
      taken = pieces.length === 1 ? target.write(pieces[0] as Uint8Array, 'latin1') : target.writeAll(pieces);
    }
    this.clear(taken);
    return taken;
  }

  /** Returns everything as one Uint8Array outside the slabs, and empties the buffer. */
  takeAll(): Uint8Array {
    let all: Uint8Array;
    if (this.lone === undefined && this.run !== '' && this.slab === undefined && this.pieces.length === 0) {
      all = Buffer.from(this.run, this.encoding);
    } else {
      this.seal();
      const { pieces } = this;
      all = pieces.length === 1 && this.slabs.length === 0 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces);
    }
    this.clear(true);
    return all;
  }

  /** Returns everything in batches of at most `limit` bytes each, and empties the buffer. */
  takeBatches(limit: number): WriteBatches {
    this.seal();
    const batches = cutIntoBatches(this.pieces, this.starts, limit);
    this.clear(false);
    return batches;
  }

  /** Empties the buffer. The slabs return to the pool, unless a pending write still reads the slabs. */
  private clear(areSlabsFree: boolean): void {
    if (areSlabsFree) for (const slab of this.slabs) returnSlab(slab);
    this.slabs = none;
    this.pieces = none;
    this.piecesSize = 0;
    this.slab = undefined;
    this.slabEnd = 0;
    this.lone = undefined;
    this.run = '';
    this.countedLength = 0;
    this.starts = none;
    this.noteAt = noteEvery;
    this.most = 0;
    // The old checkpoint refers to memory that the buffer no longer needs, and would keep that memory alive.
    this.setCheckpoint();
  }

  private setCheckpoint(): void {
    this.markedMost = this.most;
    this.markedPieces = this.pieces.length;
    this.markedPiecesSize = this.piecesSize;
    this.markedSlab = this.slab;
    this.markedSlabEnd = this.slabEnd;
    this.markedSlabs = this.slabs.length;
    this.markedLone = this.lone;
    this.markedRun = this.run;
    this.markedEncoding = this.encoding;
  }

  private noteStart(): void {
    this.sealText();
    const size = (this.most = this.size);
    if (size < this.noteAt) return;
    if (this.starts.length === 0) this.starts = [size];
    else this.starts.push(size);
    this.noteAt = size + noteEvery;
  }

  /** Turns the contents into pieces. */
  private seal(): void {
    // A lone value is always the only content of the buffer.
    if (this.lone !== undefined) {
      this.addPiece(this.lone);
      this.lone = undefined;
    }
    this.sealText();
    this.sealSlab();
  }

  /**
   * Copies the lone value and the run into the slab, so that later text is not joined with the lone value or the run. A
   * long run becomes a piece of its own.
   */
  private sealText(): void {
    const { lone, run, encoding } = this;
    if (lone !== undefined) {
      this.lone = undefined;
      this.reserve(lone.length).set(lone, this.slabEnd - lone.length);
    }
    if (run === '') return;
    let most = mostBytes(run, encoding);
    if (this.slabEnd + most > slabLimit) most = Buffer.byteLength(run, encoding);
    this.run = '';
    this.countedLength = 0;
    if (most <= slabLimit / 2) this.copyText(run, most);
    else {
      this.sealSlab();
      this.addPiece(Buffer.from(run, encoding));
    }
  }

  private copyText(text: string, most: number): void {
    const slab = this.reserve(most);
    const start = this.slabEnd - most;
    this.slabEnd = start + slab.write(text, start, this.encoding);
  }

  private addPiece(piece: Uint8Array): void {
    if (this.pieces.length === 0) this.pieces = [piece];
    else this.pieces.push(piece);
    this.piecesSize += piece.length;
  }

  private addSlab(slab: Buffer): void {
    if (this.slabs.length === 0) this.slabs = [slab];
    else this.slabs.push(slab);
  }

  private addCopy(bytes: Uint8Array): void {
    const slab = takeSlab(bytes.length);
    slab.set(bytes);
    this.addSlab(slab);
    this.addPiece(slab.subarray(0, bytes.length));
  }

  /** Reserves the next `length` bytes of the open slab, and returns the slab. */
  private reserve(length: number): Buffer {
    const end = this.slabEnd + length;
    let slab = this.slab;
    if (slab === undefined || end > slab.length) {
      if (slab !== undefined && end > slabLimit) {
        this.sealSlab();
        return this.reserve(length);
      }
      const larger = takeSlab(end);
      this.addSlab(larger);
      // The smaller slab keeps its contents, because a rollback may return to the smaller slab.
      if (slab !== undefined) larger.set(slab.subarray(0, this.slabEnd));
      slab = this.slab = larger;
    }
    this.slabEnd = end;
    return slab;
  }

  /** Turns the contents of the open slab into a piece. */
  private sealSlab(): void {
    if (this.slab === undefined) return;
    if (this.slabEnd > 0) this.addPiece(this.slab.subarray(0, this.slabEnd));
    this.slab = undefined;
    this.slabEnd = 0;
  }
}

/** Whether `value` may continue a surrogate pair. A pair has fewer bytes than its two halves. */
function startsInPair(value: string): boolean {
  const unit = value.charCodeAt(0);
  return unit >= 0xdc00 && unit <= 0xdfff;
}

function mostBytes(text: string, encoding: Encoding): number {
  return encoding === 'utf8' ? text.length * 3 : text.length;
}

// Connections share buffers, so that an idle connection has no buffer.
const free: WriteBuffer[] = [];
const mostFree = 16;

/**
 * The buffer of all connections that have nothing to write. `ownBuffer` replaces this buffer before a value is added.
 */
export const unusedBuffer: WriteBuffer = new WriteBuffer();

/** Returns `buffer`. If `buffer` is {@link unusedBuffer}, returns an empty buffer that can be filled. */
export function ownBuffer(buffer: WriteBuffer): WriteBuffer {
  return buffer === unusedBuffer ? (free.pop() ?? new WriteBuffer()) : buffer;
}

export function returnBuffer(buffer: WriteBuffer): void {
  if (free.length < mostFree) free.push(buffer);
}
