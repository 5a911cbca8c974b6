/** The minimum size of the memory in which small chunks are gathered. */
const minCapacity = 256;

/**
 * Bytes of a stream that lie together in memory, in a list of segments.
 *
 * The byte at index `i` of `buffer` has the offset `origin + i` in the stream. So `origin + start` of the first segment is the
 * position of its queue, and `origin + end` of each segment is `origin + start` of the next. The queue changes `start`. Bytes of
 * which a view was returned are never overwritten: a segment writes only from `end` on, or moves to new memory.
 */
export class Segment {
  buffer: Buffer;
  /** The index in `buffer` of the first byte. */
  start = 0;
  /** The index in `buffer` after the last byte. */
  end: number;
  /** The index up to which the segment may write to `buffer`. It is `end` for memory that the segment does not own. */
  limit: number;
  /** The offset in the stream of the byte at index 0 of `buffer`. */
  origin: number;
  next: Segment | undefined = undefined;
  /** Whether `buffer` is overwritten when the delivery has ended. */
  isBorrowed: boolean;

  constructor(buffer: Buffer, end: number, origin: number, limit: number, isBorrowed = false) {
    this.buffer = buffer;
    this.end = end;
    this.origin = origin;
    this.limit = limit;
    this.isBorrowed = isBorrowed;
  }

  /** Returns the bytes up to the index `end`, without a copy. */
  view(end: number): Buffer {
    const { buffer, start } = this;
    return start === 0 && end === buffer.length ? buffer : buffer.subarray(start, end);
  }

  /** Returns the index in `buffer`, from `start` on, at which `needle` begins within this segment; -1 if there is none. */
  search(needle: number | Uint8Array, start: number): number {
    const { buffer, end } = this;
    if (end === buffer.length) return buffer.indexOf(needle, start);
    const found = buffer.subarray(start, end).indexOf(needle);
    return found === -1 ? -1 : start + found;
  }

  /** Appends `chunk`, for which there must be room. `chunk` may already be at that place in `buffer`. */
  write(chunk: Buffer): void {
    const { buffer, end } = this;
    if (chunk.buffer !== buffer.buffer || chunk.byteOffset !== buffer.byteOffset + end) buffer.set(chunk, end);
    this.end += chunk.length;
  }

  /** Moves the bytes to memory that belongs to this segment. */
  own(): void {
    this.isBorrowed = false;
    this.move(this.end - this.start);
  }

  /** Appends `chunk`, after a move to memory with room for as many bytes again. */
  grow(chunk: Buffer): void {
    this.move(Math.max(minCapacity, 2 * (this.end - this.start + chunk.length)));
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
