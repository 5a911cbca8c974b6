import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChunkQueue } from '../../src/bytes/chunk-queue.js';
import { readBlock } from '../../src/bytes/shared-read-block.js';

/** A call of a decoder on the queue. Amounts are fractions of the buffered bytes, so that every call is valid. */
const look = () =>
  fc.record({
    act: fc.constantFrom('skip', 'take', 'peek', 'borrow', 'head', 'at', 'uint', 'indexOf', 'find' as const),
    part: fc.double({ min: 0, max: 1, noNaN: true }),
    needle: fc.uint8Array({ min: 0, max: 2, minLength: 0, maxLength: 5 }),
    endian: fc.constantFrom('big' as const, 'little' as const),
    width: fc.constantFrom(1 as const, 2 as const, 4 as const),
  });

/** The calls that are made while a chunk is borrowed, or while bytes are read directly into a frame. */
const looks = () => fc.array(look(), { maxLength: 5 });

const step = () =>
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ act: fc.constant('push' as const), bytes: chunk() }) },
    { weight: 6, arbitrary: look() },
    {
      weight: 4,
      arbitrary: fc.record({
        act: fc.constant('lend' as const),
        bytes: chunk(),
        before: looks(),
        early: fc.boolean(),
        after: looks(),
      }),
    },
    { weight: 2, arbitrary: fc.record({ act: fc.constant('expect' as const), more: fc.nat(400_000) }) },
    { weight: 4, arbitrary: fc.record({ act: fc.constant('read' as const), bytes: chunk(), before: looks() }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('clear' as const) }) },
  );

/**
 * A chunk that repeats a few different bytes, so that `indexOf` finds its needles. The sizes are near the limits at
 * which the queue starts or stops copying.
 */
const chunk = () =>
  fc
    .tuple(
      fc.uint8Array({ min: 0, max: 2, minLength: 1, maxLength: 6 }),
      fc.oneof(
        { weight: 4, arbitrary: fc.integer({ min: 0, max: 6 }) },
        { weight: 1, arbitrary: fc.integer({ min: 0, max: 300 }) },
        { weight: 1, arbitrary: fc.integer({ min: 1_000, max: 3_000 }) },
        { weight: 1, arbitrary: fc.integer({ min: 8_000, max: 20_000 }) },
      ),
    )
    .map(([pattern, size]) => Buffer.alloc(size, pattern));

type Step = ReturnType<typeof step> extends fc.Arbitrary<infer T> ? T : never;
type Look = ReturnType<typeof look> extends fc.Arbitrary<infer T> ? T : never;

/** The queue under test, next to a simple model. */
class Pair {
  readonly queue = new ChunkQueue();
  waiting = Buffer.alloc(0);
  position = 0;
  private readonly given: (readonly [Buffer, Buffer])[] = [];
  /** Whether the newest chunk is borrowed. The test then does not keep the views that the queue returns. */
  private lent = false;

  take(step: Step): void {
    const { queue } = this;
    if (step.act === 'push') this.push(step.bytes);
    else if (step.act === 'lend') this.lend(step.bytes, step);
    else if (step.act === 'expect') queue.expect(queue.length + step.more);
    else if (step.act === 'read') this.read(step.bytes, step.before);
    else if (step.act === 'clear') {
      queue.clear();
      this.drop(this.waiting.length);
    } else this.look(step);
    this.compare();
  }

  private push(bytes: Buffer): void {
    this.queue.push(bytes);
    this.waiting = Buffer.concat([this.waiting, bytes]);
  }

  /** Pushes `bytes` as a borrowed chunk, then overwrites the memory of this chunk. */
  private lend(bytes: Buffer, how: { before: Look[]; early: boolean; after: Look[] }): void {
    const block = readBlock.subarray(0, bytes.copy(readBlock));
    this.lent = true;
    this.push(block);
    for (const look of how.before) this.look(look);
    if (how.early) {
      this.queue.keepRest();
      this.lent = false;
    }
    for (const look of how.after) this.look(look);
    this.queue.keepRest();
    this.lent = false;
    block.fill(3);
  }

  /** Reads `bytes` directly into the frame, after the decoder has made the calls `before`. */
  private read(bytes: Buffer, before: Look[]): void {
    const { room } = this.queue;
    for (const look of before) this.look(look);
    if (room === undefined) return;
    expect(room.length).toBeGreaterThan(0);
    expect(room.length).toBeLessThanOrEqual(262_144);
    this.push(room.subarray(0, bytes.copy(room)));
  }

