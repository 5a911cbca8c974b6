import type { ByteQueue } from './byte-queue.js';
import { isShared } from './shared-read-block.js';
import { Segment } from './segment.js';

/**
 * If a chunk does not fit in the free memory after the last queued byte, its size decides: a chunk of at least this
 * many bytes is kept by reference, and a smaller chunk is copied.
 */
const minReferenced = 1_024;
/** The maximum size of a segment that grows by copying. When such a segment is full, a new segment starts. */
const maxGrown = 16_384;
/** The memory of an unfinished frame is at most this many times as large as the part of the frame that has arrived. */
const maxFrameGrowth = 32;
/**
 * An unfinished frame gets its own memory only if at least `minArrived` bytes have arrived, and at least `minMissing`
 * bytes of the frame are missing.
 */
const minArrived = 4_096;
const minMissing = 32_768;
/** The maximum number of bytes that one read puts into an unfinished frame's memory. */
const maxRead = 262_144;

const empty = Buffer.alloc(0);

/**
 * Holds the bytes of one stream between the socket, which pushes chunks, and the decoder, which takes frames.
 *
 * The queue is equivalent to this code, but takes linear time, and does not copy bytes that are already contiguous:
 *
 * ```ts
 * let waiting = Buffer.alloc(0);
 * let position = 0;
 * const push = (chunk: Buffer) => (waiting = Buffer.concat([waiting, chunk]));
 * const peek = (count: number) => waiting.subarray(0, count);
 * const skip = (count: number) => {
 *   waiting = waiting.subarray(count);
 *   position += count;
 * };
 * const take = (count: number) => {
 *   const bytes = peek(count);
 *   skip(count);
 *   return bytes;
 * };
 * ```
 *
 * Do not change a chunk after you have pushed it, because the queue keeps a reference to the chunk. All memory of the
 * chunk stays alive until the last byte of the chunk has been taken off. Small chunks that stay in the queue are an
 * exception: the queue copies several such chunks into one larger block, and so needs at most about two bytes of memory
 * for each queued byte. When the beginning of a large frame has arrived, the socket reads the rest of the frame
 * directly into `room`.
 *
 * A chunk in the shared read block is borrowed: the chunk is valid only until it has been delivered to the subscribers.
 * `head`, `peek` and `take` copy borrowed bytes, and return the copy. `borrow` and `borrowHead` return borrowed bytes
 * without a copy, for callers that do not keep the bytes. When the chunk has been delivered, `keepRest` copies the
 * borrowed bytes that are still in the queue.
 */
export class ChunkQueue implements ByteQueue {
  private size = 0;
  private offset = 0;
  private first: Segment | undefined = undefined;
  private last: Segment | undefined = undefined;
  /** The segment of the last search or copy. The next search or copy usually continues in this segment. */
  private recent: Segment | undefined = undefined;
  /** The frame that `expect` has announced ends at this stream offset. */
  private frameEnd = 0;
  /**
   * Whether a reader took bytes of the last borrowed chunk to keep, so that they had to be copied. If so, the socket
   * should read the next chunk into new memory.
   */
  wasViewed = false;

  get length(): number {
    return this.size;
  }

  get position(): number {
    return this.offset;
  }

  get head(): Buffer {
    const first = this.first;
    return first === undefined ? empty : this.owned(first).view(first.end);
  }

  /** Appends `chunk`. If `chunk` is in the shared read block, the queue borrows `chunk` until `keepRest` is called. */
  push(chunk: Buffer): void {
    const count = chunk.length;
    if (count === 0) return;
    const isBorrowed = isShared(chunk);
    if (isBorrowed) this.wasViewed = false;
    const last = this.last;
    if (last === undefined) this.append(new Segment(chunk, count, this.offset, count, isBorrowed));
    else if (count <= last.limit - last.end) last.write(chunk);
    else if (count >= minReferenced) this.append(new Segment(chunk, count, this.offset + this.size, count, isBorrowed));
    else if (last.end - last.start + count <= maxGrown / 2) last.grow(chunk);
    else {
      const segment = new Segment(empty, 0, this.offset + this.size, 0);
      segment.grow(chunk);
      this.append(segment);
    }
    this.size += count;
  }

  /**
   * Announces that the first `count` bytes of the queue are one frame. A large frame is gathered in one place while it
   * arrives.
   */
  expect(count: number): void {
    this.frameEnd = this.offset + count;
  }

  /**
   * Copies the borrowed bytes that are still in the queue. Call `keepRest` before the shared read block is overwritten.
   */
  keepRest(): void {
    if (this.last?.isBorrowed === true) this.last.own();
  }

