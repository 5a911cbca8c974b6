import type { ByteQueue } from './byte-queue.js';
import { isShared } from './shared-read-block.js';
import { Segment } from './segment.js';

/** A chunk of at least this many bytes is kept by reference; a smaller one is copied to those that wait already. */
const large = 1_024;
/** The largest memory that grows by copying; where it is full another one begins. */
const largest = 16_384;
/** Memory for a frame that is still coming has at most so many times the bytes that have come. */
const ahead = 32;
/** It is worth its while where so many have come, and so many are still to come. */
const begun = 4_096;
const missing = 32_768;
/** The most bytes that are read into it at once. */
const largestRead = 262_144;

const empty = Buffer.alloc(0);

/**
 * Holds the bytes of one stream between the socket that pushes chunks and the decoder that takes frames.
 *
 * It is equivalent to this, in linear time and without the copies where bytes lie together:
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
 * A chunk is kept by reference and must not be changed afterwards; what is left of it keeps all of its memory. Small
 * chunks that have to wait are copied together, so that the queue's memory is at most about twice its bytes. The end of
 * a large frame is read to where it belongs, into `room`.
 *
 * A chunk in the shared read block is borrowed: it is valid until its delivery ends. The queue alone takes care of that.
 * `head`, `peek` and `take` copy borrowed bytes before they give a view of them, `borrow` and `borrowHead` are for
 * callers that keep nothing, and `keepRest` copies the rest at the end of the delivery.
 */
export class ChunkQueue implements ByteQueue {
  private size = 0;
  private offset = 0;
  private first: Segment | undefined = undefined;
  private last: Segment | undefined = undefined;
  /** The segment that was looked at last: searches that go on from there need not walk to it again. */
  private mark: Segment | undefined = undefined;
  /** Where the frame that has begun to come ends in the stream, where its decoder has told. */
  private expected = 0;
  /** Whether the reader took views of the last chunk: the next one had better come in memory that can be given away. */
  gives = false;

  get length(): number {
    return this.size;
  }

  get position(): number {
    return this.offset;
  }

  get head(): Buffer {
    const first = this.first;
    return first === undefined ? empty : this.kept(first).view(first.end);
  }

  /** Appends `chunk`. If it lies in the shared read block, it is borrowed until `keepRest` is called. */
  push(chunk: Buffer): void {
    const count = chunk.length;
    if (count === 0) return;
    const borrowed = isShared(chunk);
    if (borrowed) this.gives = false;
    const last = this.last;
    if (last === undefined) this.append(new Segment(chunk, count, this.offset, count, borrowed));
    else if (count <= last.limit - last.end) last.write(chunk);
    else if (count >= large) this.append(new Segment(chunk, count, this.offset + this.size, count, borrowed));
    else if (last.end - last.start + count <= largest / 2) last.grow(chunk);
    else {
      const segment = new Segment(empty, 0, this.offset + this.size, 0);
      segment.grow(chunk);
      this.append(segment);
    }
    this.size += count;
  }

  /** The decoder waits until `count` bytes are there, all of one frame: a large one is brought together as it comes. */
  expect(count: number): void {
    this.expected = this.offset + count;
  }

  /** Copies what is left of a borrowed chunk. The shared read block may be overwritten afterwards. */
  keepRest(): void {
    if (this.last?.isBorrowed === true) this.last.own();
  }

  /**
   * Where the next bytes of a large frame belong: who reads them there pushes that memory. It is given out once more
   * after each push, and is not to be written before that but by one reading.
   */
  get room(): Buffer | undefined {
    const waiting = this.expected - this.offset - this.size;
    if (waiting <= 0) return undefined;
    let last = this.last;
    if (last === undefined) return undefined;
    if (last.end === last.limit || last !== this.first) {
      if (this.size < begun || waiting < missing) return undefined;
      // What is begun is not to end in a piece so small that the frame would lie in two.
      const frame = this.expected - this.offset;
      try {
        last = this.assemble(frame <= ahead * this.size ? frame : (ahead / 2) * this.size);
      } catch {
        // There is no such memory: the frame may never come, and is taken together when it has.
        return undefined;
      }
    }
    return last.buffer.subarray(last.end, Math.min(last.limit, last.end + largestRead));
  }

  /** Takes everything off and lets go of the memory. */
  clear(): void {
    this.skip(this.size);
  }

  at(index: number): number {
    if (!(index >= 0 && index < this.size)) throw outOfRange('index', index, this.size - 1);
    const first = this.first!;
    const near = first.start + index;
    if (near < first.end) return first.buffer[near]!;
    const segment = this.seek(index);
    return segment.buffer[this.offset + index - segment.origin]!;
  }

  uint(index: number, bytes: 1 | 2 | 4, endian: 'big' | 'little'): number {
    if (!(index >= 0 && index + bytes <= this.size)) throw outOfRange('index', index, this.size - bytes);
    const first = this.first!;
    const near = first.start + index;
    const together = near + bytes <= first.end;
    const buffer = together ? first.buffer : this.copy(index, bytes);
    const at = together ? near : 0;
    return endian === 'big' ? buffer.readUIntBE(at, bytes) : buffer.readUIntLE(at, bytes);
  }

  indexOf(needle: number | Uint8Array, from = 0): number {
    const reach = typeof needle === 'number' ? 0 : needle.length - 1;
    if (reach < 0) return Math.min(from, this.size);
    if (from + reach >= this.size) return -1;
    let segment = this.seek(from);
    let start = this.offset + from - segment.origin;
    for (;;) {
      const found = segment.search(needle, start);
      if (found !== -1) return segment.origin + found - this.offset;
      const next = segment.next;
      if (next === undefined) return -1;
      if (reach > 0) {
        const across = this.searchBorder(segment, start, needle as Uint8Array);
        if (across !== -1) return across;
      }
      segment = next;
      start = next.start;
    }
  }