  private look(step: Look): void {
    const { queue, waiting } = this;
    const count = Math.round(step.part * waiting.length);
    const { needle, endian, width } = step;
    if (step.act === 'skip') {
      queue.skip(count);
      this.drop(count);
    } else if (step.act === 'take') {
      this.same(queue.take(count), waiting.subarray(0, count));
      this.drop(count);
    } else if (step.act === 'peek') this.same(queue.peek(count), waiting.subarray(0, count));
    else if (step.act === 'head') this.same(queue.head, waiting.subarray(0, queue.head.length));
    else if (step.act === 'borrow') this.same(queue.borrow(count), waiting.subarray(0, count), !this.lent);
    else if (step.act === 'at') expect(count < waiting.length ? queue.at(count) : undefined).toBe(waiting[count]);
    else if (step.act === 'indexOf') expect(queue.indexOf(needle, count)).toBe(waiting.indexOf(needle, count));
    else if (step.act === 'find') expect(queue.indexOf(2, count)).toBe(waiting.indexOf(2, count));
    else if (count + width <= waiting.length) {
      const read = endian === 'big' ? 'readUIntBE' : 'readUIntLE';
      expect(queue.uint(count, width, endian)).toBe(waiting[read](count, width));
    }
    this.compare();
  }

  finish(): void {
    for (const [view, copy] of this.given) expect(view.equals(copy)).toBe(true);
  }

  private compare(): void {
    const { queue, waiting } = this;
    expect(queue.length).toBe(waiting.length);
    expect(queue.position).toBe(this.position);
    const head = queue.borrowHead();
    expect(head.length > 0).toBe(waiting.length > 0);
    this.same(head, waiting.subarray(0, head.length), !this.lent);
  }

  private same(view: Buffer, expected: Buffer, stays = true): void {
    expect(view.equals(expected)).toBe(true);
    if (stays) this.given.push([view, Buffer.from(view)]);
  }

  private drop(count: number): void {
    this.waiting = this.waiting.subarray(count);
    this.position += count;
  }
}

/** Counts the bytes that are copied while `act` runs. */
function copiedIn(act: () => void): number {
  const prototype = Buffer.prototype as Buffer;
  const { copy } = prototype;
  let copied = 0;
  prototype.copy = function (this: Buffer, ...rest: Parameters<Buffer['copy']>) {
    const count = copy.apply(this, rest);
    copied += count;
    return count;
  };
  try {
    act();
  } finally {
    prototype.copy = copy;
  }
  return copied;
}

const mebibyte = 1_048_576;

