import { concat, firstValueFrom, interval, map, NEVER, Observable, of, Subject, throwError } from 'rxjs';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { countedSource } from '../support/flow/counted-source.js';
import '../support/leaks.js';
import { allPlaces as places, realPlaces } from '../support/transport/places.js';
import { acceptedAt, dialledAt, pairAt } from '../support/connection/connected-pairs.js';
import { abort, readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const codec = lines();

describe.each(places)('sendFrom, over $name', (place) => {
  it('C5: values from arrays, promises, Observables, iterables, async iterables and Flows arrive complete and in order', async () => {
    const { near, far } = await pairAt(place, { codec });
    const other = await pairAt(place, { codec });
    const received = record(far.data);
    for (const line of ['x', 'y']) other.far.data.next(line);
    other.far.data.complete();
    const sources = [
      ['1', '2'],
      Promise.resolve('3'),
      of('4', '5'),
      new Set(['6', '7']),
      (async function* () {
        yield '8';
        await turns(1);
        yield '9';
      })(),
      other.near.data,
      'ab',
    ];
    for (const source of sources) expect(await record(near.data.sendFrom(source)).end()).toBe('complete');
    near.data.complete();
    await received.end();
    expect(received.values).toEqual([...'123456789', 'x', 'y', 'a', 'b']);
  });

  it('C5: each subscription to the output of sendFrom subscribes to the source again and sends the values of the source', async () => {
    const { near, far } = await pairAt(place, { codec });
    const received = record(far.data);
    let subscriptions = 0;
    const source = new Observable<string>((subscriber) => {
      subscriptions++;
      subscriber.next('a');
      subscriber.complete();
    });
    const sending = near.data.sendFrom(source);
    await turns();
    expect(subscriptions).toBe(0);
    await record(sending).end();
    await record(sending).end();
    await received.count(2);
    expect(subscriptions).toBe(2);
  });

  it('C5: a source that always has a value ready is pulled only as fast as the peer reads, and all values of the source arrive', async () => {
    const { near, far } = await pairAt(place, { maxBuffered: 100_000 });
    const hold = far.data.hold();
    let size = 0;
    const received = record(far.data, (chunk) => (size += chunk.length));
    let pulled = 0;
    const generate = async function* (): AsyncGenerator<Buffer> {
      for (; pulled < 10_000; pulled++) yield Buffer.alloc(1_000);
    };
    const sending = record(near.data.sendFrom(generate()));
    await until(() => far.stats.bytesRead >= 65_536);
    await turns(200);
    expect(pulled, 'what both ends and the kernel hold').toBeLessThan(9_000);
    expect(near.data.bufferedBytes).toBeLessThanOrEqual(66_536);
    hold.release();
    expect(await sending.end()).toBe('complete');
    near.data.complete();
    await received.end();
    expect(size).toBe(10_000_000);
  });

  it('C5: sendFrom holds a Flow while the channel is not writable', async () => {
    const source = await pairAt(place, { maxBuffered: 1 << 26 });
    const target = await pairAt(place);
    const hold = target.far.data.hold();
    let size = 0;
    const received = record(target.far.data, (chunk) => (size += chunk.length));
    const sending = record(target.near.data.sendFrom(source.near.data));
    source.far.data.next(Buffer.alloc(1 << 24));
    source.far.data.complete();
    await until(() => source.near.stats.bytesRead > 0);
    await turns(100);
    expect(source.near.stats.bytesRead).toBeLessThan(1 << 23);
    expect(target.near.data.bufferedBytes).toBeLessThanOrEqual(2 * 65_536);
    hold.release();
    expect(await sending.end()).toBe('complete');
    target.near.data.complete();
    await received.end();
    expect(size).toBe(1 << 24);
  });

  it('C5: unsubscribing from sendFrom stops the source and leaves the channel open', async () => {
    const { near, far } = await pairAt(place, { codec });
    const received = record(far.data);
    const { counts, source } = countedSource('line');
    const subscription = near.data.sendFrom(source).subscribe();
    await received.count(100);
    subscription.unsubscribe();
    await until(() => counts.stopped === 1);
    const { pulled } = counts;
    near.data.next('last');
    near.data.complete();
    expect(await received.end()).toBe('complete');
    expect(counts.pulled).toBe(pulled);
    expect(received.values.at(-1)).toBe('last');
  });

  it('C5: if you unsubscribe while sendFrom sends a Flow, the remaining values stay in the Flow, and the Flow is released', async () => {
    const { near, far } = await pairAt(place, { codec });
    const target = await pairAt(place, { codec });
    const received = record(target.far.data, () => subscription.unsubscribe());
    const subscription = target.near.data.sendFrom(near.data).subscribe();
    far.data.next('a');
    await received.count(1);
    far.data.next('b');
    expect(await firstValueFrom(near.data)).toBe('b');
  });

  it('C5: if the source fails, sendFrom fails with the error of the source, and the channel stays open', async () => {
    const { near, far } = await pairAt(place, { codec });
    const received = record(far.data);
    const cause = new Error('the source');
    const failing = async function* (): AsyncGenerator<string> {
      yield 'from the iterable';
      await turns(1);
      throw cause;
    };
    const sources = [
      failing(),
      concat(
        of('from the Observable'),
        throwError(() => cause),
      ),
      new Promise<string>((_, reject) => setImmediate(reject, cause)),
      (function* () {
        yield 'from the iterator';
        throw cause;
      })(),
    ];
    const sendings = sources.map((source) => record(near.data.sendFrom(source)));
    for (const sending of sendings) expect(await sending.end()).toBe(cause);
    expect(near.data.closed).toBe(false);
    near.data.complete();
    expect(await received.end()).toBe('complete');
    expect(received.values.toSorted()).toEqual(['from the Observable', 'from the iterable', 'from the iterator']);
  });

  it("C5: if the channel ends before the source, sendFrom fails with ERR_CLOSED or the channel's error, and stops the source", async () => {
    const completed = await pairAt(place, { codec });
    const one = countedSource('line');
    const first = record(completed.near.data.sendFrom(one.source));
    await until(() => one.counts.pulled > 10);
    completed.near.data.complete();
    expect(first.endings).toMatchObject([{ code: 'ERR_CLOSED' }]);
    await until(() => one.counts.stopped === 1);

    const destroyed = await pairAt(place, { codec });
    const two = countedSource('line');
    const second = record(destroyed.near.data.sendFrom(two.source));
    await until(() => two.counts.pulled > 10);
    destroyed.near.destroy('why');
    expect(second.endings).toMatchObject([{ code: 'ERR_CLOSED', cause: 'why' }]);
    await until(() => two.counts.stopped === 1);
  });

  it('C5: on a channel that has ended, sendFrom fails at once and pulls nothing from the source', async () => {
    const { near } = await pairAt(place, { codec });
    near.data.complete();
    const { counts, source } = countedSource('line');
    expect(record(near.data.sendFrom(source)).endings).toMatchObject([{ code: 'ERR_CLOSED' }]);
    let subscribed = 0;
    record(
      near.data.sendFrom(
        new Observable<string>(() => {
          subscribed++;
        }),
      ),
    );
    await turns();
    expect([counts.pulled, subscribed]).toEqual([0, 0]);
  });

  it('C5: a silent source that never ends is stopped when the channel ends', async () => {
    const { near } = await pairAt(place, { codec });
    const subject = new Subject<string>();
    const sendings = [record(near.data.sendFrom(NEVER)), record(near.data.sendFrom(subject))];
    expect(subject.observed).toBe(true);
    near.destroy();
    for (const sending of sendings) expect(sending.endings).toMatchObject([{ code: 'ERR_CLOSED' }]);
    expect(subject.observed).toBe(false);
  });
});

describe.each(realPlaces)('sendFrom, against node:net over $name', (place) => {
  it('C5: a plain client gets the values of the source', async () => {
    const { near, raw } = await acceptedAt(place, { codec });
    const sent = Array.from({ length: 10_000 }, (_, index) => String(index));
    near.data.sendFrom(sent).subscribe({ complete: () => near.data.complete() });
    expect(String(await readAll(raw))).toBe(sent.map((line) => `${line}\n`).join(''));
  });

  it('C5: after a reset by a plain server, sendFrom fails with ECONNRESET and stops the source', async () => {
    const { near, raw } = await dialledAt(place, { codec });
    const subject = new Subject<string>();
    const sending = record(near.data.sendFrom(subject));
    await abort(raw, near);
    expect(await sending.end()).toMatchObject({ code: 'ECONNRESET' });
    expect(subject.observed).toBe(false);
  });

  it('C5: unsubscribing from sendFrom stops a source that uses a timer, and leaves no timer', async () => {
    const { near, raw } = await acceptedAt(place, { codec });
    const subscription = near.data.sendFrom(interval(1).pipe(map((tick) => `tick ${tick}`))).subscribe();
    await new Promise((resolve) => raw.once('data', resolve));
    subscription.unsubscribe();
    near.data.complete();
    await readAll(raw);
  });
});
