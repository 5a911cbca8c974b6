import { setImmediate as nextTurn } from 'node:timers/promises';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import { connect } from 'rxjs-sockets';
import { lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { toWebStreams } from '../../src/interop/index.js';
import { chunksOf, chunkSizes } from '../support/bytes/arbitrary-chunks.js';
import '../support/leaks.js';
import { allPlaces, tcp } from '../support/transport/places.js';
import { acceptedAt, dialledAt, ends, pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { endingOf, readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { scripted } from '../support/transport/scripted-transport.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const bytes = fc.uint8Array({ minLength: 1, maxLength: 60_000 }).map((array) => Buffer.from(array));

/** Reads a stream to its end, waiting so many turns before each read. */
async function readSlowly<T>(readable: ReadableStream<T>, paces: readonly number[] = [0]): Promise<T[]> {
  const reader = readable.getReader();
  const values: T[] = [];
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    values.push(read.value);
    await turns(paces[values.length % paces.length]);
  }
  return values;
}

/** How a promise settles: `'done'`, or what it rejects with. */
function settling(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'done',
    (error: unknown) => error,
  );
}

/** What is not handled until the end of the test. */
function unhandledRejections(): unknown[] {
  const errors: unknown[] = [];
  const listener = (error: unknown): void => void errors.push(error);
  const others = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection').on('unhandledRejection', listener);
  onTestFinished(() => {
    process.removeListener('unhandledRejection', listener);
    for (const other of others) process.on('unhandledRejection', other);
  });
  return errors;
}

describe.each(allPlaces)('toWebStreams over $name', (place) => {
  it('I1: carries the bytes of both directions once and in order, for any chunking and any pace', async () => {
    await fc.assert(
      fc.asyncProperty(bytes, bytes, chunkSizes(), fc.array(fc.nat(2), { minLength: 1 }), async (...drawn) => {
        const [sent, answered, sizes, paces] = drawn;
        const { near, far } = await pairAt(place, { halfOpen: true });
        const [here, there] = [toWebStreams(near.bytes), toWebStreams(far.bytes)];
        const [atFar, atNear] = [readSlowly(there.readable), readSlowly(here.readable, paces)];
        await Promise.all([
          Readable.toWeb(Readable.from(chunksOf(sent, sizes))).pipeTo(here.writable as never),
          Readable.toWeb(Readable.from(chunksOf(answered, sizes))).pipeTo(there.writable as never),
        ]);
        expect(Buffer.concat(await atFar).equals(sent)).toBe(true);
        expect(Buffer.concat(await atNear).equals(answered)).toBe(true);
        for (const { closed } of [near, far])
          expect(await firstValueFrom(closed)).toMatchObject({ reason: 'finished' });
      }),
      { numRuns: 15 },
    );
  });

  it('I1: carries the values of a codec, in either direction', async () => {
    const { near, far } = await pairAt<string, string>(place, { codec: lines(), halfOpen: true });
    const { readable, writable } = toWebStreams(near.data);
    const there = toWebStreams(far.data);
    void there.readable.pipeTo(there.writable);
    const writer = writable.getWriter();
    const echoed = readSlowly(readable, [0, 1]);
    const sent = Array.from({ length: 500 }, (_, index) => `line ${index}`);
    for (const line of sent) await writer.write(line);
    await writer.close();
    expect(await echoed).toEqual(sent);
  });

  it('F3: a slow reader bounds what the other side can write', async () => {
    const { near, far } = await pairAt(place);
    const { readable } = toWebStreams(near.bytes);
    const writer = toWebStreams(far.bytes).writable.getWriter();
    const piece = Buffer.alloc(10_000, 'x');
    let written = 0;
    let isFull = false;
    const writing = (async () => {
      for (; written < 20_000_000 && !isFull; written += piece.length) await writer.write(piece);
      await writer.close();
    })();
    // Nothing is read: the writing stops.
    for (let before = -1; before !== written;) {
      before = written;
      await turns(50);
    }
    isFull = true;
    expect(written).toBeLessThan(20_000_000);
    if (place.name === 'memory') expect(written).toBeLessThanOrEqual(6 * 65_536);
    // What this side has read ahead is bounded by the library's own rule, and the streams keep nothing.
    expect(near.stats.bytesRead).toBeLessThanOrEqual(2 * 65_536 + 32_768);
    const [size] = await Promise.all([
      readSlowly(readable).then((chunks) => chunks.reduce((sum, { length }) => sum + length, 0)),
      writing,
    ]);
    expect(size).toBe(written);
  });
});

describe.each(ends)('the web streams of one, $name', ({ pair, place }) => {
  it('I1: close() half-closes after what was written, settles when that was flushed, and reading goes on', async () => {
    const { near, far } = await pair({ halfOpen: true });
    const there = record(far.bytes);
    const { readable, writable } = toWebStreams(near.bytes);
    const writer = writable.getWriter();
    const large = Buffer.alloc(300_000, 'x');
    const written = writer.write(large);
    await Promise.all([written, writer.close()]);
    expect(near.bytes.bufferedBytes).toBe(0);
    expect(await there.end()).toBe('complete');
    expect(Buffer.concat(there.values).length).toBe(large.length);
    far.bytes.next('answer');
    far.bytes.complete();
    expect(Buffer.concat(await readSlowly(readable)).toString()).toBe('answer');
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
  });

  it('I1: close() settles no earlier than the peer takes what was written', async () => {
    const { near, far } = await pair({ halfOpen: true });
    const hold = far.bytes.hold();
    const there = record(far.bytes);
    const writer = toWebStreams(near.bytes).writable.getWriter();
    let isClosed = false;
    const large = Buffer.alloc(30_000_000, 'x');
    const closing = Promise.all([writer.write(large), writer.close()]).then(() => (isClosed = true));
    await turns(50);
    expect(isClosed).toBe(false);
    hold.release();
    await closing;
    expect(await there.end()).toBe('complete');
  });

  it('I1: the readable stream closes after the peer has ended, and writing goes on', async () => {
    const { near, far } = await pair({ halfOpen: true });
    const { readable, writable } = toWebStreams(near.bytes);
    far.bytes.next('last');
    far.bytes.complete();
    expect(Buffer.concat(await readSlowly(readable)).toString()).toBe('last');
    const there = record(far.bytes);
    const writer = writable.getWriter();
    await writer.write('still here');
    await writer.close();
    expect(await there.end()).toBe('complete');
    expect(Buffer.concat(there.values).toString()).toBe('still here');
  });

  it('I1: abort(reason) destroys the connection, which errors the readable stream', async () => {
    const { near, far } = await pair();
    const { readable, writable } = toWebStreams(near.bytes);
    const there = record(far.bytes);
    const reading = settling(readable.getReader().read());
    const reason = new Error('enough');
    await writable.abort(reason);
    expect(await reading).toMatchObject({ code: 'ERR_CLOSED', cause: reason });
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'destroyed', error: { cause: reason } });
    if (place.name === 'tcp' || place.name === 'memory')
      expect(await there.end()).toMatchObject({ code: 'ECONNRESET' });
  });

  it('I1: abort(reason) destroys the connection of a peer that does not read, while a write or close() waits for it', async () => {
    for (const isClosing of [false, true]) {
      const { near, far } = await pair();
      const hold = far.bytes.hold();
      const { readable, writable } = toWebStreams(near.bytes);
      const reading = settling(readable.getReader().read());
      const writer = writable.getWriter();
      const written = settling(writer.write(Buffer.alloc(16 << 20)));
      await turns();
      if (isClosing) void settling(writer.close());
      const reason = new Error('enough');
      await writer.abort(reason);
      expect(await reading).toMatchObject({ code: 'ERR_CLOSED', cause: reason });
      expect(await written).toMatchObject({ code: 'ERR_CLOSED', cause: reason });
      expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'destroyed', error: { cause: reason } });
      hold.release();
      far.destroy();
    }
  });

  it('I1: cancel() takes nothing from what is being written, and the close that follows ends the connection', async () => {
    const { near, far } = await pair({ halfOpen: true });
    const { readable, writable } = toWebStreams(near.bytes);
    const hold = far.bytes.hold();
    const there = record(far.bytes);
    const writer = writable.getWriter();
    const large = Buffer.alloc(3_000_000, 'x');
    const writing = Promise.all([writer.write(large), writer.close()]);
    await readable.cancel();
    // The peer is not kept from sending, and it may end at its leisure.
    await lastValueFrom(far.bytes.sendFrom([Buffer.alloc(3_000_000, 'y')]), { defaultValue: undefined });
    hold.release();
    await writing;
    expect(await there.end()).toBe('complete');
    expect(Buffer.concat(there.values).length).toBe(large.length);
    far.bytes.complete();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
  });

  it('I1: cancel() alone leaves the sending side open', async () => {
    const { near, far } = await pair({ halfOpen: true });
    const there = record(far.bytes);
    const { readable, writable } = toWebStreams(near.bytes);
    const reader = readable.getReader();
    const reading = reader.read();
    far.bytes.next('first');
    await reading;
    await reader.cancel('enough');
    far.bytes.next('ignored');
    await turns();
    expect(near.bytes.closed).toBe(false);
    const writer = writable.getWriter();
    await writer.write('sent');
    await until(() => there.values.length > 0);
    await writer.close();
    expect(await there.end()).toBe('complete');
    expect(Buffer.concat(there.values).toString()).toBe('sent');
    far.bytes.complete();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
  });

  it('I1: a failure of the connection errors both streams, the readable one after all that was received', async () => {
    const { near, far } = await pair<string, string>({ codec: lines() });
    const { readable, writable } = toWebStreams(near.data);
    const writer = writable.getWriter();
    far.data.next('received');
    await until(() => near.stats.bytesRead === 9);
    // A line that is too long fails it (D3).
    far.bytes.next('x'.repeat(70_000));
    const reader = readable.getReader();
    expect(await reader.read()).toEqual({ done: false, value: 'received' });
    expect(await settling(reader.read())).toMatchObject({ code: 'ERR_FRAME_TOO_LONG' });
    expect(await settling(writer.closed)).toMatchObject({ code: 'ERR_FRAME_TOO_LONG' });
    expect(await settling(writer.write('late'))).toMatchObject({ code: 'ERR_FRAME_TOO_LONG' });
  });

  it('D3: after a wrong frame an answer can still be written', async () => {
    const { near, far } = await pair<string, string>({ codec: lines() });
    const there = record(far.data);
    const { readable, writable } = toWebStreams(near.data);
    far.bytes.next('x'.repeat(70_000));
    const writer = writable.getWriter();
    expect(await settling(readable.getReader().read())).toMatchObject({ code: 'ERR_FRAME_TOO_LONG' });
    await writer.write('that was too long');
    await writer.close();
    expect(await there.end()).toBe('complete');
    expect(there.values).toEqual(['that was too long']);
    far.data.complete();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed' });
  });

  it('D5: a value that can not be encoded errors the writable stream and fails the connection', async () => {
    const { near } = await pair<string, string>({ codec: lines() });
    const { readable, writable } = toWebStreams(near.data);
    const reading = settling(readable.getReader().read());
    const writer = writable.getWriter();
    expect(await settling(writer.write('two\nlines'))).toMatchObject({ code: 'ERR_FRAME_INVALID' });
    expect(await reading).toMatchObject({ code: 'ERR_FRAME_INVALID' });
    expect(await settling(writer.closed)).toMatchObject({ code: 'ERR_FRAME_INVALID' });
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed', error: { code: 'ERR_FRAME_INVALID' } });
  });
});

