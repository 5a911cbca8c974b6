/** The minimum size of the memory in which small chunks are gathered. */
const minCapacity = 256;

/**
 * A part of a stream that is contiguous in memory. The segments of a queue form a linked list.
 *
 * The byte at index `i` of `buffer` has the stream offset `origin + i`. Each segment begins at the offset where the
 * previous segment ends. A segment never overwrites a byte of which it has returned a view, because it writes only from
 * `end` on, or first moves its bytes to new memory.
 */
export class Segment {
  buffer: Buffer;
  /** The index in `buffer` of the segment's first byte. The queue changes this index. */
  start = 0;
  /** The index in `buffer` after the segment's last byte. */
  end: number;
  /**
   * The index up to which the segment may write to `buffer`; equal to `end` if the segment does not own the memory of
   * `buffer`.
   */
  limit: number;
  origin: number;
  next: Segment | undefined = undefined;
  /** Whether `buffer` is a part of the shared read block, which the next read of any socket overwrites. */
  isBorrowed: boolean;

  constructor(buffer: Buffer, end: number, origin: number, limit: number, isBorrowed = false) {
    this.buffer = buffer;
    this.end = end;
    this.origin = origin;
    this.limit = limit;
    this.isBorrowed = isBorrowed;
  }

  /** Returns the bytes from `start` up to the index `end`, without a copy. */
  view(end: number): Buffer {
    const { buffer, start } = this;
    return start === 0 && end === buffer.length ? buffer : buffer.subarray(start, end);
  }

  /** Returns the first index in `buffer`, from `start` on, at which `needle` begins within this segment, or -1. */
  search(needle: number | Uint8Array, start: number): number {
    const { buffer, end } = this;
    if (end === buffer.length) return buffer.indexOf(needle, start);
    const found = buffer.subarray(start, end).indexOf(needle);
    return found === -1 ? -1 : start + found;
  }

  /**
   * Appends `chunk`, which must fit between `end` and `limit`. If `chunk` was read directly into that memory, it is not
   * copied.
   */
  write(chunk: Buffer): void {
    const { buffer, end } = this;
    if (chunk.buffer !== buffer.buffer || chunk.byteOffset !== buffer.byteOffset + end) buffer.set(chunk, end);
    this.end += chunk.length;
  }

  /** Copies the segment's bytes to new memory, which belongs to the segment. */
  own(): void {
    this.isBorrowed = false;
    this.move(this.end - this.start);
  }

  /**
   * Moves the segment's bytes to new memory, and appends `chunk`. The new memory is at least twice as large as needed.
   */
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
