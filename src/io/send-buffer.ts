import type { ByteSink, Encoder } from '../codec.js';
import { SocketError } from '../errors.js';
import { cutIntoParts, type Parts } from './parts.js';
import { returnSlab, slabLimit, takeSlab } from './slab.js';

type Encoding = 'utf8' | 'latin1';

/** Up to here bytes are copied together with others; what is longer is kept by reference. */
const copied = 4_096;

/** At least every so many bytes it is noted where a value begins. */
const noted = 8_192;

/** What a {@link SendBuffer} writes to: a socket. */
export interface Target {
  write(data: Uint8Array | string, encoding: Encoding): boolean;
  writeAll(pieces: readonly Uint8Array[]): boolean;
}

/**
 * What was encoded and not yet written: complete pieces, then either an open slab that small bytes are copied into,
 * or a run of text that is joined and written as one string. The bytes of a text are counted only when somebody needs
 * to know: until then three times its length is an upper bound.
 */
export class SendBuffer implements ByteSink {
  private pieces: Uint8Array[] = [];
  private piecesSize = 0;
  private slab: Buffer | undefined;
  private slabEnd = 0;
  /** A lone small value, kept by reference until a second one comes. */
  private lone: Uint8Array | undefined;
  private run = '';
  private runSize = 0;
  private uncounted = '';
  private encoding: Encoding = 'utf8';
  private slabs: Buffer[] = [];
  /** Where some of the values begin. */
  private starts: number[] = [];
  private lastStart = 0;

  private readonly saved = {
    pieces: 0,
    piecesSize: 0,
    slab: undefined as Buffer | undefined,
    slabEnd: 0,
    lone: undefined as Uint8Array | undefined,
    run: '',
    runSize: 0,
    uncounted: '',
    encoding: 'utf8' as Encoding,
  };

  /** The exact number of bytes. */
  get size(): number {
    if (this.uncounted !== '') this.count();
    return this.piecesSize + this.slabEnd + (this.lone === undefined ? 0 : this.lone.length) + this.runSize;
  }

  /** A number of bytes that is not under the exact one, at no cost. */
  get sizeAtMost(): number {
    return (
      this.piecesSize +
      this.slabEnd +
      (this.lone === undefined ? 0 : this.lone.length) +
      this.runSize +
      this.uncounted.length * 3
    );
  }

  /** The exact number of bytes that there were before the value that was added last. */
  get sizeAtMark(): number {
    const { piecesSize, slabEnd, lone, runSize, uncounted } = this.saved;
    return (
      piecesSize + slabEnd + (lone === undefined ? 0 : lone.length) + runSize + Buffer.byteLength(uncounted, 'utf8')
    );
  }

  bytes(value: Uint8Array): void {
    const length = value.length;
    if (length === 0) return;
    if (this.slab === undefined) {
      if (this.run !== '' || this.uncounted !== '') this.sealText();
      if (this.lone === undefined && length <= copied && this.pieces.length === 0) {
        this.lone = value;
        return;
      }
      if (this.lone !== undefined) this.copyLone();
    }
    if (length <= copied) this.room(length).set(value, this.slabEnd - length);
    else {
      this.sealSlab();
      this.addPiece(value);
    }
  }

  text(value: string, encoding: Encoding): void {
    if (value === '') return;
    if (this.slab !== undefined || this.lone !== undefined) {
      const most = value.length * (encoding === 'utf8' ? 3 : 1);
      if (most <= copied) {
        if (this.lone !== undefined) this.copyLone();
        const start = this.slabEnd;
        const slab = this.room(most);
        this.slabEnd = start + slab.write(value, start, encoding);
        return;
      }
      this.sealSlab();
    }
    if (encoding !== this.encoding) {
      this.sealText();
      this.encoding = encoding;
    }
    if (encoding === 'latin1') {
      this.run += value;
      this.runSize += value.length;
    } else this.uncounted += value;
  }

  uint(value: number, bytes: 1 | 2 | 4, endian: 'big' | 'little'): void {
    if (this.run !== '' || this.uncounted !== '') this.sealText();
    if (this.lone !== undefined) this.copyLone();
    const slab = this.room(bytes);
    const at = this.slabEnd - bytes;
    if (endian === 'big') slab.writeUIntBE(value, at, bytes);
    else slab.writeUIntLE(value, at, bytes);
  }

  /** Encodes `value`: all of it, or nothing and why. A `rollback` takes it out again. */
  add<T>(encoder: Encoder<T>, value: T): SocketError | undefined {
    if (this.sizeAtMost >= this.lastStart + noted) this.noteStart();
    this.mark();
    try {
      encoder.encode(value, this);
      return undefined;
    } catch (cause) {
      this.rollback();
      if (cause instanceof SocketError) return cause;
      return new SocketError('ERR_FRAME_INVALID', `the value can't be encoded: ${String(cause)}`, { cause });
    }
  }

