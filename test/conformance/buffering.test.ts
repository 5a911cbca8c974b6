import { firstValueFrom } from 'rxjs';
import { connect, type Channel } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { places, realPlaces } from '../support/transport/places.js';
import { dialledAt, pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { readBytes } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { scripted } from '../support/transport/scripted-transport.js';
import { turns, until } from '../support/scheduling/event-loop.js';

/** Waits until the values sent in this turn have been passed to the kernel. */
const flushed = (): Promise<void> => turns(2);

describe('buffered values, with a scripted kernel', () => {
  it('C4: bufferedBytes counts exactly the bytes that `next` has queued and the kernel has not yet taken', async () => {
    const { near, socket } = await scripted({ codec: lines() });
    const { data } = near;
    socket.eager = false;
    data.next('12345');
    expect([data.bufferedBytes, near.bytes.bufferedBytes]).toEqual([6, 6]);
    data.next('ä€😀');
    near.bytes.next(Buffer.alloc(5_000));
    expect(data.bufferedBytes).toBe(6 + 10 + 5_000);
    await flushed();
    expect(data.bufferedBytes).toBe(6 + 10 + 5_000);
    socket.take(5_010);
    expect([data.bufferedBytes, near.stats.bytesWritten]).toEqual([6, 5_010]);
    data.next('x');
    expect(data.bufferedBytes).toBe(8);
    socket.take();
    expect([data.bufferedBytes, near.stats.bytesWritten]).toEqual([2, 5_016]);
    socket.take();
    expect([data.bufferedBytes, near.stats.bytesWritten]).toEqual([0, 5_018]);
  });

  it('C4: writable becomes false when bufferedBytes exceeds highWaterMark, and true again when bufferedBytes falls to half of highWaterMark', async () => {
    const { near, socket } = await scripted({ highWaterMark: 100 });
    const { data } = near;
    socket.eager = false;
    const changes = record(data.writable);
    expect(changes.values).toEqual([true]);
    data.next('x'.repeat(100));
    expect(changes.values, 'at the mark').toEqual([true]);
    data.next('x');
    expect(changes.values, 'over the mark').toEqual([true, false]);
    await flushed();
    data.next('x'.repeat(51));
    socket.take();
    expect([changes.values, data.bufferedBytes], 'over the half').toEqual([[true, false], 51]);
    data.next('x'.repeat(50));
    socket.take();
    expect([changes.values, data.bufferedBytes], 'at the half').toEqual([[true, false, true], 50]);
    data.next('x'.repeat(50));
    expect(changes.values, 'at the mark').toEqual([true, false, true]);
    data.next('x');
    expect(changes.values, 'over the mark').toEqual([true, false, true, false]);
  });

  it('C4: writable emits its current value to each new subscriber, even when nothing more can be sent', async () => {
    const { near, socket } = await scripted({ highWaterMark: 10 });
    socket.eager = false;
    near.data.next('x'.repeat(11));
    expect(await firstValueFrom(near.data.writable)).toBe(false);
    await flushed();
    socket.take();
    expect(await firstValueFrom(near.data.writable)).toBe(true);
    const changes = record(near.data.writable);
    near.data.complete();
    const late = record(near.data.writable);
    expect([changes.values, changes.endings]).toEqual([[true, false], ['complete']]);
    expect([late.values, late.endings]).toEqual([[false], ['complete']]);
  });

  it("C4: with overflow 'error', the first value that would exceed maxBuffered destroys the connection with ERR_OVERFLOW", async () => {
    const { near, socket } = await scripted({ maxBuffered: 100 });
    const recording = record(near.data);
    socket.eager = false;
    near.data.next('x'.repeat(60));
    await flushed();
    near.data.next('x'.repeat(40));
    expect([near.data.bufferedBytes, near.data.closed], 'exactly maxBuffered').toEqual([100, false]);
    near.data.next('x');
    expect(near.data.closed).toBe(true);
    expect(recording.endings).toMatchObject([{ code: 'ERR_OVERFLOW' }]);
    expect(socket.wasReset).toBe(true);
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed', error: { code: 'ERR_OVERFLOW' } });
    expect(near.data.dropped).toBe(0);
  });

  it("C4: with overflow 'drop', only values that would exceed maxBuffered are dropped, and `dropped` counts them", async () => {
    const { near, socket } = await scripted({ maxBuffered: 100, overflow: 'drop' });
    socket.eager = false;
    near.data.next('a'.repeat(60));
    await flushed();
    near.data.next('b'.repeat(41));
    near.data.next('c'.repeat(30));
    near.data.next('d'.repeat(11));
    near.data.next('e'.repeat(10));
    expect([near.data.dropped, near.bytes.dropped, near.data.bufferedBytes]).toEqual([2, 2, 100]);
    socket.take();
    socket.take();
    expect(String(Buffer.concat(socket.writes))).toBe('a'.repeat(60) + 'c'.repeat(30) + 'e'.repeat(10));
    expect(near.data.closed).toBe(false);
  });

  it('C4: a value larger than maxBuffered is accepted if nothing is queued, and the values after it overflow', async () => {
    const { near, socket } = await scripted({ maxBuffered: 100, overflow: 'drop' });
    socket.eager = false;
    near.data.next('x'.repeat(500));
    expect(near.data.bufferedBytes).toBe(500);
    near.data.next('y'.repeat(400));
    near.data.next('z');
    expect([near.data.bufferedBytes, near.data.dropped]).toEqual([500, 2]);
    await flushed();
    near.data.next('z');
    socket.take(399);
    near.data.next('y'.repeat(400));
    near.data.next('z');
    expect([near.data.bufferedBytes, near.data.dropped]).toEqual([101, 5]);
    socket.take(1);
    near.data.next('');
    expect([near.data.bufferedBytes, near.data.dropped]).toEqual([100, 5]);
    socket.take();
    near.data.next('y'.repeat(400));
    expect([near.data.bufferedBytes, near.data.dropped]).toEqual([400, 5]);
  });

  it('C4: whatever values are sent, bufferedBytes never exceeds maxBuffered plus the size of one value', async () => {
    const { near, socket } = await scripted({ maxBuffered: 1_000, overflow: 'drop' });
    socket.eager = false;
    let seed = 1;
    const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
    for (let step = 0; step < 5_000; step++) {
      near.data.next(Buffer.alloc(random(20) === 0 ? random(3_000) : random(300)));
      if (near.data.bufferedBytes > 4_000) expect.unreachable(`${near.data.bufferedBytes} bytes wait`);
      if (random(3) === 0) await flushed();
      if (random(2) === 0 && socket.unsent > 0) socket.take(random(2) === 0 ? socket.unsent : random(socket.unsent));
    }
    expect(near.data.dropped).toBeGreaterThan(0);
  });

  it('C4: before the library refuses a value that would exceed maxBuffered, it offers the queued bytes to the kernel', async () => {
    const { near, socket } = await scripted({ maxBuffered: 100 });
    for (let index = 0; index < 50; index++) near.data.next('x'.repeat(60));
    await flushed();
    expect(near.data.closed).toBe(false);
    expect(Buffer.concat(socket.writes).length).toBe(3_000);
  });

  it('C4: a connection that was destroyed buffers nothing', async () => {
    const { near, socket } = await scripted();
    socket.eager = false;
    near.data.next('x'.repeat(100));
    await flushed();
    near.data.next('y');
    socket.take(60);
    near.destroy();
    expect(near.data.bufferedBytes).toBe(0);
    expect(await firstValueFrom(near.closed)).toMatchObject({ bytesWritten: 60 });
  });
});

describe.each(places)('buffered values, over $name', (place) => {
  const fill = (data: Channel<Buffer, Uint8Array | string>, size: number): void => {
    while (data.bufferedBytes < size) data.next(Buffer.alloc(1_000));
  };

  it('C4: values sent before the connection opens count in bufferedBytes, make the channel unwritable, and can overflow', async () => {
    const address = place.name === 'tcp' ? { port: 7 } : await place.address();
    const client = connect(address, { ...place.options, maxBuffered: 100, highWaterMark: 50, overflow: 'drop' });
    const changes = record(client.data.writable);
    client.data.next('x'.repeat(50));
    client.data.next('x'.repeat(50));
    client.data.next('x');
    expect([client.data.bufferedBytes, client.data.dropped, changes.values]).toEqual([100, 1, [true, false]]);
    client.data.complete();
    await changes.end();
  });

  it('C4: the channel is not writable while the peer does not read, and is writable again when the peer reads', async () => {
    const { near, far } = await pairAt(place, { highWaterMark: 100_000, maxBuffered: 4_000_000 });
    const changes = record(near.data.writable);
    do {
      fill(near.data, 101_000);
      await turns(3);
      // Over the memory transport, a timer tells the writer that the peer has taken bytes. The test's own timer
      // is set after that timer, so it also fires after that timer.
      await new Promise((resolve) => setTimeout(resolve, 2));
    } while (changes.values.at(-1) === true);
    const before = changes.values.length;
    await turns();
    expect(changes.values.length, 'it stays as it is').toBe(before);
    record(far.data);
    await changes.count(before + 1);
    expect(changes.values).toEqual(changes.values.map((_, index) => index % 2 === 0));
    expect(near.data.bufferedBytes).toBeLessThanOrEqual(50_000);
  });

  it("C4: with overflow 'error', a peer that does not read ends only its own connection", async () => {
    const arrived: { near: Channel<Buffer, Uint8Array | string> }[] = [];
    const { address } = await serverAt(place, ({ data }) => arrived.push({ near: data }), { maxBuffered: 100_000 });
    const slow = connect(address, place.options);
    const quick = connect(address, place.options);
    const subscriptions = [slow, quick].map((client) => client.subscribe({ error: () => undefined }));
    await until(() => arrived.length === 2);
    const slowRecording = record(arrived[0]!.near);
    let most = 0;
    while (slowRecording.endings.length === 0) {
      arrived[0]!.near.next(Buffer.alloc(1_000));
      most = Math.max(most, arrived[0]!.near.bufferedBytes);
      if (most > 90_000) await turns(1);
    }
    expect(slowRecording.endings).toMatchObject([{ code: 'ERR_OVERFLOW' }]);
    expect(most).toBeLessThanOrEqual(100_000);
    const received = record(quick.data);
    arrived[1]!.near.next('still there');
    await received.count(1);
    for (const subscription of subscriptions) subscription.unsubscribe();
    received.subscription.unsubscribe();
  });

  it("C4: with overflow 'drop', every value that was not dropped arrives complete and in order", async () => {
    const { near, far } = await pairAt(place, { codec: lines(), maxBuffered: 50_000, overflow: 'drop' });
    const hold = far.data.hold();
    const received = record(far.data);
    let sent = 0;
    while (near.data.dropped < 100) {
      near.data.next(String(sent++).padEnd(500));
      if (sent % 50 === 0) await turns(1);
    }
    expect(near.data.bufferedBytes).toBeLessThanOrEqual(50_000);
    near.data.complete();
    hold.release();
    expect(await received.end()).toBe('complete');
    expect(received.values.length).toBe(sent - near.data.dropped);
    const numbers = received.values.map(Number);
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  });
});

describe.each(realPlaces)('buffered values, against node:net over $name', (place) => {
  it('C4: bufferedBytes falls when a plain server reads', async () => {
    const { near, raw } = await dialledAt(place, { maxBuffered: 1 << 24 });
    raw.pause();
    near.data.next(Buffer.alloc(1 << 23));
    await turns();
    const before = near.data.bufferedBytes;
    expect(before).toBeGreaterThan(1 << 20);
    await readBytes(raw, 1 << 22);
    await until(() => near.data.bufferedBytes < before);
    await readBytes(raw, 1 << 22);
    await until(() => near.data.bufferedBytes === 0);
  });
});
