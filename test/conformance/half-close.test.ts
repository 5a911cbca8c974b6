import { once } from 'node:events';
import { firstValueFrom } from 'rxjs';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { allPlaces as places, allRealPlaces as realPlaces } from '../support/transport/places.js';
import { acceptedAt, dialledAt, ends, pairAt } from '../support/connection/connected-pairs.js';
import { readAll, readBytes } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const codec = lines();
const large = Buffer.alloc(4 << 20, 'x');

describe.each(ends)('half-close, $name', ({ pair }) => {
  it('C6: complete() flushes the sent values and ends the sending side, and receiving continues', async () => {
    const { near, far } = await pair({ halfOpen: true });
    let size = 0;
    const there = record(far.data, (chunk) => (size += chunk.length));
    const here = record(near.data);
    near.data.next(large);
    near.data.complete();
    expect(near.data.closed).toBe(true);
    expect(await there.end()).toBe('complete');
    expect(size).toBe(large.length);
    for (let answer = 1; answer <= 3; answer++) {
      far.data.next('answer');
      await until(() => Buffer.concat(here.values).length === 6 * answer);
    }
    expect(here.endings).toEqual([]);
    far.data.complete();
    expect(await here.end()).toBe('complete');
    for (const { closed } of [near, far]) expect(await firstValueFrom(closed)).toMatchObject({ reason: 'finished' });
  });

  it('C6: a second complete(), even on a different view, changes nothing', async () => {
    const { near, far } = await pair({ codec });
    const there = record(far.data);
    near.data.next('a');
    near.data.complete();
    near.bytes.complete();
    near.data.complete();
    expect(await there.end()).toBe('complete');
    expect(there.values).toEqual(['a']);
  });

  it('C6: complete() before the first value sends only a FIN', async () => {
    const { near, far } = await pair({ halfOpen: true });
    near.data.complete();
    const there = record(far.data);
    expect(await there.end()).toBe('complete');
    expect(there.values).toEqual([]);
    far.data.complete();
  });

  it('C7: the FIN of the peer completes the receiving side after everything received has been emitted', async () => {
    const { near, far } = await pair();
    let size = 0;
    const here = record(near.data, (chunk) => (size += chunk.length));
    far.data.next(large);
    far.data.complete();
    expect(await here.end()).toBe('complete');
    expect(size).toBe(large.length);
  });

  it('C7: with halfOpen, the sending side stays open after the FIN of the peer until complete() is called', async () => {
    const { near, far } = await pair({ codec, halfOpen: true });
    const [here, there] = [record(near.data), record(far.data)];
    far.data.complete();
    expect(await here.end()).toBe('complete');
    expect(near.data.closed).toBe(false);
    near.data.next('still');
    await there.count(1);
    await turns();
    near.data.next('here');
    await there.count(2);
    expect(there.endings).toEqual([]);
    near.data.complete();
    expect(await there.end()).toBe('complete');
    for (const { closed } of [near, far]) expect(await firstValueFrom(closed)).toMatchObject({ reason: 'finished' });
  });

  it('C7: without halfOpen, sent values are flushed after the FIN of the peer, then the sending side ends', async () => {
    const { near, far } = await pair({ halfOpen: false });
    let size = 0;
    const there = record(far.data, (chunk) => (size += chunk.length));
    const here = record(near.data);
    near.data.next(large);
    far.data.complete();
    expect(await here.end()).toBe('complete');
    expect(near.data.closed).toBe(true);
    expect(await there.end()).toBe('complete');
    expect(size).toBe(large.length);
    for (const { closed } of [near, far]) expect(await firstValueFrom(closed)).toMatchObject({ reason: 'finished' });
  });

  it('C7: without halfOpen, the sending side ends when the FIN of the peer has arrived and all input has been emitted, so answers still go out', async () => {
    const { near, far } = await pair({ codec, halfOpen: false });
    const there = record(far.data);
    const hold = near.data.hold();
    const here = record(near.data, (line) => near.data.next(line.toUpperCase()));
    for (const line of ['a', 'b']) far.data.next(line);
    far.data.complete();
    await until(() => near.stats.bytesRead === 4);
    await turns();
    expect(near.data.closed).toBe(false);
    hold.release();
    expect(here.endings).toEqual(['complete']);
    expect(await there.end()).toBe('complete');
    expect(there.values).toEqual(['A', 'B']);
  });

  it('C7: without halfOpen and without a reader, the sending side ends when the FIN of the peer arrives', async () => {
    const { near, far } = await pair({ codec, halfOpen: false });
    near.data.next('sent');
    far.data.next('unread');
    const there = record(far.data);
    far.data.complete();
    expect(await there.end()).toBe('complete');
    expect(there.values).toEqual(['sent']);
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
    expect(await firstValueFrom(near.data)).toBe('unread');
  });

  it('C7: if the reader of one view leaves after the FIN of the peer, the sending side stays open for the reader of the other view', async () => {
    const { near, far } = await pair({ codec, halfOpen: false });
    const hold = near.data.hold();
    const here = record(near.data);
    const bytes = near.bytes.hold();
    const other = record(near.bytes);
    far.data.next('question');
    far.data.complete();
    await until(() => near.stats.bytesRead === 9);
    await turns();
    other.subscription.unsubscribe();
    bytes.release();
    await turns();
    expect(near.data.closed).toBe(false);
    near.data.next('answer');
    hold.release();
    const there = record(far.data);
    expect(await there.end()).toBe('complete');
    expect([here.values, there.values]).toEqual([['question'], ['answer']]);
  });

  it('C7: if the last reader leaves after the FIN of the peer, but before everything has been read, the sending side ends', async () => {
    const { near, far } = await pair({ codec, halfOpen: false });
    const there = record(far.data);
    const hold = near.data.hold();
    const here = record(near.data);
    far.data.next('unread');
    far.data.complete();
    await until(() => near.stats.bytesRead === 7);
    await turns();
    expect(near.data.closed).toBe(false);
    here.subscription.unsubscribe();
    expect(await there.end()).toBe('complete');
    hold.release();
  });
});

