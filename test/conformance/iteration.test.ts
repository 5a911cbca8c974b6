import { setImmediate as nextTurn } from 'node:timers/promises';
import { map, mergeMap, startWith, tap } from 'rxjs';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { places, realPlaces } from '../support/transport/places.js';
import { acceptedAt, dialledAt, pairAt } from '../support/connection/connected-pairs.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const codec = lines();

describe.each(places)('async iteration, over $name', (place) => {
  it('F5: each next() makes the Flow emit one value, and nothing is emitted otherwise', async () => {
    const { near, far } = await pairAt(place, { codec });
    for (const line of ['a', 'b', 'c']) far.data.next(line);
    far.data.complete();
    await until(() => near.stats.bytesRead === 6);
    const emitted: string[] = [];
    const iterator = near.data.pipe(tap((line) => emitted.push(line)))[Symbol.asyncIterator]();
    await turns();
    expect(emitted).toEqual([]);
    for (const [index, value] of ['a', 'b', 'c'].entries()) {
      expect(await iterator.next()).toEqual({ done: false, value });
      await turns(3);
      expect(emitted.length).toBe(index + 1);
    }
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
  });

  it('F5: a slow loop makes the sender wait, and gets everything', async () => {
    const { near, far } = await pairAt(place, { maxBuffered: 1 << 26 });
    const sent = Buffer.alloc(1 << 23, 'x');
    far.data.next(sent);
    far.data.complete();
    let size = 0;
    for await (const chunk of near.data) {
      size += chunk.length;
      await nextTurn();
      await nextTurn();
      expect(near.stats.bytesRead - size).toBeLessThanOrEqual(2 * 65_536);
    }
    expect(size).toBe(sent.length);
  });

  it('F5: concurrent next() calls are answered in order', async () => {
    const { near, far } = await pairAt(place, { codec });
    const iterator = near.data[Symbol.asyncIterator]();
    const parked = [iterator.next(), iterator.next(), iterator.next()];
    for (const line of ['a', 'b', 'c', 'd']) far.data.next(line);
    expect(await Promise.all(parked)).toEqual(['a', 'b', 'c'].map((value) => ({ done: false, value })));
    const last = [iterator.next(), iterator.next(), iterator.next()];
    far.data.complete();
    expect(await Promise.all(last)).toEqual([
      { done: false, value: 'd' },
      { done: true, value: undefined },
      { done: true, value: undefined },
    ]);
  });

  it('F5: a break leaves the remaining values in the Flow, for the next loop or subscriber', async () => {
    const { near, far } = await pairAt(place, { codec });
    for (const line of ['a', 'b', 'c', 'd', 'e']) far.data.next(line);
    far.data.complete();
    const taken: string[] = [];
    for await (const line of near.data) {
      taken.push(line);
      if (line === 'b') break;
    }
    for await (const line of near.data) {
      taken.push(line);
      break;
    }
    expect(taken).toEqual(['a', 'b', 'c']);
    const rest = record(near.data);
    expect(await rest.end()).toBe('complete');
    expect(rest.values).toEqual(['d', 'e']);
  });

  it('F5: return() immediately settles pending next() calls as done', async () => {
    const { near, far } = await pairAt(place, { codec });
    const iterator = near.data[Symbol.asyncIterator]();
    const parked = [iterator.next(), iterator.next()];
    expect(await iterator.return?.()).toEqual({ done: true, value: undefined });
    expect(await Promise.all(parked)).toEqual([
      { done: true, value: undefined },
      { done: true, value: undefined },
    ]);
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
    // The iterator no longer holds the Flow, and is no longer subscribed to the Flow.
    const recording = record(near.data);
    far.data.next('a');
    await recording.count(1);
    expect(recording.values).toEqual(['a']);
  });

  it('F5: return() before the first next() subscribes to nothing and holds nothing', async () => {
    const { near, far } = await pairAt(place, { codec });
    const iterator = near.data[Symbol.asyncIterator]();
    await iterator.return?.();
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
    const recording = record(near.data);
    far.data.next('a');
    await recording.count(1);
  });

  it('F5: a loop gets the values before an error, then throws the error', async () => {
    const { near, far } = await pairAt(place, { codec });
    far.bytes.next(Buffer.concat([Buffer.from('a\nb\n'), Buffer.of(0xff, 0xff), Buffer.from('\nc\n')]));
    const taken: string[] = [];
    const loop = async (): Promise<void> => {
      for await (const line of near.data) taken.push(line);
    };
    await expect(loop()).rejects.toMatchObject({ code: 'ERR_FRAME_INVALID' });
    expect(taken).toEqual(['a', 'b']);
  });

  it('F5: after a destroy between two next() calls, the second call rejects, and later calls are done', async () => {
    const { near, far } = await pairAt(place, { codec });
    const iterator = near.data[Symbol.asyncIterator]();
    far.data.next('a');
    far.data.next('b');
    expect(await iterator.next()).toEqual({ done: false, value: 'a' });
    near.destroy('enough');
    await expect(iterator.next()).rejects.toMatchObject({ code: 'ERR_CLOSED', cause: 'enough' });
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
  });

  it('F5: a failure rejects the first pending next(), and the other pending calls are done', async () => {
    const { near } = await pairAt(place, { codec });
    const iterator = near.data[Symbol.asyncIterator]();
    const parked = [iterator.next(), iterator.next()];
    near.destroy();
    const settled = await Promise.allSettled(parked);
    expect(settled[0]).toMatchObject({ status: 'rejected', reason: { code: 'ERR_CLOSED' } });
    expect(settled[1]).toEqual({ status: 'fulfilled', value: { done: true, value: undefined } });
  });

  it('F5: after a throw in the loop, the remaining values stay in the Flow, as after a break', async () => {
    const { near, far } = await pairAt(place, { codec });
    far.data.next('a');
    far.data.next('b');
    const loop = async (): Promise<void> => {
      for await (const line of near.data) throw new Error(line);
    };
    await expect(loop()).rejects.toThrow('a');
    const rest = record(near.data);
    await rest.count(1);
    expect(rest.values).toEqual(['b']);
  });

  it('F5: two iterators advance at the pace of the slower iterator, and both iterators get every value', async () => {
    const { near, far } = await pairAt(place, { codec });
    const [one, two] = [near.data[Symbol.asyncIterator](), near.data[Symbol.asyncIterator]()];
    const first = [one.next(), two.next()];
    for (const line of ['a', 'b', 'c']) far.data.next(line);
    expect(await Promise.all(first)).toEqual(['a', 'a'].map((value) => ({ done: false, value })));
    const early = one.next();
    let settled = false;
    void early.then(() => (settled = true));
    await turns();
    expect(settled).toBe(false);
    expect(await two.next()).toEqual({ done: false, value: 'b' });
    expect(await early).toEqual({ done: false, value: 'b' });
  });

  it('F5: if an operator emits several values for one line, the loop gets these values one at a time, in order', async () => {
    const { near, far } = await pairAt(place, { codec });
    for (const line of ['a b c', 'd', 'e f']) far.data.next(line);
    far.data.complete();
    const taken: string[] = [];
    const words = near.data.pipe(
      mergeMap((line) => line.split(' ')),
      map((word) => word.toUpperCase()),
    );
    for await (const word of words) {
      await nextTurn();
      taken.push(word);
    }
    expect(taken).toEqual(['A', 'B', 'C', 'D', 'E', 'F']);
  });

  it('F5: the first next() gets the value of startWith, before any line is emitted', async () => {
    const { near, far } = await pairAt(place, { codec });
    for (const line of ['a', 'b']) far.data.next(line);
    await until(() => near.stats.bytesRead === 4);
    const emitted: string[] = [];
    const started = near.data.pipe(
      tap((line) => emitted.push(line)),
      startWith('first'),
    );
    const iterator = started[Symbol.asyncIterator]();
    expect(await iterator.next()).toEqual({ done: false, value: 'first' });
    await turns(3);
    expect(emitted).toEqual([]);
    expect(await iterator.next()).toEqual({ done: false, value: 'a' });
    expect(await iterator.next()).toEqual({ done: false, value: 'b' });
    await iterator.return?.();
  });

  it('F5: next() calls made during the delivery of a value are answered after that delivery', async () => {
    const { near, far } = await pairAt(place, { codec });
    for (const line of ['a', 'b', 'c', 'd']) far.data.next(line);
    await until(() => near.stats.bytesRead === 8);
    const inner: Promise<unknown>[] = [];
    const flow = near.data.pipe(tap((line) => line === 'b' && inner.push(iterator.next())));
    const iterator: AsyncIterator<string> = flow[Symbol.asyncIterator]();
    expect(await iterator.next()).toEqual({ done: false, value: 'a' });
    expect(await iterator.next()).toEqual({ done: false, value: 'b' });
    expect(await Promise.all(inner)).toEqual([{ done: false, value: 'c' }]);
    expect(await iterator.next()).toEqual({ done: false, value: 'd' });
    await iterator.return?.();
  });

  it('F5: a loop over a Flow that has ended is done immediately', async () => {
    const { near, far } = await pairAt(place, { codec });
    const recording = record(near.data);
    far.data.complete();
    await recording.end();
    for await (const line of near.data) expect.unreachable(line);
  });

  it('F5: if a Flow was destroyed before the iteration, the first next() throws', async () => {
    const { near } = await pairAt(place, { codec });
    near.destroy();
    const loop = async (): Promise<void> => {
      for await (const line of near.data) expect.unreachable(line);
    };
    await expect(loop()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });
});

describe.each(realPlaces)('async iteration, against node:net over $name', (place) => {
  it("F5: a loop gets every line of a plain client, and is done at the client's FIN", async () => {
    const { near, raw } = await acceptedAt(place, { codec });
    const sent = Array.from({ length: 10_000 }, (_, index) => `line ${index}`);
    raw.end(sent.join('\n'));
    const taken: string[] = [];
    for await (const line of near.data) taken.push(line);
    expect(taken).toEqual(sent);
  });

  it('F5: a loop that takes long to handle a value makes a plain server wait', async () => {
    const { near, raw } = await dialledAt(place);
    const sent = Buffer.alloc(1 << 23, 'x');
    raw.end(sent);
    let size = 0;
    for await (const chunk of near.data) {
      if (size === 0) {
        await turns();
        expect(raw.writableLength, 'the server still has bytes that nobody took').toBeGreaterThan(0);
      }
      size += chunk.length;
    }
    expect(size).toBe(sent.length);
  });
});
