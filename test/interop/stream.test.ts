import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import fc from 'fast-check';
import { firstValueFrom } from 'rxjs';
import { SocketError } from 'rxjs-sockets';
import { type SocketStream, toNodeStream } from 'rxjs-sockets/interop';
import { describe, expect, it } from 'vitest';
import { chunkSizes, chunksOf } from '../support/bytes/arbitrary-chunks.js';
import '../support/leaks.js';
import { allPlaces } from '../support/transport/places.js';
import { clientAt, ends, serverAt } from '../support/connection/connected-pairs.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';
import { countWrites } from '../support/transport/count-writes.js';
import { eventsOf, contents } from '../support/interop/stream-events.js';

/** Waits for `'close'`. Call this function before that event can be emitted. */
function gone(stream: Duplex): Promise<void> {
  return new Promise((resolve) => {
    stream.once('close', () => resolve());
  });
}

/** Writes `chunks` and ends the stream. `pace` says which chunks are corked together, and which come a turn later. */
async function writeAll(stream: Duplex, chunks: readonly Buffer[], pace: readonly number[]): Promise<void> {
  for (const [index, chunk] of chunks.entries()) {
    const kind = pace[index % pace.length];
    if (kind === 1) stream.cork();
    if (!stream.write(chunk) && kind !== 1) await Promise.race([once(stream, 'drain'), turns(3)]);
    if (kind === 2) while (stream.writableCorked > 0) stream.uncork();
    if (kind === 3) await turns(1);
  }
  stream.end();
}

/** Reads the stream to its end, with pauses. */
async function readSlowly(stream: Duplex, pace: readonly number[]): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let count = 0;
  stream.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    if (pace[count++ % pace.length] !== 3) return;
    stream.pause();
    setImmediate(() => stream.resume());
  });
  await once(stream, 'end');
  return Buffer.concat(chunks);
}

function bytesOf(size: number, seed: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  for (let index = 0; index < size; index++) bytes[index] = index * 31 + (index >> 8) * 7 + seed;
  return bytes;
}