  /**
   * The memory where the next bytes of a large frame belong. Undefined if no frame is unfinished, or if the unfinished
   * frame gets no memory of its own. A socket reads into this memory, and pushes the part that the read has filled. Do
   * not start another read before the push, because `room` returns the same memory until the push.
   */
  get room(): Buffer | undefined {
    const missing = this.frameEnd - this.offset - this.size;
    if (missing <= 0) return undefined;
    let last = this.last;
    if (last === undefined) return undefined;
    if (last.end === last.limit || last !== this.first) {
      if (this.size < minArrived || missing < minMissing) return undefined;
      // If the memory is for only a part of the frame, it holds at most half of the frame. When this memory is full, at
      // least `minMissing` bytes of the frame are still missing, so the next part of the frame also gets its own
      // memory.
      const frame = this.frameEnd - this.offset;
      try {
        last = this.gatherAll(frame <= maxFrameGrowth * this.size ? frame : (maxFrameGrowth / 2) * this.size);
      } catch {
        // There is not enough memory for the frame. The lack of memory is not an error yet, because the rest of the
        // frame may never arrive. If the rest arrives, `take` copies the frame.
        return undefined;
      }
    }
    return last.buffer.subarray(last.end, Math.min(last.limit, last.end + maxRead));
  }

  clear(): void {
    this.skip(this.size);
  }

  at(index: number): number {
    if (!(index >= 0 && index < this.size)) throw this.outOfRange('index', index);
    const first = this.first!;
    const near = first.start + index;
    if (near < first.end) return first.buffer[near]!;
    const segment = this.segmentAt(index);
    return segment.buffer[this.offset + index - segment.origin]!;
  }

  uint(index: number, bytes: 1 | 2 | 4, endian: 'big' | 'little'): number {
    if (!(index >= 0 && index + bytes <= this.size)) throw this.outOfRange(`the index of ${bytes} bytes`, index);
    const first = this.first!;
    const near = first.start + index;
    const isInFirst = near + bytes <= first.end;
    const buffer = isInFirst ? first.buffer : this.copy(index, bytes);
    const at = isInFirst ? near : 0;
    return endian === 'big' ? buffer.readUIntBE(at, bytes) : buffer.readUIntLE(at, bytes);
  }

  indexOf(needle: number | Uint8Array, from = 0): number {
    if (!(from >= 0)) throw new RangeError(`from must be at least 0, got ${from}`);
    const reach = typeof needle === 'number' ? 0 : needle.length - 1;
    if (reach < 0) return Math.min(from, this.size);
    if (from + reach >= this.size) return -1;
    let segment = this.segmentAt(from);
    let start = this.offset + from - segment.origin;
    for (;;) {
      const found = segment.search(needle, start);
      if (found !== -1) return segment.origin + found - this.offset;
      const next = segment.next;
      if (next === undefined) return -1;
      if (reach > 0) {
        const across = this.searchAcross(segment, start, needle as Uint8Array);
        if (across !== -1) return across;
      }
      segment = next;
      start = next.start;
    }
  }

  peek(count: number): Buffer {
    if (!(count >= 0 && count <= this.size)) throw this.outOfRange('count', count);
    if (count === 0) return empty;
    this.owned(this.first!);
    return this.contiguous(count);
  }

  /**
   * Like `peek`, but does not copy borrowed bytes. Borrowed bytes are valid only until their chunk has been delivered.
   */
  borrow(count: number): Buffer {
    if (!(count >= 0 && count <= this.size)) throw this.outOfRange('count', count);
    return count === 0 ? empty : this.contiguous(count);
  }

  /**
   * Like `head`, but does not copy borrowed bytes. Borrowed bytes are valid only until their chunk has been delivered.
   */
  borrowHead(): Buffer {
    const first = this.first;
    return first === undefined ? empty : first.view(first.end);
  }

  take(count: number): Buffer {
    if (!(count >= 0 && count <= this.size)) throw this.outOfRange('count', count);
    if (count === 0) return empty;
    const first = this.owned(this.first!);
    const end = first.start + count;
    const bytes = end <= first.end ? first.view(end) : this.copy(0, count);
    this.skip(count);
    return bytes;
  }

  skip(count: number): void {
    if (!(count >= 0 && count <= this.size)) throw this.outOfRange('count', count);
    if (count === 0) return;
    this.size -= count;
    this.offset += count;
    const first = this.first!;
    const start = first.start + count;
    if (start < first.end) first.start = start;
    else this.releaseSegments();
  }

  /** Returns the first `count` bytes. Gathers them if they are not contiguous. */
  private contiguous(count: number): Buffer {
    let first = this.first!;
    if (count > first.end - first.start) first = this.gather(count);
    return first.view(first.start + count);
  }

