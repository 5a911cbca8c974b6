/** The smallest memory that small chunks are gathered in. */
const smallest = 256;

/** Bytes of a stream that lie together, part of a list. It never writes over bytes that it has given out. */
export class Segment {
  buffer: Buffer;
  /** Where its bytes begin in `buffer`. */
  start = 0;
  /** Where its bytes end in `buffer`. */
  end: number;
  /** Up to where `buffer` may be written: `end` where the memory is somebody else's. */
  limit: number;
  /** Where the first byte of `buffer` lies in the stream. */
  origin: number;
  next: Segment | undefined = undefined;
  /** Whether `buffer` is overwritten after the delivery. */
  isBorrowed: boolean;

  constructor(buffer: Buffer, end: number, origin: number, limit: number, isBorrowed = false) {
    this.buffer = buffer;
    this.end = end;
    this.origin = origin;
    this.limit = limit;
    this.isBorrowed = isBorrowed;
  }

  /** Its bytes up to `end`, without a copy. */
  view(end: number): Buffer {
    const { buffer, start } = this;
    return start === 0 && end === buffer.length ? buffer : buffer.subarray(start, end);
  }

  /** Where `needle` lies in `buffer`, from `start` on and within this segment; -1 where it does not. */
  search(needle: number | Uint8Array, start: number): number {
    const { buffer, end } = this;
    if (end === buffer.length) return buffer.indexOf(needle, start);
    const found = buffer.subarray(start, end).indexOf(needle);
    return found === -1 ? -1 : start + found;
  }

  /** Appends `chunk`, for which there must be room, and which may lie there already. */
  write(chunk: Buffer): void {
    const { buffer, end } = this;
    if (chunk.buffer !== buffer.buffer || chunk.byteOffset !== buffer.byteOffset + end) buffer.set(chunk, end);
    this.end += chunk.length;
  }

  /** Moves what is left into memory of its own. */
  own(): void {
    this.isBorrowed = false;
    this.move(this.end - this.start);
  }

  /** Appends `chunk` and moves to memory with room for as many bytes again. */
  grow(chunk: Buffer): void {
    this.move(Math.max(smallest, 2 * (this.end - this.start + chunk.length)));
    this.write(chunk);
  }

  private move(capacity: number): void {
    const { start, end } = this;
    const buffer = Buffer.allocUnsafe(capacity);
    this.buffer.copy(buffer, 0, start, end);
    this.origin += start;
    this.buffer = buffer;
    this.start = 0;
    this.end = end - start;
    this.limit = capacity;
  }
}