describe.each(ends)('a stream over a connection, $name', ({ pair, place }) => {
  it('I1: carries the bytes and the end of both directions, however the bytes are written and read', async () => {
    const side = fc.record({
      size: fc.integer({ min: 0, max: 200_000 }),
      sizes: chunkSizes(),
      large: fc.boolean(),
      pace: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 8 }),
    });
    await fc.assert(
      fc.asyncProperty(side, side, async (one, other) => {
        const connections = await pair();
        const near = toNodeStream(connections.near);
        const far = toNodeStream(connections.far);
        const [nearTold, farTold] = [eventsOf(near), eventsOf(far)];
        const closes = Promise.all([near, far].map(gone));
        const chunksFor = ({ size, sizes, large }: typeof one, seed: number): Buffer[] =>
          chunksOf(
            bytesOf(large ? size : Math.min(size, 5_000), seed),
            large ? sizes.map((length) => length * 50) : sizes,
          );
        const [sent, answered] = [chunksFor(one, 1), chunksFor(other, 2)];
        const [there, here] = await Promise.all([
          readSlowly(far, other.pace),
          readSlowly(near, one.pace),
          writeAll(near, sent, one.pace),
          writeAll(far, answered, other.pace),
        ]);
        await closes;
        expect(there.equals(Buffer.concat(sent))).toBe(true);
        expect(here.equals(Buffer.concat(answered))).toBe(true);
        for (const events of [nearTold, farTold]) {
          expect([...events].sort()).toEqual(['close false', 'end', 'finish']);
          expect(events.at(-1)).toBe('close false');
        }
        expect([near.bytesWritten, near.bytesRead]).toEqual([there.length, here.length]);
      }),
      { numRuns: 12 },
    );
  });

  it('I1: makes the peer wait while nobody reads the stream', async () => {
    const { near, far } = await pair({ halfOpen: true });
    const stream = toNodeStream(near);
    const size = 6 << 20;
    far.bytes.sendFrom(chunksOf(Buffer.alloc(size, 'b'), [65_536])).subscribe({ complete: () => far.bytes.complete() });
    let last = -1;
    while (stream.bytesRead > last) {
      last = stream.bytesRead;
      await turns(50);
    }
    expect(last).toBeLessThan(400_000);
    expect(stream.readableLength).toBeLessThanOrEqual(stream.readableHighWaterMark + 65_536);
    stream.end();
    expect((await contents(stream)).length).toBe(size);
  });

  it('I1: makes a writer wait while the peer does not read, and calls back once the kernel has the data', async () => {
    const { near, far } = await pair();
    const hold = far.bytes.hold();
    const stream = toNodeStream(near);
    const written: number[] = [];
    const chunk = Buffer.alloc(1 << 20, 'w');
    for (let index = 0; index < 8; index++) stream.write(chunk, () => written.push(index));
    await turns(100);
    expect(stream.writableNeedDrain).toBe(true);
    expect(near.bytes.bufferedBytes).toBeLessThanOrEqual(65_536 + chunk.length);
    expect(written.length).toBeLessThan(8);
    const there = record(far.bytes);
    stream.end();
    hold.release();
    expect(await there.end()).toBe('complete');
    expect(there.values.reduce((sum, { length }) => sum + length, 0)).toBe(8 << 20);
    expect(written).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    far.bytes.complete();
    await gone(stream.resume());
  });

  it('I3: destroy() sends everything that was written and ends cleanly', async () => {
    const { near, far } = await pair({ closeTimeout: 20_000 });
    const stream = toNodeStream(near);
    const events = eventsOf(stream);
    const chunk = Buffer.alloc(300_000, 'd');
    stream.cork();
    for (let count = 0; count < 20; count++) stream.write(chunk);
    stream.destroy();
    expect([stream.destroyed, stream.writable]).toEqual([true, false]);
    const there = record(far.bytes);
    expect(await there.end()).toBe('complete');
    expect(there.values.reduce((sum, { length }) => sum + length, 0)).toBe(6_000_000);
    far.bytes.complete();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
    await until(() => events.includes('close false'));
    expect(events).toEqual(['close false']);
  });

  it('I3: after destroy(error) in the turn of a write, everything written still arrives', async () => {
    const { near, far } = await pair();
    const stream = toNodeStream(near);
    const events = eventsOf(stream);
    const there = record(far.bytes);
    stream.write('one ');
    await turns(2);
    stream.write('last ');
    stream.write('word');
    stream.destroy(Object.assign(new Error('enough'), { code: 'ENOUGH' }));
    expect(await there.end()).toBe('complete');
    expect(Buffer.concat(there.values).toString()).toBe('one last word');
    far.bytes.complete();
    await until(() => events.length === 2);
    expect(events).toEqual(['error ENOUGH', 'close true']);
    await firstValueFrom(near.closed);
  });

  it('I1: destroy(error) resets the connection if the transport has a reset', async () => {
    const { near, far } = await pair();
    const there = record(far.bytes);
    const stream = toNodeStream(near);
    const source = Readable.from(
      (async function* () {
        yield 'half of it';
        await turns(2);
        throw new Error('the disk is gone');
      })(),
    );
    await expect(pipeline(source, stream)).rejects.toThrow('the disk is gone');
    const end = await there.end();
    if (place.name === 'tcp' || place.name === 'tls') expect((end as SocketError).code).toBe('ECONNRESET');
    if (place.name === 'memory') expect(end).not.toBe('complete');
    expect(Buffer.concat(there.values).toString()).toBe('half of it');
    const closed = await firstValueFrom(near.closed);
    expect(closed.reason).toBe('destroyed');
    expect(closed.error?.cause).toMatchObject({ message: 'the disk is gone' });
  });

  it('I3: resetAndDestroy() resets the connection', async () => {
    const { near, far } = await pair();
    const there = record(far.bytes);
    const stream = toNodeStream(near);
    const events = eventsOf(stream);
    stream.write('never mind');
    stream.resetAndDestroy();
    const end = await there.end();
    if (place.name === 'tcp' || place.name === 'tls') expect((end as SocketError).code).toBe('ECONNRESET');
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'destroyed' });
    await until(() => events.length > 0);
    expect(events).toEqual(['close false']);
  });

  it('I1: emits what a failed connection has received, then the error of the connection', async () => {
    const { near, far } = await pair();
    const stream = toNodeStream(near);
    const events = eventsOf(stream);
    const received: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => received.push(chunk));
    far.bytes.next('first');
    await until(() => received.length > 0);
    near.destroy(new Error('cut'));
    await until(() => events.length === 2);
    expect(events).toEqual(['error ERR_CLOSED', 'close true']);
    expect(stream.errored).toBeInstanceOf(SocketError);
    far.destroy();
  });

  it('I3: everything written in one turn goes out in one write', async () => {
    const { near, far } = await pair();
    const there = record(far.bytes);
    const stream = toNodeStream(near);
    await turns(3);
    const writes = countWrites();
    for (const word of ['a', 'b', 'c']) stream.write(word);
    await Promise.resolve();
    stream.write('d');
    await until(() => Buffer.concat(there.values).length === 4);
    // Over the memory transport, each write is counted twice.
    expect(writes.count).toBe(place.name === 'memory' ? 2 : 1);
    stream.end();
    expect(await there.end()).toBe('complete');
    far.bytes.complete();
    await gone(stream.resume());
  });
});

