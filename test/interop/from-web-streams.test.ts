import { Duplex, Readable } from 'node:stream';
import fc from 'fast-check';
import { firstValueFrom, lastValueFrom, toArray } from 'rxjs';
import { relay, SocketError } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { fromNodeStream, fromWebStreams, toWebStreams } from '../../src/interop/index.js';
import { chunksOf, chunkSizes } from '../support/bytes/arbitrary-chunks.js';
import '../support/leaks.js';
import { allPlaces, tcp } from '../support/transport/places.js';
import { acceptedAt, pairAt } from '../support/connection/connected-pairs.js';
import { readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';

type Bytes = Uint8Array | string;

const bytes = fc.uint8Array({ minLength: 1, maxLength: 60_000 }).map((array) => Buffer.from(array));

/** Values of every kind. Some have no length. */
const values = fc.array(
  fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.uint8Array({ maxLength: 300 }),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.record({ id: fc.nat() }),
    fc.constantFrom('', new Uint8Array(), 'é'.repeat(20_000), Buffer.alloc(70_000, 'x')),
  ),
  { maxLength: 200 },
);

/** A readable stream that the test feeds, and a record of its pulls and its cancellation. */
function fedStream<T>(highWaterMark = 0) {
  const calls = { pulls: 0, cancelled: undefined as unknown };
  let controller: ReadableStreamDefaultController<T> | undefined;
  const readable = new ReadableStream<T>(
    {
      start: (given) => {
        controller = given;
      },
      pull: () => {
        calls.pulls++;
      },
      cancel: (reason) => void (calls.cancelled = reason),
    },
    { highWaterMark },
  );
  return { readable, controller: controller!, calls };
}

/** A writable stream that records the calls. If `isEager` is false, a write settles when the test calls `take`. */
function recordingStream<T>(isEager = true) {
  const calls = { written: [] as T[], isClosed: false, aborted: undefined as unknown };
  const waiting: (() => void)[] = [];
  let controller: WritableStreamDefaultController | undefined;
  const writable = new WritableStream<T>({
    start: (given) => void (controller = given),
    write: (value) => {
      calls.written.push(value);
      return isEager ? undefined : new Promise((resolve) => waiting.push(resolve));
    },
    close: () => void (calls.isClosed = true),
    abort: (reason) => void (calls.aborted = reason),
  });
  const take = (count = 1): void => {
    for (const resolve of waiting.splice(0, count)) resolve();
  };
  return { writable, controller: controller!, calls, take };
}

describe.each(allPlaces)('fromWebStreams over $name', (place) => {
  it('I1: carries the bytes of both directions once and in order, for any chunking and any pace', async () => {
    await fc.assert(
      fc.asyncProperty(bytes, bytes, chunkSizes(), fc.array(fc.nat(2), { minLength: 1 }), async (...drawn) => {
        const [sent, answered, sizes, paces] = drawn;
        const { near, far } = await pairAt(place, { halfOpen: true });
        const [here, there] = [fromWebStreams(toWebStreams(near.bytes)), fromWebStreams(toWebStreams(far.bytes))];
        const atFar = lastValueFrom(there.pipe(toArray()));
        here.sendFrom(chunksOf(sent, sizes)).subscribe({ complete: () => here.complete() });
        there.sendFrom(chunksOf(answered, sizes)).subscribe({ complete: () => there.complete() });
        const received: Buffer[] = [];
        for await (const chunk of here) {
          received.push(chunk);
          await turns(paces[received.length % paces.length]);
        }
        expect(Buffer.concat(received).equals(answered)).toBe(true);
        expect(Buffer.concat(await atFar).equals(sent)).toBe(true);
        for (const { closed } of [near, far])
          expect(await firstValueFrom(closed)).toMatchObject({ reason: 'finished' });
      }),
      { numRuns: 15 },
    );
  });

  it('F3: a slow reader limits what the other side can write', async () => {
    const { near, far } = await pairAt(place, { halfOpen: true });
    const channel = fromWebStreams<Buffer, Bytes>(toWebStreams(near.bytes));
    const hold = channel.hold();
    let size = 0;
    const here = record(channel, (chunk) => (size += chunk.length));
    let written = 0;
    let isFull = false;
    function* source(): Generator<Buffer> {
      for (; written < 20_000_000 && !isFull; written += 10_000) yield Buffer.alloc(10_000);
    }
    far.bytes.sendFrom(source()).subscribe({ complete: () => far.bytes.complete() });
    for (let before = -1; before !== written;) {
      before = written;
      await turns(50);
    }
    isFull = true;
    expect(written).toBeLessThan(20_000_000);
    if (place.name === 'memory') expect(written).toBeLessThanOrEqual(8 * 65_536);
    expect(size).toBe(0);
    hold.release();
    expect(await here.end()).toBe('complete');
    expect(size).toBe(written);
    channel.complete();
  });

  it('I1: error(reason) and a failure of the connection pass through toWebStreams and fromWebStreams', async () => {
    const { near, far } = await pairAt(place);
    const channel = fromWebStreams<Buffer, Bytes>(toWebStreams(near.bytes));
    const here = record(channel);
    const reason = new Error('enough');
    channel.error(reason);
    expect(await here.end()).toMatchObject({ code: 'ERR_CLOSED', cause: reason });
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'destroyed', error: { cause: reason } });
    far.destroy();
    const other = await pairAt<string, string>(place, { codec: lines() });
    const failing = record(fromWebStreams<string, string>(toWebStreams(other.near.data)));
    other.far.bytes.next('x'.repeat(70_000));
    expect(await failing.end()).toMatchObject({ code: 'ERR_FRAME_TOO_LONG' });
    other.far.data.complete();
  });
});

