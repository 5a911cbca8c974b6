import { Readable } from 'node:stream';
import fc from 'fast-check';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { toWebStreams } from '../../src/interop/index.js';
import { chunksOf, chunkSizes } from '../support/bytes/arbitrary-chunks.js';
import '../support/leaks.js';
import { allPlaces } from '../support/transport/places.js';
import { ends, pairAt } from '../support/connection/connected-pairs.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';
import { readSlowly, settling } from '../support/interop/slow-reader.js';

const bytes = fc.uint8Array({ minLength: 1, maxLength: 60_000 }).map((array) => Buffer.from(array));

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

  it('F3: a slow reader limits what the other side can write', async () => {
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
    // Writing stops, because nothing is read.
    for (let before = -1; before !== written;) {
      before = written;
      await turns(50);
    }
    isFull = true;
    expect(written).toBeLessThan(20_000_000);
    if (place.name === 'memory') expect(written).toBeLessThanOrEqual(6 * 65_536);
    // The library's own limit bounds what this side has read ahead. The streams buffer nothing.
    expect(near.stats.bytesRead).toBeLessThanOrEqual(2 * 65_536 + 32_768);
    const [size] = await Promise.all([
      readSlowly(readable).then((chunks) => chunks.reduce((sum, { length }) => sum + length, 0)),
      writing,
    ]);
    expect(size).toBe(written);
  });
});

describe.each(ends)('the web streams of a connection, $name,', ({ pair, place }) => {
  it('I1: on close(), send everything written and the FIN, then settle close(), and continue to read', async () => {
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

  it('I1: settle close() only when the peer has taken everything that was written', async () => {
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

  it('I1: close the readable stream after the peer has ended, and continue to write', async () => {
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

  it('I1: on abort(reason), destroy the connection, and fail the readable stream', async () => {
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

  it('I1: destroy the connection on abort(reason), even while a write or close() is pending', async () => {
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

  it('I1: continue to write after cancel(), and end the connection on a following close()', async () => {
    const { near, far } = await pair({ halfOpen: true });
    const { readable, writable } = toWebStreams(near.bytes);
    const hold = far.bytes.hold();
    const there = record(far.bytes);
    const writer = writable.getWriter();
    const large = Buffer.alloc(3_000_000, 'x');
    const writing = Promise.all([writer.write(large), writer.close()]);
    await readable.cancel();
    // The peer can still send, and can end its side at any time.
    await lastValueFrom(far.bytes.sendFrom([Buffer.alloc(3_000_000, 'y')]), { defaultValue: undefined });
    hold.release();
    await writing;
    expect(await there.end()).toBe('complete');
    expect(Buffer.concat(there.values).length).toBe(large.length);
    far.bytes.complete();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
  });

  it('I1: keep the sending side open after cancel() alone', async () => {
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

  it('I1: fail when the connection fails, but the readable stream first delivers everything received', async () => {
    const { near, far } = await pair<string, string>({ codec: lines() });
    const { readable, writable } = toWebStreams(near.data);
    const writer = writable.getWriter();
    far.data.next('received');
    await until(() => near.stats.bytesRead === 9);
    // A line that is too long fails the connection (D3).
    far.bytes.next('x'.repeat(70_000));
    const reader = readable.getReader();
    expect(await reader.read()).toEqual({ done: false, value: 'received' });
    expect(await settling(reader.read())).toMatchObject({ code: 'ERR_FRAME_TOO_LONG' });
    expect(await settling(writer.closed)).toMatchObject({ code: 'ERR_FRAME_TOO_LONG' });
    expect(await settling(writer.write('late'))).toMatchObject({ code: 'ERR_FRAME_TOO_LONG' });
  });

  it('D3: can still write an answer after a bad frame', async () => {
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

  it('D5: fail the writable stream and the connection if a value cannot be encoded', async () => {
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