describe.each(allPlaces)('a stream over an accepted connection, $name', (place) => {
  it('S7: a shutdown ends the readable side, and waits until the writable side has ended', async () => {
    let accept: (stream: SocketStream) => void = () => undefined;
    const accepted = new Promise<SocketStream>((resolve) => {
      accept = resolve;
    });
    const { server, address } = await serverAt(place, (connection) => accept(toNodeStream(connection)));
    const { connection: far } = await clientAt(place, address, { halfOpen: true });
    const there = record(far.bytes);
    const stream = await accepted;
    const events = eventsOf(stream.resume());
    stream.write('half ');
    await there.count(1);
    const shutdown = server.shutdown({ deadline: 20_000 });
    await once(stream, 'end');
    await turns();
    expect([stream.writable, there.endings]).toEqual([true, []]);
    stream.write('and ');
    await there.count(2);
    stream.end('half');
    expect(await there.end()).toBe('complete');
    expect(Buffer.concat(there.values).toString()).toBe('half and half');
    far.bytes.complete();
    await shutdown;
    await until(() => events.includes('close false'));
    expect(events).toEqual(['end', 'finish', 'close false']);
  });

  it('S7: a shutdown cuts off a stream that does not end: at the deadline, or at once if drain is false', async () => {
    for (const options of [{ deadline: 20 }, { drain: false, deadline: 20_000 }]) {
      const streams: SocketStream[] = [];
      const { server, address } = await serverAt(place, (connection) => void streams.push(toNodeStream(connection)));
      const { connection: far } = await clientAt(place, address);
      const there = record(far.bytes);
      await until(() => streams.length === 1);
      const [stream] = streams as [SocketStream];
      const events = eventsOf(stream.resume());
      const closed = gone(stream);
      await server.shutdown(options);
      await closed;
      if (options.drain === undefined) expect(events).toEqual(['end', 'error ERR_TIMEOUT_CLOSE', 'close true']);
      else expect(events.at(-1)).toBe('close false');
      await there.end();
    }
  });
});

it.each(allPlaces.filter(({ name }) => name === 'tcp' || name === 'tls'))(
  "S19: the failure of a stream without an 'error' listener ends nothing else, $name",
  async (place) => {
    const streams: SocketStream[] = [];
    const { server, address } = await serverAt(place, (connection) => void streams.push(toNodeStream(connection)));
    const incidents = record(server.incidents);
    const { connection: far } = await clientAt(place, address);
    await until(() => streams.length === 1);
    const [stream] = streams as [SocketStream];
    stream.resume();
    const closed = gone(stream);
    stream.write('x');
    await until(() => stream.writableLength === 0);
    far.destroy();
    await closed;
    expect(stream.errored).toMatchObject({ code: 'ECONNRESET' });
    await incidents.count(1);
  },
);