  peek(count: number): Buffer {
    if (!(count >= 0 && count <= this.size)) throw outOfRange('count', count, this.size);
    if (count === 0) return empty;
    this.kept(this.first!);
    return this.together(count);
  }

  /** Like `peek`, but the bytes are valid only until the delivery ends: nothing is copied where they lie together. */
  borrow(count: number): Buffer {
    if (!(count >= 0 && count <= this.size)) throw outOfRange('count', count, this.size);
    return count === 0 ? empty : this.together(count);
  }

  /** Like `head`, but the bytes are valid only until the delivery ends. */
  borrowHead(): Buffer {
    const first = this.first;
    return first === undefined ? empty : first.view(first.end);
  }

  take(count: number): Buffer {
    if (!(count >= 0 && count <= this.size)) throw outOfRange('count', count, this.size);
    if (count === 0) return empty;
    const first = this.kept(this.first!);
    const end = first.start + count;
    const bytes = end <= first.end ? first.view(end) : this.copy(0, count);
    this.skip(count);
    return bytes;
  }

  skip(count: number): void {
    if (!(count >= 0 && count <= this.size)) throw outOfRange('count', count, this.size);
    if (count === 0) return;
    this.size -= count;
    this.offset += count;
    const first = this.first!;
    const start = first.start + count;
    if (start < first.end) first.start = start;
    else this.leave();
  }

  private together(count: number): Buffer {
    let first = this.first!;
    if (count > first.end - first.start) first = this.gather(count);
    return first.view(first.start + count);
  }

  /** Makes sure that views of `segment` stay valid. */
  private kept(segment: Segment): Segment {
    if (segment.isBorrowed) {
      segment.own();
      this.gives = true;
    }
    return segment;
  }

  /** Brings all that waits together in memory of `capacity` bytes. */
  private assemble(capacity: number): Segment {
    const buffer = Buffer.allocUnsafe(capacity);
    this.copyTo(buffer, 0, this.size);
    const segment = new Segment(buffer, this.size, this.offset, capacity);
    this.first = this.last = this.mark = segment;
    this.gives = false;
    return segment;
  }

  private append(segment: Segment): void {
    if (this.last === undefined) this.first = this.mark = segment;
    else this.last.next = segment;
    this.last = segment;
  }

  /** Lets go of the segments that were taken off. */
  private leave(): void {
    let segment = this.first;
    while (segment !== undefined && segment.origin + segment.end <= this.offset) segment = segment.next;
    this.first = segment;
    if (segment === undefined) {
      this.last = this.mark = undefined;
      return;
    }
    segment.start = this.offset - segment.origin;
    const mark = this.mark!;
    if (mark.origin + mark.end <= this.offset) this.mark = segment;
  }

  /** The segment that has the byte at `index`, which must be there. */
  private seek(index: number): Segment {
    const at = this.offset + index;
    let segment = this.mark!;
    if (at < segment.origin + segment.start) segment = this.first!;
    while (at >= segment.origin + segment.end) segment = segment.next!;
    this.mark = segment;
    return segment;
  }

  /** Where `needle` begins in `segment`, from `start` on, and ends in a later one. */
  private searchBorder(segment: Segment, start: number, needle: Uint8Array): number {
    const reach = needle.length - 1;
    const low = segment.origin + Math.max(start, segment.end - reach) - this.offset;
    const high = segment.origin + segment.end + reach - this.offset;
    const found = this.copy(low, Math.min(high, this.size) - low).indexOf(needle);
    return found === -1 ? -1 : low + found;
  }

  private copy(index: number, count: number): Buffer {
    const bytes = Buffer.allocUnsafe(count);
    this.copyTo(bytes, index, count);
    return bytes;
  }

  private copyTo(target: Buffer, index: number, count: number): void {
    let segment = this.seek(index);
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
   * Brings the first `count` bytes together. It joins at least twice what lay together before, and leaves room where
   * it joins everything, so that looking at more and more of a growing frame stays linear.
   */
  private gather(count: number): Segment {
    const together = this.first!.end - this.first!.start;
    const joined = Math.min(this.size, Math.max(count, 2 * together));
    const buffer = Buffer.allocUnsafe(joined === this.size ? 2 * joined : joined);
    this.copyTo(buffer, 0, joined);
    const segment = new Segment(buffer, joined, this.offset, buffer.length);
    const end = this.offset + joined;
    let rest = this.first;
    while (rest !== undefined && rest.origin + rest.end <= end) rest = rest.next;
    if (rest === undefined) this.last = segment;
    else rest.start = end - rest.origin;
    segment.next = rest;
    this.first = this.mark = segment;
    return segment;
  }
}

/** Has the first `count` bytes, a frame that is still coming, brought together as they come. */
export function awaitFrame(bytes: ByteQueue, count: number): void {
  if (bytes instanceof ChunkQueue) bytes.expect(count);
}

/** Gives the first bytes to a decoder that keeps none of them: `peek` without its copy of borrowed bytes. */
export function borrow(bytes: ByteQueue, count: number): Buffer {
  return bytes instanceof ChunkQueue ? bytes.borrow(count) : bytes.peek(count);
}

/** Gives the first bytes that lie together to a decoder that keeps none of them. */
export function borrowHead(bytes: ByteQueue): Buffer {
  return bytes instanceof ChunkQueue ? bytes.borrowHead() : bytes.head;
}

function outOfRange(name: string, value: number, most: number): RangeError {
  return new RangeError(`${name} must be 0 to ${most}, the bytes that wait, not ${value}`);
}