describe('toWebStreams', () => {
  it('I1: close() settles when the kernel has all that was written, and not before', async () => {
    const { near, socket } = await scripted();
    socket.eager = false;
    const writer = toWebStreams(near.bytes).writable.getWriter();
    await writer.write('hello');
    let isClosed = false;
    const closing = writer.close().then(() => (isClosed = true));
    await turns();
    expect([isClosed, socket.ended]).toEqual([false, false]);
    socket.take();
    await closing;
    expect(socket.ended).toBe(true);
  });

  it('I1: pipes to itself as an echo', async () => {
    const { near, raw } = await acceptedAt(tcp);
    const { readable, writable } = toWebStreams(near.bytes);
    const piping = readable.pipeTo(writable);
    const large = Buffer.alloc(5_000_000, 'abc');
    raw.end(large);
    expect((await readAll(raw)).equals(large)).toBe(true);
    await piping;
  });

  it('I1: pipes through a decoder of text, a character in two chunks included', async () => {
    const { near, raw } = await acceptedAt(tcp);
    const text = toWebStreams(near.bytes).readable.pipeThrough<string>(new TextDecoderStream());
    const reader = text.getReader();
    const [first, rest] = [Buffer.from('naï').subarray(0, 3), Buffer.from('naïve ✓').subarray(3)];
    raw.write(first);
    expect(await reader.read()).toEqual({ done: false, value: 'na' });
    raw.end(rest);
    let all = '';
    for (let read = await reader.read(); !read.done; read = await reader.read()) all += read.value;
    expect(all).toBe('ïve ✓');
  });

  it('I1: pipes through compression, and back', async () => {
    const { near, far } = await pairAt(tcp, { halfOpen: true });
    const sent = Buffer.from(Array.from({ length: 50_000 }, (_, index) => index % 256));
    const compressed = new Blob([sent]).stream().pipeThrough(new CompressionStream('gzip') as never);
    const [here, there] = [toWebStreams(near.bytes), toWebStreams(far.bytes)];
    const piping = compressed.pipeTo(here.writable);
    const received = await new Response(
      there.readable.pipeThrough(new DecompressionStream('gzip')) as never,
    ).arrayBuffer();
    await piping;
    expect(Buffer.from(received).equals(sent)).toBe(true);
  });

  it('I1: is the body of a Response, and takes one', async () => {
    const { near, far } = await pairAt(tcp, { halfOpen: true });
    const text = 'x'.repeat(200_000);
    const piping = new Response(text).body!.pipeTo(toWebStreams(near.bytes).writable as never);
    expect(await new Response(toWebStreams(far.bytes).readable as never).text()).toBe(text);
    await piping;
  });

  it('C1: the chunks of a channel without a codec are the reader’s to keep', async () => {
    const { near, raw } = await acceptedAt(tcp);
    const reading = readSlowly(toWebStreams(near.bytes).readable);
    const other = await acceptedAt(tcp);
    other.near.bytes.subscribe(other.near.bytes);
    let echoed = 0;
    other.raw.on('data', (chunk) => (echoed += chunk.length));
    const sent: Buffer[] = [];
    for (let number = 0; number < 100; number++) {
      sent.push(Buffer.alloc(1 + number * 300, number));
      raw.write(sent[number]!);
      // What another connection receives lies in the same memory.
      other.raw.write(Buffer.alloc(20_000, 'z'));
      await until(() => echoed === 20_000 * (number + 1));
    }
    raw.end();
    expect(Buffer.concat(await reading).equals(Buffer.concat(sent))).toBe(true);
  });

  it('I1: reads no value ahead: each is emitted for one read', async () => {
    const { near, far } = await pairAt<string, string>(tcp, { codec: lines() });
    const { readable } = toWebStreams(near.data);
    const seen = record(near.data);
    for (const line of ['a', 'b', 'c']) far.data.next(line);
    await until(() => near.stats.bytesRead === 6);
    await turns();
    expect(seen.values).toEqual([]);
    const reader = readable.getReader();
    expect(await reader.read()).toEqual({ done: false, value: 'a' });
    await turns();
    expect(seen.values).toEqual(['a']);
    expect(await Promise.all([reader.read(), reader.read()])).toEqual([
      { done: false, value: 'b' },
      { done: false, value: 'c' },
    ]);
  });

  it('C8: a reset by the peer ends nothing but the streams, though nobody uses them', async () => {
    const errors = unhandledRejections();
    const { near, raw } = await acceptedAt(tcp);
    const { readable, writable } = toWebStreams(near.bytes);
    raw.resetAndDestroy();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed' });
    await turns();
    expect(errors).toEqual([]);
    expect(await settling(writable.getWriter().closed)).toMatchObject({ code: 'ECONNRESET' });
    expect(await settling(readable.getReader().read())).toMatchObject({ code: 'ECONNRESET' });
  });

  it('K1: of a client it dials at once, and both ends go over one connection', async () => {
    const { address } = await serverAt(tcp, ({ data }) => data.subscribe(data));
    const { readable, writable } = toWebStreams(connect(address, { halfOpen: true }).data);
    const writer = writable.getWriter();
    await writer.write('hello');
    await writer.close();
    expect(Buffer.concat(await readSlowly(readable)).toString()).toBe('hello');
  });

  it('K8: of a client that has ended, neither stream reaches another connection', async () => {
    let count = 0;
    const address = await rawServer(tcp, (socket) => {
      count++;
      socket.end();
    });
    const client = connect(address);
    const { readable, writable } = toWebStreams(client.data);
    expect(await readSlowly(readable)).toEqual([]);
    const writer = writable.getWriter();
    expect(await settling(writer.write('late'))).toMatchObject({ code: 'ERR_CLOSED' });
    expect(await settling(writer.abort('late'))).toBe('done');
    await turns();
    expect(count).toBe(1);
  });

  it('C16: without halfOpen close() settles after the peer has ended, too', async () => {
    const { near, raw } = await dialledAt(tcp);
    const { readable, writable } = toWebStreams(near.bytes);
    const writer = writable.getWriter();
    raw.end('all');
    expect(Buffer.concat(await readSlowly(readable)).toString()).toBe('all');
    await until(() => near.bytes.closed);
    await writer.close();
    expect((await readAll(raw)).length).toBe(0);
  });

  it('K13: with whileDisconnected "drop" a write waits for a connection', async () => {
    const ended = await serverAt(tcp, (connection) => connection.data.complete());
    ended.subscription.unsubscribe();
    const client = connect<string, string>(ended.address, {
      codec: lines(),
      reconnect: { delay: 1 },
      whileDisconnected: 'drop',
    });
    const { readable, writable } = toWebStreams(client.data);
    const states = record(client);
    await until(() => states.values.some(({ status }) => status === 'waiting'));
    const writer = writable.getWriter();
    let isSettled = false;
    const written = writer.write('kept').then(() => (isSettled = true));
    await turns();
    expect(isSettled).toBe(false);
    const address = await new Promise<unknown>((resolve, reject) => {
      if (ended.address.transport !== 'tcp') throw new Error('no port');
      void serverAt<string, string>(
        { ...tcp, address: () => Promise.resolve(ended.address) },
        (connection) => {
          connection.data.subscribe(resolve);
        },
        { codec: lines() },
      ).catch(reject);
    });
    expect(address).toBe('kept');
    await written;
    expect(client.data.dropped).toBe(0);
    states.subscription.unsubscribe();
    await readable.cancel();
    await settling(writer.abort());
  });

  it('C4: with overflow "drop" what others crowd out is counted, and the write settles', async () => {
    const { near, far } = await pairAt<Buffer, Uint8Array>(tcp, {
      codec: lengthPrefixed({ maxLength: 100_000 }),
      overflow: 'drop',
      maxBuffered: 200_000,
      highWaterMark: 200_000,
    });
    const hold = far.data.hold();
    const writer = toWebStreams(near.data).writable.getWriter();
    const written: Promise<void>[] = [];
    let values = 0;
    for (; near.data.dropped < 3 && values < 10_000; values++) {
      near.data.next(Buffer.alloc(50_000));
      written.push(writer.write(Buffer.alloc(50_000)));
      await nextTurn();
    }
    hold.release();
    let received = 0;
    const there = record(far.data, () => received++);
    await Promise.all(written);
    await writer.close();
    expect(await there.end()).toBe('complete');
    expect(received).toBe(2 * values - near.data.dropped);
  });

  it('C11: leaves a peer an orderly end when both streams are done with', async () => {
    const { near, raw } = await acceptedAt(tcp);
    const { readable, writable } = toWebStreams(near.bytes);
    raw.write('unread');
    await readable.cancel();
    await writable.close();
    expect(await endingOf(raw)).toBe('fin');
  });

  it.each([[undefined], [{}], [new ReadableStream()]])('A5: refuses what is no Channel: %s', (channel) => {
    expect(() => toWebStreams(channel as never)).toThrow(expect.objectContaining({ code: 'ERR_OPTION_INVALID' }));
  });

  it('C7: of a Channel that has ended it gives streams that have ended', async () => {
    const { near, raw } = await acceptedAt(tcp);
    raw.end('rest');
    await lastValueFrom(near.bytes);
    await near.close();
    const { readable, writable } = toWebStreams(near.bytes);
    expect(await readSlowly(readable)).toEqual([]);
    expect(await settling(writable.getWriter().write('late'))).toMatchObject({ code: 'ERR_CLOSED' });
  });
});