describe('the queue of received bytes', () => {
  it('D1: the queue behaves like one sequence of bytes, however the bytes are split into chunks', () => {
    fc.assert(
      fc.property(fc.array(step(), { maxLength: 60, size: 'max' }), (steps) => {
        const pair = new Pair();
        for (const one of steps) pair.take(one);
        pair.finish();
      }),
    );
  });

  it('D1: the rest of a large frame is read into its final place, and at most an eighth of its bytes are copied', () => {
    const frame = Buffer.alloc(mebibyte, 'x');
    const queue = new ChunkQueue();
    let read = 0;
    queue.push(frame.subarray(0, 5_000));
    const copied = copiedIn(() => {
      while (queue.length < mebibyte) {
        queue.expect(mebibyte);
        const { room } = queue;
        const chunk = room?.fill('x') ?? frame.subarray(queue.length, queue.length + 65_536);
        queue.push(chunk);
        read++;
      }
    });
    expect(copied).toBeLessThan(mebibyte / 8);
    expect(read).toBeLessThan(12);
    expect(queue.peek(mebibyte).equals(frame)).toBe(true);
  });

  it('F3: the queue allocates memory for an announced frame only when bytes of the frame arrive', () => {
    const queue = new ChunkQueue();
    for (const size of [4, 4_000]) {
      queue.push(Buffer.alloc(size));
      queue.expect(16 * mebibyte);
      expect(queue.room).toBe(undefined);
    }
    queue.push(Buffer.alloc(1_000));
    expect(queue.room?.buffer.byteLength).toBeLessThanOrEqual(16 * queue.length);
  });

  it('D1: `indexOf` finds a sequence of bytes that spans several chunks', () => {
    const needle = Buffer.from('aabaaab');
    for (const size of [1_024, 1_025, 2_000]) {
      for (let at = size - needle.length; at <= size; at++) {
        const queue = new ChunkQueue();
        const stream = Buffer.alloc(3 * size, 'a');
        needle.copy(stream, at);
        for (let start = 0; start < stream.length; start += size) queue.push(stream.subarray(start, start + size));
        expect(queue.indexOf(needle)).toBe(stream.indexOf(needle));
        expect(queue.indexOf(needle, stream.indexOf(needle) + 1)).toBe(-1);
      }
    }
  });

  it('D1: the queue returns bytes that lie within one chunk as a view, and copies nothing', () => {
    const queue = new ChunkQueue();
    const chunk = Buffer.alloc(4_096, 'x');
    queue.push(chunk);
    const copied = copiedIn(() => {
      expect(queue.head).toBe(chunk);
      expect(queue.peek(10).buffer).toBe(chunk.buffer);
      expect(queue.take(10).buffer).toBe(chunk.buffer);
      expect(queue.head.byteOffset).toBe(chunk.byteOffset + 10);
    });
    expect(copied).toBe(0);
  });

  it('D1: the queue copies in linear time if a reader peeks at all buffered bytes each time a chunk arrives', () => {
    const stream = Buffer.alloc(mebibyte, 'x');
    for (const size of [1, 100, 1_000, 1_024, 65_536]) {
      const queue = new ChunkQueue();
      const copied = copiedIn(() => {
        for (let at = 0; at < stream.length; at += size) {
          queue.push(stream.subarray(at, at + size));
          queue.peek(queue.length);
        }
      });
      expect(copied, `chunks of ${size}`).toBeLessThan(4 * mebibyte);
      expect(queue.peek(mebibyte).equals(stream)).toBe(true);
    }
  });

  it('D1: the queue copies each byte at most twice when small and large chunks alternate', () => {
    const queue = new ChunkQueue();
    const copied = copiedIn(() => {
      for (let round = 0; round < 500; round++) {
        queue.push(Buffer.alloc(1_024, 'x'));
        queue.push(Buffer.of(1));
      }
    });
    expect(copied).toBeLessThan(2 * queue.length);
  });

  it('D1: the queue copies in linear time for a reader that peeks at a longer and longer part of many chunks', () => {
    const queue = new ChunkQueue();
    for (let round = 0; round < 64; round++) queue.push(Buffer.alloc(16_384));
    const copied = copiedIn(() => {
      for (let count = 1_000; count < mebibyte; count += 1_000) queue.peek(count);
    });
    expect(copied).toBeLessThan(4 * mebibyte);
  });

  it('D1: the queue does not copy a large chunk when small chunks follow', () => {
    const queue = new ChunkQueue();
    queue.push(Buffer.alloc(65_536));
    const copied = copiedIn(() => {
      for (let round = 0; round < 100; round++) queue.push(Buffer.of(1));
    });
    expect(copied).toBeLessThan(100);
  });

  it('F3: if a peer sends single bytes, the queue takes about twice as much memory as the received bytes', () => {
    const stream = Buffer.alloc(mebibyte, 'x');
    const { gc } = globalThis;
    if (gc === undefined) return expect.unreachable('run with --expose-gc');
    gc();
    const before = process.memoryUsage();
    const queue = new ChunkQueue();
    for (let at = 0; at < stream.length; at++) queue.push(stream.subarray(at, at + 1));
    gc();
    const after = process.memoryUsage();
    const grown = after.arrayBuffers - before.arrayBuffers + after.heapUsed - before.heapUsed;
    expect(grown).toBeLessThan(2.5 * mebibyte);
    expect(queue.length).toBe(mebibyte);
  });

  it('F3: the memory of bytes that were taken off the queue is freed', async () => {
    const { gc } = globalThis;
    if (gc === undefined) return expect.unreachable('run with --expose-gc');
    gc();
    const before = process.memoryUsage().arrayBuffers;
    const queue = new ChunkQueue();
    for (let round = 0; round < 64; round++) queue.push(Buffer.alloc(65_536));
    expect(queue.indexOf(1, 32 * 65_536)).toBe(-1);
    queue.skip(queue.length - 1);
    // Another thread frees the memory some time after the garbage collection.
    const kept = (): number => {
      gc();
      return process.memoryUsage().arrayBuffers - before;
    };
    await expect.poll(kept).toBeLessThan(3 * 65_536);
    queue.clear();
    expect(queue.head.length).toBe(0);
    expect(queue.length).toBe(0);
  });

  it.each([
    ['at', (queue: ChunkQueue) => queue.at(3)],
    ['at', (queue: ChunkQueue) => queue.at(-1)],
    ['at', (queue: ChunkQueue) => queue.at(Number.NaN)],
    ['uint', (queue: ChunkQueue) => queue.uint(2, 2, 'big')],
    ['uint', (queue: ChunkQueue) => queue.uint(-1, 2, 'big')],
    ['peek', (queue: ChunkQueue) => queue.peek(4)],
    ['peek', (queue: ChunkQueue) => queue.peek(-1)],
    ['take', (queue: ChunkQueue) => queue.take(4)],
    ['take', (queue: ChunkQueue) => queue.take(Number.NaN)],
    ['skip', (queue: ChunkQueue) => queue.skip(4)],
    ['skip', (queue: ChunkQueue) => queue.skip(-1)],
    ['indexOf', (queue: ChunkQueue) => queue.indexOf(97, -1)],
    ['indexOf', (queue: ChunkQueue) => queue.indexOf(97, Number.NaN)],
  ])('%s throws a RangeError for bytes outside the queue, and takes no byte off the queue', (_, act) => {
    const queue = new ChunkQueue();
    queue.push(Buffer.from('abc'));
    expect(() => act(queue)).toThrow(RangeError);
    expect(queue.length).toBe(3);
    expect(queue.position).toBe(0);
  });
});
