import { firstValueFrom, type Observer, take } from 'rxjs';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { allPlaces as places, allRealPlaces as realPlaces } from '../support/transport/places.js';
import { acceptedAt, pairAt } from '../support/connection/connected-pairs.js';
import { record, type Recording } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const codec = lines();
const numbered = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index));

describe.each(places)('several subscribers, over $name', (place) => {
  it('F4: all subscribers that join in the same turn get the same values in the same order', async () => {
    const { near, far } = await pairAt(place, { codec });
    for (const line of ['a', 'b', 'c']) far.data.next(line);
    await until(() => near.stats.bytesRead === 6);
    const order: string[] = [];
    const recordings = ['first', 'second', 'third'].map((name) =>
      record(near.data, (line) => order.push(`${name} ${line}`)),
    );
    far.data.complete();
    for (const recording of recordings) {
      expect(await recording.end()).toBe('complete');
      expect(recording.values).toEqual(['a', 'b', 'c']);
    }
    expect(order).toEqual(['a', 'b', 'c'].flatMap((line) => [`first ${line}`, `second ${line}`, `third ${line}`]));
  });

  it('F4: a later subscriber, even if it subscribes within `next`, gets only the values after its subscription', async () => {
    const { near, far } = await pairAt(place, { codec });
    let late: Recording<string> | undefined;
    const early = record(near.data, () => (late ??= record(near.data)));
    for (const line of ['a', 'b', 'c']) far.data.next(line);
    await early.count(3);
    expect(early.values).toEqual(['a', 'b', 'c']);
    expect(late?.values).toEqual(['b', 'c']);
  });

  it('F4: a subscriber that leaves within `next`, or that another subscriber unsubscribes, gets nothing more', async () => {
    const { near, far } = await pairAt(place, { codec });
    const first = record(near.data, (line) => {
      if (line === 'b') third.subscription.unsubscribe();
      if (line === 'c') first.subscription.unsubscribe();
    });
    const second = record(near.data);
    const third = record(near.data);
    for (const line of ['a', 'b', 'c', 'd']) far.data.next(line);
    await second.count(4);
    expect([first.values, second.values, third.values]).toEqual([['a', 'b', 'c'], ['a', 'b', 'c', 'd'], ['a']]);
  });

  it('F4: every subscriber is notified of the end, even a subscriber that joins after the end', async () => {
    const { near, far } = await pairAt(place, { codec });
    const recordings = [record(near.data), record(near.data)];
    far.data.next('a');
    far.data.complete();
    for (const recording of recordings) expect(await recording.end()).toBe('complete');
    const late = record(near.data);
    expect([late.values, late.endings]).toEqual([[], ['complete']]);
  });

  it('F8: after a release within `next`, further values are emitted only when that call of `next` has returned', async () => {
    const { near, far } = await pairAt(place, { codec });
    let depth = 0;
    let deepest = 0;
    const recording = record(near.data, () => {
      deepest = Math.max(deepest, ++depth);
      const hold = near.data.hold();
      hold.release();
      depth--;
    });
    const sent = numbered(30_000);
    for (const line of sent) far.data.next(line);
    await recording.count(sent.length);
    expect(recording.values).toEqual(sent);
    expect(deepest).toBe(1);
  });

  it('F8: sending, holding, subscribing and unsubscribing within `next` keep the order of the values and do not grow the stack', async () => {
    const { near, far } = await pairAt(place, { codec, maxBuffered: 1 << 24 });
    const count = 30_000;
    const received: string[] = [];
    const depths = new Set<number>();
    const stackDepth = (): number => {
      const { stackTraceLimit } = Error;
      Error.stackTraceLimit = Infinity;
      const depth = new Error().stack?.split('\n').length ?? 0;
      Error.stackTraceLimit = stackTraceLimit;
      return depth;
    };
    const echoed = record(far.data);
    const subscribe = (): void => {
      if (received.length === count) return;
      const hold = near.data.hold();
      near.data.pipe(take(1)).subscribe((line) => {
        received.push(line);
        if (received.length % 1_000 === 0) depths.add(stackDepth());
        near.data.next(line);
        subscribe();
      });
      hold.release();
    };
    subscribe();
    const sent = numbered(count);
    for (const line of sent) far.data.next(line);
    await echoed.count(count);
    expect(received).toEqual(sent);
    expect(echoed.values).toEqual(sent);
    expect(Math.max(...depths)).toBeLessThan(100);
  });

  it('F8: after a destroy within `next`, all subscribers still get the current value, then the end', async () => {
    const { near, far } = await pairAt(place, { codec });
    const events: string[] = [];
    const observer = (name: string, then: () => void): Partial<Observer<string>> => ({
      next: (line) => {
        events.push(`${name} ${line}`);
        then();
        events.push(`${name} done`);
      },
      error: (error: { code: string }) => events.push(`${name} ${error.code}`),
      complete: () => events.push(`${name} complete`),
    });
    near.data.subscribe(observer('first', () => near.destroy()));
    near.data.subscribe(observer('second', () => undefined));
    far.data.next('a');
    far.data.next('b');
    await firstValueFrom(near.closed);
    await turns();
    expect(events).toEqual([
      'first a',
      'first done',
      'second a',
      'second done',
      'first ERR_CLOSED',
      'second ERR_CLOSED',
    ]);
  });

  it('F8: after `unsubscribe`, a subscriber gets no notification, neither a value nor the end', async () => {
    const { near, far } = await pairAt(place, { codec });
    const left = record(near.data);
    const stays = record(near.data);
    far.data.next('a');
    await stays.count(1);
    left.subscription.unsubscribe();
    far.data.next('b');
    far.data.complete();
    expect(await stays.end()).toBe('complete');
    expect([left.values, left.endings]).toEqual([['a'], []]);
  });

  it('F8: a subscriber gets one terminal notification, even if the connection is ended several times', async () => {
    const { near, far } = await pairAt(place, { codec });
    const recording = record(near.data, () => {
      near.destroy('first');
      near.data.error('second');
      void near.close();
      near.destroy('third');
    });
    far.data.next('a');
    far.data.next('b');
    await firstValueFrom(near.closed);
    near.destroy('fourth');
    await turns();
    expect(recording.values).toEqual(['a']);
    expect(recording.endings).toEqual([expect.objectContaining({ code: 'ERR_CLOSED', cause: 'first' })]);
  });

  it('F8: a `complete` within `next` ends only the sending side', async () => {
    const { near, far } = await pairAt(place, { codec, halfOpen: true });
    const there = record(far.data);
    const here = record(near.data, (line) => {
      if (line === 'b') near.data.complete();
    });
    for (const line of ['a', 'b', 'c']) far.data.next(line);
    expect(await there.end()).toBe('complete');
    far.data.next('d');
    far.data.complete();
    expect(await here.end()).toBe('complete');
    expect(here.values).toEqual(['a', 'b', 'c', 'd']);
  });

  it('F8: a subscriber that throws affects neither the other subscribers nor the connection', async () => {
    const { near, far } = await pairAt(place, { codec });
    const thrown: unknown[] = [];
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', (error) => thrown.push(error));
    try {
      near.data.subscribe(() => {
        throw new Error('a bug in a subscriber');
      });
      const other = record(near.data);
      far.data.next('a');
      far.data.next('b');
      await other.count(2);
      await until(() => thrown.length === 2);
      expect(other.values).toEqual(['a', 'b']);
      near.data.complete();
      far.data.complete();
      await other.end();
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of listeners) process.on('uncaughtException', listener);
    }
  });
});

describe.each(realPlaces)('several subscribers, against node:net over $name', (place) => {
  it('F4: each subscriber gets every line of a plain client, and the end', async () => {
    const { near, raw } = await acceptedAt(place, { codec });
    const recordings = [record(near.data), record(near.data)];
    const sent = numbered(5_000);
    raw.end(sent.join('\n'));
    for (const recording of recordings) {
      expect(await recording.end()).toBe('complete');
      expect(recording.values).toEqual(sent);
    }
  });
});