describe.each(places)('half-close, over $name', (place) => {
  it('C7: a connection of a server is half-open by default, and a connection of a client is not', async () => {
    const { near, far } = await pairAt(place);
    const [here, there] = [record(near.data), record(far.data)];
    near.data.complete();
    expect(await there.end()).toBe('complete');
    far.data.next('still sent by the server');
    await here.count(1);
    far.data.complete();
    await here.end();

    const other = await pairAt(place);
    const received = record(other.near.data);
    other.far.data.complete();
    expect(await received.end()).toBe('complete');
    expect(other.near.data.closed).toBe(true);
  });
});

describe.each(realPlaces)('half-close, against node:net over $name', (place) => {
  it("C6: a plain client gets everything and the FIN, and the client's data is received until the client's FIN", async () => {
    const { near, raw } = await acceptedAt(place, { codec });
    const here = record(near.data);
    near.bytes.next(large);
    near.data.complete();
    expect((await readAll(raw)).length).toBe(large.length);
    raw.write('a\n');
    await here.count(1);
    raw.write('b\n');
    await here.count(2);
    expect(here.endings).toEqual([]);
    raw.end('c');
    expect(await here.end()).toBe('complete');
    expect(here.values).toEqual(['a', 'b', 'c']);
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
  });

  it('C7: a plain client that has ended its side can be answered at any later time', async () => {
    const { near, raw } = await acceptedAt(place, { codec });
    const here = record(near.data);
    raw.end('question\n');
    expect(await here.end()).toBe('complete');
    for (let answer = 0; answer < 5; answer++) {
      near.data.next('answer');
      expect(String(await readBytes(raw, 7))).toBe('answer\n');
    }
    near.data.complete();
    expect(String(await readAll(raw))).toBe('');
  });

  it("C7: after a plain server's FIN, the client flushes everything already sent, then ends its own side", async () => {
    const { near, raw } = await dialledAt(place);
    const here = record(near.data);
    near.data.next(large);
    raw.end('bye');
    expect((await readAll(raw)).length).toBe(large.length);
    expect(await here.end()).toBe('complete');
    expect(String(Buffer.concat(here.values))).toBe('bye');
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished', bytesRead: 3 });
  });

  it('C7: a half-open client continues sending to a plain server that has finished', async () => {
    const { near, raw } = await dialledAt(place, { codec, halfOpen: true });
    const here = record(near.data);
    raw.end('go on\n');
    expect(await here.end()).toBe('complete');
    near.data.next('as you like');
    expect(String(await readBytes(raw, 12))).toBe('as you like\n');
    near.data.complete();
    await once(raw.resume(), 'end');
  });
});
