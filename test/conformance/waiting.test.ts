import { firstValueFrom, take } from 'rxjs';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { allPlaces as places, allRealPlaces as realPlaces } from '../support/transport/places.js';
import { acceptedAt, dialledAt, pairAt } from '../support/connection/connected-pairs.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const codec = lines();

describe.each(places)('a Flow without subscribers, over $name', (place) => {
  it('F1: before the first subscriber nothing is emitted or lost', async () => {
    const { near, far } = await pairAt(place, { codec });
    far.data.next('one');
    far.data.next('two');
    await until(() => near.stats.bytesRead === 8);
    const recording = record(near.data);
    expect(recording.values, 'subscribe itself emits no value').toEqual([]);
    await recording.count(2);
    far.data.next('three');
    await recording.count(3);
    expect(recording.values).toEqual(['one', 'two', 'three']);
  });

  it('F1: a Flow stops emitting when the last subscriber leaves, and the next subscriber gets the remaining values', async () => {
    const { near, far } = await pairAt(place, { codec });
    for (const line of ['a', 'b', 'c', 'd', 'e']) far.data.next(line);
    await until(() => near.stats.bytesRead === 10);
    const first = record(near.data.pipe(take(2)));
    await first.end();
    await turns();
    expect(first.values).toEqual(['a', 'b']);

    const second = record(near.data, (line) => {
      if (line === 'd') second.subscription.unsubscribe();
    });
    await second.count(2);
    await turns();
    expect(second.values).toEqual(['c', 'd']);
    expect(await firstValueFrom(near.data)).toBe('e');
  });

  it('F1: a Flow continues emitting when one of several subscribers leaves', async () => {
    const { near, far } = await pairAt(place, { codec });
    const stays = record(near.data);
    const leaves = record(near.data.pipe(take(1)));
    far.data.next('a');
    far.data.next('b');
    await stays.count(2);
    expect(leaves.values).toEqual(['a']);
    expect(stays.values).toEqual(['a', 'b']);
  });

  it('F1: firstValueFrom takes exactly one message, and the next subscriber gets the following message', async () => {
    const { near, far } = await pairAt(place, { codec });
    const sent = Array.from({ length: 20 }, (_, index) => `line ${index}`);
    for (const line of sent) far.data.next(line);
    const received: string[] = [];
    for (const _ of sent) received.push(await firstValueFrom(near.data));
    expect(received).toEqual(sent);
  });

  it('F1: if one subscriber leaves and another subscriber joins while values are being emitted, no value is lost', async () => {
    const { near, far } = await pairAt(place, { codec });
    const received: string[] = [];
    const sent = Array.from({ length: 100 }, (_, index) => String(index));
    const next = (): void => {
      if (received.length === sent.length) return;
      near.data.pipe(take(1)).subscribe({ next: (line) => received.push(line), complete: next });
    };
    next();
    for (const line of sent) far.data.next(line);
    await until(() => received.length === sent.length);
    expect(received).toEqual(sent);
  });

  it('F1: without a reader, a connection notices the end of the stream if at most 65,536 bytes precede it, and no byte is lost', async () => {
    const { near, far } = await pairAt(place, { halfOpen: false });
    far.data.next(Buffer.alloc(65_536, 'x'));
    far.data.complete();
    const closed = await firstValueFrom(near.closed);
    expect(closed).toMatchObject({ reason: 'finished', bytesRead: 65_536 });
    const recording = record(near.data);
    expect(await recording.end()).toBe('complete');
    expect(Buffer.concat(recording.values)).toEqual(Buffer.alloc(65_536, 'x'));
  });

  it('F1: without a reader, a connection reads ahead at most 65,536 bytes and the current chunk', async () => {
    const { near, far } = await pairAt(place, { maxBuffered: 1 << 26 });
    const sent = Buffer.alloc(1 << 24, 'x');
    far.data.next(sent);
    await until(() => near.stats.bytesRead >= 65_536);
    await turns();
    expect(near.stats.bytesRead).toBeLessThanOrEqual(2 * 65_536);
    const recording = record(near.data);
    far.data.complete();
    await recording.end();
    expect(Buffer.concat(recording.values).equals(sent)).toBe(true);
  });
});

describe.each(realPlaces)('a Flow without subscribers, against node:net over $name', (place) => {
  it('F1: if a plain client sends and ends before the first subscription, everything is kept, even the FIN', async () => {
    const { near, raw } = await acceptedAt(place, { codec });
    raw.end('one\ntwo\nthree');
    await until(() => near.stats.bytesRead === 13);
    await turns();
    const recording = record(near.data);
    expect(await recording.end()).toBe('complete');
    expect(recording.values).toEqual(['one', 'two', 'three']);
  });

  it('F1: a plain server has to wait while the connection has no reader, and no byte is lost', async () => {
    const { near, raw } = await dialledAt(place);
    const sent = Buffer.alloc(1 << 24, 'y');
    raw.end(sent);
    await until(() => near.stats.bytesRead >= 65_536);
    await turns();
    expect(near.stats.bytesRead).toBeLessThanOrEqual(2 * 65_536);
    expect(raw.writableLength, 'the peer is still waiting').toBeGreaterThan(0);
    let size = 0;
    const recording = record(near.data, (chunk) => (size += chunk.length));
    expect(await recording.end()).toBe('complete');
    expect(size).toBe(sent.length);
  });
});