describe('fromWebStreams', () => {
  it('I1: carries values of any kind once and in order, at any pace', async () => {
    await fc.assert(
      fc.asyncProperty(values, fc.nat(3), fc.nat(3), async (sent, paceOfSink, paceOfReader) => {
        const through = new TransformStream<unknown, unknown>({
          transform: async (value, controller) => {
            await turns(paceOfSink);
            controller.enqueue(value);
          },
        });
        const channel = fromWebStreams<unknown, unknown>(through);
        channel.sendFrom(sent).subscribe({ complete: () => channel.complete() });
        const received: unknown[] = [];
        for await (const value of channel) {
          received.push(value);
          await turns(paceOfReader);
        }
        expect(received).toEqual(sent);
        expect(received.every((value, index) => value === sent[index])).toBe(true);
        await turns(3);
        expect([through.readable.locked, through.writable.locked]).toEqual([false, false]);
      }),
      { numRuns: 25 },
    );
  });

  it('F1: reads one value at a time, and none while 65,536 bytes are buffered', async () => {
    for (const [value, weight] of [
      [Buffer.alloc(1_000), 1_000],
      ['é'.repeat(500), 1_000],
      [{ of: 'any kind' }, 1_024],
    ] as const) {
      const { readable, controller, calls } = fedStream<unknown>();
      const channel = fromWebStreams<unknown, never>({ readable, writable: new WritableStream() });
      let given = 0;
      for (let idle = 0; idle < 20; idle++) {
        if (calls.pulls > given) {
          expect(calls.pulls).toBe(given + 1);
          given++;
          controller.enqueue(value);
          idle = 0;
        }
        await turns(1);
      }
      expect(given).toBe(Math.ceil(65_537 / weight));
      expect(await firstValueFrom(channel)).toBe(value);
      channel.error('over');
    }
  });

  it('F2: emits nothing while the channel is held, and continues after the release', async () => {
    const { readable, controller } = fedStream<number>();
    const channel = fromWebStreams<number, never>({ readable, writable: new WritableStream() });
    const hold = channel.hold();
    const here = record(channel);
    controller.enqueue(1);
    controller.enqueue(2);
    controller.close();
    await turns();
    expect(here.values).toEqual([]);
    expect(here.endings).toEqual([]);
    hold.release();
    expect(here.values).toEqual([1, 2]);
    expect(here.endings).toEqual(['complete']);
  });

  it('C4: waits for the sink before it pulls a paced source, and fails if unpaced values overflow', async () => {
    const { writable, calls, take } = recordingStream<Buffer>(false);
    const channel = fromWebStreams<never, Buffer>({ readable: new ReadableStream(), writable });
    let pulled = 0;
    function* source(): Generator<Buffer> {
      for (; pulled < 500; pulled++) yield Buffer.alloc(10_000, pulled);
    }
    const sending = record(channel.sendFrom(source()));
    await turns();
    // The sink has taken one value, and the channel queues only a limited number of values.
    expect(calls.written.length).toBe(1);
    expect(pulled).toBeLessThanOrEqual(10);
    expect(channel.bufferedBytes).toBeLessThanOrEqual(65_536 + 10_000);
    while (sending.endings.length === 0) {
      take();
      await turns(1);
      expect(channel.bufferedBytes).toBeLessThanOrEqual(65_536 + 10_000);
    }
    expect(sending.endings).toEqual(['complete']);
    expect(calls.written.map((chunk) => chunk[0])).toEqual(Array.from({ length: 500 }, (_, index) => index % 256));
    const here = record(channel);
    for (let count = 0; count < 200; count++) channel.next(Buffer.alloc(10_000));
    expect(await here.end()).toMatchObject({ code: 'ERR_OVERFLOW' });
    take(Infinity);
    await until(() => calls.aborted !== undefined);
    expect(calls.aborted).toMatchObject({ code: 'ERR_OVERFLOW' });
  });

  it('C4: gives the sink no more values than the sink is ready for', async () => {
    let given = 0;
    const size = (): number => {
      given++;
      return 1;
    };
    const writable = new WritableStream<number>(
      { write: () => new Promise(() => undefined) },
      { highWaterMark: 3, size },
    );
    const channel = fromWebStreams<never, number>({ readable: new ReadableStream(), writable });
    for (let value = 0; value < 50; value++) channel.next(value);
    await turns();
    expect(given).toBe(3);
    channel.error('over');
  });

  it('C5: send settles, and bufferedBytes falls, as the sink takes the values', async () => {
    const { writable, calls, take } = recordingStream<Buffer>(false);
    const channel = fromWebStreams<never, Buffer>({ readable: new ReadableStream(), writable });
    let isSettled = false;
    void channel.send(Buffer.alloc(100_000)).then(() => (isSettled = true));
    await turns();
    expect([isSettled, channel.bufferedBytes, calls.written.length]).toEqual([false, 100_000, 1]);
    take();
    await until(() => isSettled);
    await until(() => channel.bufferedBytes === 0);
    expect(calls.written.length).toBe(1);
    channel.error('over');
  });

  it('C6: complete() closes the writable stream after what was sent, and receiving continues', async () => {
    const { writable, calls } = recordingStream<string>();
    const { readable, controller, calls: source } = fedStream<string>();
    const channel = fromWebStreams({ readable, writable });
    const here = record(channel);
    channel.next('a');
    channel.next('b');
    channel.complete();
    await until(() => calls.isClosed);
    expect(calls.written).toEqual(['a', 'b']);
    controller.enqueue('answer');
    controller.close();
    expect(await here.end()).toBe('complete');
    expect(here.values).toEqual(['answer']);
    await turns(3);
    expect([readable.locked, writable.locked, calls.aborted, source.cancelled]).toEqual([
      false,
      false,
      undefined,
      undefined,
    ]);
  });

  it('C7: after the end of the readable stream, sending continues', async () => {
    const { writable, calls } = recordingStream<string>();
    const { readable, controller } = fedStream<string>();
    const channel = fromWebStreams({ readable, writable });
    const here = record(channel);
    controller.close();
    expect(await here.end()).toBe('complete');
    await channel.send('still here');
    channel.complete();
    await until(() => calls.isClosed);
    expect(calls.written).toEqual(['still here']);
  });

  it('I1: error(reason) aborts the writable stream, cancels the readable stream, and unlocks both', async () => {
    const { writable, calls } = recordingStream<string>();
    const { readable, calls: source } = fedStream<string>();
    const channel = fromWebStreams({ readable, writable });
    const here = record(channel);
    const reason = new Error('enough');
    channel.error(reason);
    expect(await here.end()).toMatchObject({ code: 'ERR_CLOSED', cause: reason });
    await turns(3);
    expect([calls.aborted, source.cancelled]).toEqual([reason, reason]);
    expect([readable.locked, writable.locked]).toEqual([false, false]);
    await expect(channel.send('late')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });

  it('I1: reports an error of the readable stream after all values read, and aborts the writable stream', async () => {
    const { writable, calls } = recordingStream<string>();
    const { readable, controller } = fedStream<string>();
    const channel = fromWebStreams({ readable, writable });
    const hold = channel.hold();
    const here = record(channel);
    const reason = Object.assign(new Error('gone'), { code: 'ECONNRESET' });
    controller.enqueue('read');
    await turns(3);
    controller.error(reason);
    await turns(3);
    hold.release();
    const error = await here.end();
    expect(here.values).toEqual(['read']);
    expect(error).toBeInstanceOf(SocketError);
    expect(error).toMatchObject({ code: 'ECONNRESET', cause: reason });
    expect(calls.aborted).toBe(error);
    expect([readable.locked, writable.locked]).toEqual([false, false]);
  });

  it('I1: if the writable stream fails, fails the channel, and cancels the readable stream', async () => {
    const { writable, controller } = recordingStream<string>();
    const { readable, calls } = fedStream<string>();
    const channel = fromWebStreams({ readable, writable });
    const here = record(channel);
    const reason = new TypeError('full');
    controller.error(reason);
    const error = await here.end();
    expect(error).toMatchObject({ code: 'EIO', cause: reason });
    await expect(channel.send('late')).rejects.toBe(error);
    expect(calls.cancelled).toBe(error);
    expect([readable.locked, writable.locked]).toEqual([false, false]);
  });

  it('I1: returns a channel that ends if the streams have ended, and fails if one of them has failed', async () => {
    const closed = new WritableStream<string>();
    await closed.close();
    const { readable, controller } = fedStream<string>(1);
    controller.enqueue('left');
    controller.close();
    const channel = fromWebStreams({ readable, writable: closed });
    const here = record(channel);
    expect(await here.end()).toBe('complete');
    expect(here.values).toEqual(['left']);
    expect(channel.closed).toBe(true);
    await turns(3);
    expect([readable.locked, closed.locked]).toEqual([false, false]);

    const failed = fedStream<string>();
    failed.controller.error(new Error('before'));
    const failing = fromWebStreams({ readable: failed.readable, writable: new WritableStream<string>() });
    expect(await record(failing).end()).toMatchObject({ code: 'EIO', cause: { message: 'before' } });
  });

  it('I1: fails the channel with ERR_FRAME_INVALID if the readable stream contains undefined', async () => {
    const { readable, controller } = fedStream<unknown>();
    const here = record(fromWebStreams({ readable, writable: new WritableStream() }));
    controller.enqueue(undefined);
    expect(await here.end()).toMatchObject({ code: 'ERR_FRAME_INVALID' });
  });

  it('I1: lets the event loop run even if the streams supply and accept every value immediately', async () => {
    let isOver = false;
    let pulled = 0;
    const readable = new ReadableStream<number>({
      pull: (controller) => {
        pulled++;
        if (isOver) controller.close();
        else controller.enqueue(pulled);
      },
    });
    const { writable, calls } = recordingStream<number>();
    const channel = fromWebStreams({ readable, writable });
    let received = 0;
    channel.subscribe(() => received++);
    function* endless(): Generator<number> {
      while (!isOver) yield 1;
    }
    channel.sendFrom(endless()).subscribe({ complete: () => channel.complete() });
    await turns(100);
    isOver = true;
    await until(() => calls.isClosed);
    expect(received).toBeGreaterThan(0);
    expect(calls.written.length).toBeGreaterThan(0);
  });

  it('I1: with CompressionStream, compresses what a connection receives, and sends the result back', async () => {
    const { near, raw } = await acceptedAt(tcp);
    const gzip = fromWebStreams<Uint8Array, Uint8Array>(new CompressionStream('gzip'));
    relay(near.bytes, gzip).subscribe();
    const sent = Buffer.alloc(2_000_000, 'all work and no play ');
    raw.end(sent);
    const compressed = await readAll(raw);
    const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream('gzip') as never);
    expect(Buffer.from(await new Response(stream as never).arrayBuffer()).equals(sent)).toBe(true);
  });

  it('I1: reads a stream made by Readable.toWeb', async () => {
    const sent = Array.from({ length: 1_000 }, (_, index) => ({ index }));
    const readable = Readable.toWeb(Readable.from(sent)) as ReadableStream<{ index: number }>;
    const channel = fromWebStreams<{ index: number }, never>({ readable, writable: new WritableStream() });
    expect(await lastValueFrom(channel.pipe(toArray()))).toEqual(sent);
    channel.complete();
  });

  it('I1: returns a channel that cannot be framed, unlike fromNodeStream', async () => {
    const through = new TransformStream<Uint8Array, Uint8Array>();
    const channel = fromNodeStream(Duplex.fromWeb(through as never)).framed(lines());
    for (const line of ['a', 'b']) channel.next(line);
    channel.complete();
    expect(await lastValueFrom(channel.pipe(toArray()))).toEqual(['a', 'b']);
    const plain = fromWebStreams<Uint8Array, Uint8Array>(new TransformStream<Uint8Array, Uint8Array>());
    expect(() => plain.framed(lines())).toThrow(expect.objectContaining({ code: 'ERR_OPTION_INVALID' }));
    plain.error('over');
  });

  it('A5: refuses objects that are not web streams, and locked streams', () => {
    const { readable, writable } = new TransformStream();
    const locked = new TransformStream();
    locked.readable.getReader();
    locked.writable.getWriter();
    for (const streams of [
      undefined,
      {},
      { readable },
      { writable },
      { readable: writable, writable: readable },
      { readable: locked.readable, writable },
      { readable, writable: locked.writable },
    ]) {
      expect(() => fromWebStreams(streams as never)).toThrow(expect.objectContaining({ code: 'ERR_OPTION_INVALID' }));
    }
    expect([readable.locked, writable.locked]).toEqual([false, false]);
  });
});
