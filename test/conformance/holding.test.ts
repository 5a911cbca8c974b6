import { firstValueFrom } from 'rxjs';
import type { Hold } from 'rxjs-sockets';
import { lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { allPlaces as places, allRealPlaces as realPlaces } from '../support/transport/places.js';
import { acceptedAt, dialledAt, pairAt } from '../support/connection/connected-pairs.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const codec = lines();

describe.each(places)('a held Flow, over $name', (place) => {
  it('F2: nothing is emitted while the Flow is held, and `release` emits the waiting values before `release` returns', async () => {
    const { near, far } = await pairAt(place, { codec });
    const hold = near.data.hold();
    const recording = record(near.data);
    far.data.next('a');
    far.data.next('b');
    await until(() => near.stats.bytesRead === 4);
    await turns();
    expect(recording.values).toEqual([]);
    hold.release();
    expect(recording.values).toEqual(['a', 'b']);
  });

  it('F2: a Hold that is taken in `next` stops the emission of the rest of the chunk', async () => {
    const { near, far } = await pairAt(place, { codec });
    const holds: Hold[] = [];
    const recording = record(near.data, () => holds.push(near.data.hold()));
    const sent = ['a', 'b', 'c', 'd'];
    for (const line of sent) far.data.next(line);
    for (const [index] of sent.entries()) {
      await recording.count(index + 1);
      expect(near.stats.bytesRead, 'all four came in one chunk').toBe(8);
      expect(recording.values).toEqual(sent.slice(0, index + 1));
      holds[index]?.release();
    }
    expect(recording.values).toEqual(sent);
  });

  it('F2: with several Holds, emission resumes when the last Hold is released', async () => {
    const { near, far } = await pairAt(place, { codec });
    const holds = [near.data.hold(), near.data.hold(), near.data.hold()];
    const recording = record(near.data);
    far.data.next('a');
    await until(() => near.stats.bytesRead === 2);
    for (const hold of holds) {
      expect(recording.values).toEqual([]);
      hold.release();
    }
    expect(recording.values).toEqual(['a']);
  });

  it('F2: release is idempotent, so one Hold never releases another Hold', async () => {
    const { near, far } = await pairAt(place, { codec });
    const first = near.data.hold();
    const second = near.data.hold();
    const recording = record(near.data);
    far.data.next('a');
    await until(() => near.stats.bytesRead === 2);
    first.release();
    first.release();
    first[Symbol.dispose]();
    expect(recording.values).toEqual([]);
    second.release();
    second.release();
    expect(recording.values).toEqual(['a']);
    const third = near.data.hold();
    far.data.next('b');
    await until(() => near.stats.bytesRead === 4);
    first.release();
    second.release();
    expect(recording.values).toEqual(['a']);
    third[Symbol.dispose]();
    expect(recording.values).toEqual(['a', 'b']);
  });

  it('F2: a Hold that is taken right after subscribing stops even the first value, because subscribe itself emits nothing', async () => {
    const { near, far } = await pairAt(place, { codec });
    far.data.next('a');
    await until(() => near.stats.bytesRead === 2);
    const recording = record(near.data);
    const hold = near.data.hold();
    await turns();
    expect(recording.values).toEqual([]);
    hold.release();
    expect(recording.values).toEqual(['a']);
  });

  it('F2: a Hold can be taken before the first subscription, and unsubscribing does not release the Hold', async () => {
    const { near, far } = await pairAt(place, { codec });
    const hold = near.data.hold();
    const first = record(near.data);
    far.data.next('a');
    await until(() => near.stats.bytesRead === 2);
    first.subscription.unsubscribe();
    const second = record(near.data);
    await turns();
    expect(second.values).toEqual([]);
    hold.release();
    expect([first.values, second.values]).toEqual([[], ['a']]);
  });

  it('F2: a release without a subscriber emits nothing and loses nothing', async () => {
    const { near, far } = await pairAt(place, { codec });
    const hold = near.data.hold();
    far.data.next('a');
    await until(() => near.stats.bytesRead === 2);
    hold.release();
    await turns();
    expect(await firstValueFrom(near.data)).toBe('a');
  });

  it('F2: while the Flow is held, neither the remaining values nor the completion is emitted', async () => {
    const { near, far } = await pairAt(place, { codec });
    const hold = near.data.hold();
    const recording = record(near.data);
    far.data.next('last');
    far.data.complete();
    near.data.complete();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
    expect([recording.values, recording.endings]).toEqual([[], []]);
    hold.release();
    expect([recording.values, recording.endings]).toEqual([['last'], ['complete']]);
  });

  it('F2: a value that is being emitted reaches every subscriber, even if the first subscriber holds the Flow in its `next`', async () => {
    const { near, far } = await pairAt(place, { codec });
    let hold: Hold | undefined;
    const first = record(near.data, () => (hold = near.data.hold()));
    const second = record(near.data);
    far.data.next('a');
    far.data.next('b');
    await first.count(1);
    expect([first.values, second.values]).toEqual([['a'], ['a']]);
    hold?.release();
    expect([first.values, second.values]).toEqual([
      ['a', 'b'],
      ['a', 'b'],
    ]);
  });

  it('F3: while the Flow is held, reading stops after 65,536 bytes and the current chunk, and `release` resumes reading', async () => {
    const { near, far } = await pairAt(place, { maxBuffered: 1 << 26 });
    const sent = Buffer.alloc(1 << 24, 'x');
    let size = 0;
    let hold: Hold | undefined;
    const recording = record(near.data, (chunk) => {
      size += chunk.length;
      hold ??= near.data.hold();
    });
    far.data.next(sent);
    far.data.complete();
    await recording.count(1);
    await until(() => near.stats.bytesRead - size >= 65_536);
    await turns();
    expect(near.stats.bytesRead - size).toBeLessThanOrEqual(2 * 65_536);
    expect(far.data.bufferedBytes, 'the sender feels it').toBeGreaterThan(1 << 20);
    hold?.release();
    expect(await recording.end()).toBe('complete');
    expect(size).toBe(sent.length);
  });

  it('F3: an unfinished frame stays buffered while the Flow is held, and is completed after the release', async () => {
    const { near, far } = await pairAt(place, { codec: lengthPrefixed(), maxBuffered: 1 << 26 });
    const recording = record(near.data);
    far.bytes.next(Buffer.of(0, 8, 0, 0));
    far.bytes.next(Buffer.alloc(400_000, 'a'));
    await until(() => near.stats.bytesRead === 400_004);
    const hold = near.data.hold();
    far.bytes.next(Buffer.alloc(8 * 65_536 - 400_000, 'a'));
    far.bytes.next(Buffer.alloc(1 << 22));
    await turns();
    expect(near.stats.bytesRead).toBeLessThanOrEqual(400_004 + 2 * 65_536);
    expect(recording.values).toEqual([]);
    hold.release();
    const [frame] = await recording.count(1);
    expect(frame?.equals(Buffer.alloc(8 * 65_536, 'a'))).toBe(true);
  });
});

describe.each(realPlaces)('a held Flow, against node:net over $name', (place) => {
  it('F3: a Hold makes a plain client wait, and all bytes of the client arrive after the release', async () => {
    const { near, raw } = await acceptedAt(place);
    const hold = near.data.hold();
    let size = 0;
    const recording = record(near.data, (chunk) => (size += chunk.length));
    const sent = Buffer.alloc(1 << 24, 'z');
    raw.end(sent);
    await until(() => near.stats.bytesRead >= 65_536);
    await turns();
    expect(near.stats.bytesRead).toBeLessThanOrEqual(2 * 65_536);
    expect(raw.writableLength).toBeGreaterThan(0);
    hold.release();
    expect(await recording.end()).toBe('complete');
    expect(size).toBe(sent.length);
  });

  it('F3: while a Flow is held and released over and over, each line of a plain server is delivered once', async () => {
    const { near, raw } = await dialledAt(place, { codec });
    const sent = Array.from({ length: 20_000 }, (_, index) => `line ${index}`);
    raw.end(sent.map((line) => `${line}\n`).join(''));
    const recording = record(near.data, () => {
      if (recording.values.length % 97 !== 0) return;
      const hold = near.data.hold();
      setImmediate(() => hold.release());
    });
    expect(await recording.end()).toBe('complete');
    expect(recording.values).toEqual(sent);
  });
});