  /** Drops the value that was added last. */
  rollback(): void {
    const saved = this.saved;
    this.pieces.length = saved.pieces;
    this.piecesSize = saved.piecesSize;
    this.slab = saved.slab;
    this.slabEnd = saved.slabEnd;
    this.lone = saved.lone;
    this.run = saved.run;
    this.runSize = saved.runSize;
    this.uncounted = saved.uncounted;
    this.encoding = saved.encoding;
  }

  /** Remembers where the next value begins. */
  private mark(): void {
    const saved = this.saved;
    saved.pieces = this.pieces.length;
    saved.piecesSize = this.piecesSize;
    saved.slab = this.slab;
    saved.slabEnd = this.slabEnd;
    saved.lone = this.lone;
    saved.run = this.run;
    saved.runSize = this.runSize;
    saved.uncounted = this.uncounted;
    saved.encoding = this.encoding;
  }

  /** Writes all and is empty afterwards. Gives what the target's write gave. */
  writeTo(target: Target): boolean {
    const { lone, pieces } = this;
    let taken: boolean;
    if (lone !== undefined) taken = target.write(lone, 'latin1');
    else if (pieces.length === 0 && this.slab === undefined)
      taken = target.write(this.run + this.uncounted, this.encoding);
    else {
      this.sealText();
      this.sealSlab();
      taken = pieces.length === 1 ? target.write(pieces[0] as Uint8Array, 'latin1') : target.writeAll(pieces);
    }
    this.clear(taken);
    return taken;
  }

  /** Gives all as one piece of memory of its own, or the one value that was given by reference, and is empty afterwards. */
  takeAll(): Uint8Array {
    let all: Uint8Array;
    if (this.lone !== undefined) all = this.lone;
    else {
      this.sealText();
      this.sealSlab();
      all =
        this.pieces.length === 1 && this.slabs.length === 0
          ? (this.pieces[0] as Uint8Array)
          : Buffer.concat(this.pieces);
    }
    this.clear(true);
    return all;
  }

  /** Gives all, cut into parts of at most `limit` bytes each, and is empty afterwards. */
  takeParts(limit: number): Parts {
    this.sealText();
    this.sealSlab();
    const parts = cutIntoParts(this.pieces, this.starts, limit);
    this.clear(false);
    return parts;
  }

  /** Forgets everything; the slabs serve again only where nobody reads them any more. */
  clear(reusable: boolean): void {
    if (reusable) for (const slab of this.slabs) returnSlab(slab);
    if (this.slabs.length > 0) this.slabs = [];
    if (this.starts.length > 0) this.starts = [];
    this.lastStart = 0;
    if (this.pieces.length > 0) this.pieces = [];
    this.piecesSize = 0;
    this.slab = undefined;
    this.slabEnd = 0;
    this.lone = undefined;
    this.run = '';
    this.runSize = 0;
    this.uncounted = '';
  }

  private noteStart(): void {
    const { size } = this;
    if (size < this.lastStart + noted) return;
    this.starts.push(size);
    this.lastStart = size;
  }

  private count(): void {
    this.runSize += Buffer.byteLength(this.uncounted, 'utf8');
    this.run += this.uncounted;
    this.uncounted = '';
  }

  private addPiece(piece: Uint8Array): void {
    this.pieces.push(piece);
    this.piecesSize += piece.length;
  }

  private copyLone(): void {
    const lone = this.lone as Uint8Array;
    this.lone = undefined;
    this.room(lone.length).set(lone, this.slabEnd - lone.length);
  }

  /** Makes room for `length` more bytes in the open slab, counts them as used and gives the slab. */
  private room(length: number): Buffer {
    const end = this.slabEnd + length;
    let slab = this.slab;
    if (slab === undefined || end > slab.length) {
      if (slab !== undefined && end > slabLimit) {
        this.sealSlab();
        return this.room(length);
      }
      const larger = takeSlab(end);
      this.slabs.push(larger);
      // The smaller slab is left as it is: a rollback may return to it.
      if (slab !== undefined) larger.set(slab.subarray(0, this.slabEnd));
      slab = larger;
      this.slab = larger;
    }
    this.slabEnd = end;
    return slab;
  }

  private sealSlab(): void {
    if (this.lone !== undefined) {
      this.addPiece(this.lone);
      this.lone = undefined;
    }
    if (this.slab === undefined) return;
    if (this.slabEnd > 0) this.addPiece(this.slab.subarray(0, this.slabEnd));
    this.slab = undefined;
    this.slabEnd = 0;
  }

  private sealText(): void {
    const text = this.run + this.uncounted;
    this.run = '';
    this.runSize = 0;
    this.uncounted = '';
    if (text !== '') this.addPiece(Buffer.from(text, this.encoding));
  }
}