  /** If the bytes of `segment` are borrowed, makes `segment` copy them, so that a reader can keep views of the copy. */
  private owned(segment: Segment): Segment {
    if (segment.isBorrowed) {
      segment.own();
      this.wasViewed = true;
    }
    return segment;
  }

  /** Gathers all queued bytes in one segment with room for `capacity` bytes. */
  private gatherAll(capacity: number): Segment {
    const buffer = Buffer.allocUnsafe(capacity);
    this.copyTo(buffer, 0, this.size);
    const segment = new Segment(buffer, this.size, this.offset, capacity);
    this.first = this.last = this.recent = segment;
    this.wasViewed = false;
    return segment;
  }

  private append(segment: Segment): void {
    if (this.last === undefined) this.first = this.recent = segment;
    else this.last.next = segment;
    this.last = segment;
  }

  private releaseSegments(): void {
    let segment = this.first;
    while (segment !== undefined && segment.origin + segment.end <= this.offset) segment = segment.next;
    this.first = segment;
    if (segment === undefined) {
      this.last = this.recent = undefined;
      return;
    }
    segment.start = this.offset - segment.origin;
    const recent = this.recent!;
    if (recent.origin + recent.end <= this.offset) this.recent = segment;
  }

  /** Returns the segment that contains the byte at `index`. This byte must have arrived. */
  private segmentAt(index: number): Segment {
    const at = this.offset + index;
    let segment = this.recent!;
    if (at < segment.origin + segment.start) segment = this.first!;
    while (at >= segment.origin + segment.end) segment = segment.next!;
    this.recent = segment;
    return segment;
  }

  /** Searches for a `needle` that begins in `segment`, from `start` on, and ends in a later segment. */
  private searchAcross(segment: Segment, start: number, needle: Uint8Array): number {
    const reach = needle.length - 1;
    const low = segment.origin + Math.max(start, segment.end - reach) - this.offset;
    const high = segment.origin + segment.end + reach - this.offset;
    const found = this.copy(low, Math.min(high, this.size) - low).indexOf(needle);
    return found === -1 ? -1 : low + found;
  }

  private outOfRange(name: string, value: number): RangeError {
    return new RangeError(`${name} must be within the ${this.size} bytes that have arrived, got ${value}`);
  }

  private copy(index: number, count: number): Buffer {
    const bytes = Buffer.allocUnsafe(count);
    this.copyTo(bytes, index, count);
    return bytes;
  }

  private copyTo(target: Buffer, index: number, count: number): void {
    let segment = this.segmentAt(index);
    let start = this.offset + index - segment.origin;
    for (let done = 0; done < count;) {
      const end = Math.min(segment.end, start + count - done);
      segment.buffer.copy(target, done, start, end);
      done += end - start;
      if (done === count) return;
      segment = segment.next!;
      start = segment.start;
    }
  }

  /**
   * Gathers the first `count` bytes in one segment. The new segment gets at least twice as many bytes as the first
   * segment had. If the queue has at most that many bytes, the new segment gets all bytes of the queue, and free memory
   * for the same number of bytes. So even a decoder that peeks at a growing frame whenever a chunk arrives takes linear
   * time in total.
   */
  private gather(count: number): Segment {
    const joinedBefore = this.first!.end - this.first!.start;
    const joined = Math.min(this.size, Math.max(count, 2 * joinedBefore));
    const buffer = Buffer.allocUnsafe(joined === this.size ? 2 * joined : joined);
    this.copyTo(buffer, 0, joined);
    const segment = new Segment(buffer, joined, this.offset, buffer.length);
    const end = this.offset + joined;
    let rest = this.first;
    while (rest !== undefined && rest.origin + rest.end <= end) rest = rest.next;
    if (rest === undefined) this.last = segment;
    else rest.start = end - rest.origin;
    segment.next = rest;
    this.first = this.recent = segment;
    return segment;
  }
}

/** Returns whether all `count` bytes of the first frame have arrived. If not, announces the frame to the queue. */
export function hasFrame(bytes: ByteQueue, count: number): boolean {
  if (bytes.length >= count) return true;
  if (bytes instanceof ChunkQueue) bytes.expect(count);
  return false;
}

/** Like `peek`, for a decoder that does not keep the bytes. */
export function borrow(bytes: ByteQueue, count: number): Buffer {
  return bytes instanceof ChunkQueue ? bytes.borrow(count) : bytes.peek(count);
}

/** Like `head`, for a decoder that does not keep the bytes. */
export function borrowHead(bytes: ByteQueue): Buffer {
  return bytes instanceof ChunkQueue ? bytes.borrowHead() : bytes.head;
}
