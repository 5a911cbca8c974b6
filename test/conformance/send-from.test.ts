import { concat, firstValueFrom, from, interval, map, NEVER, Observable, of, range, Subject, throwError } from 'rxjs';
import { connect } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { acceptedAt, dialledAt, pairAt, places, realPlaces } from '../support/places.js';
import { abort, readAll } from '../support/raw.js';
import { record } from '../support/recording.js';
import { scripted } from '../support/scripted.js';
import { turns, until } from '../support/turns.js';

const codec = lines();
const ten = 'x'.repeat(10);

/** An async iterable without end that counts what was asked of it. */
function countedSource(value: string) {
  const counts = { pulled: 0, stopped: 0 };
  async function* generate(): AsyncGenerator<string> {
    try {
      for (;;) {
        counts.pulled++;
        yield value;
      }
    } finally {
      counts.stopped++;
    }
  }
  return { counts, source: generate() };
}

describe('sendFrom and send, with a kernel that does as the test says', () => {
  it('C5: an async iterable is asked for a value while the channel is writable, and never for one more', async () => {
    const { near, socket } = await scripted({ highWaterMark: 100 });
    socket.eager = false;
    const { counts, source } = countedSource(ten);
    const subscription = near.data.sendFrom(source).subscribe();
    for (let round = 1; round <= 3; round++) {
      await turns();
      expect([near.data.bufferedBytes, counts.pulled]).toEqual([110, 11 * round]);
      while (near.data.bufferedBytes > 110 - 60) socket.take(10);
      expect([near.data.bufferedBytes, counts.pulled]).toEqual([50, 11 * round]);
      socket.take();
    }
    await turns();
    subscription.unsubscribe();
    await until(() => counts.stopped === 1);
    const after = counts.pulled;
    for (let index = 0; index < 5; index++) {
      if (socket.unsent > 0) socket.take();
      await turns(3);
    }
    expect(counts.pulled).toBe(after);
    expect(near.data.closed).toBe(false);
  });

  it('C5: so is an iterable: exactly as many as make the channel not writable', async () => {
    const { near, socket } = await scripted({ highWaterMark: 100 });
    socket.eager = false;
    let pulled = 0;
    const source = {
      *[Symbol.iterator](): Generator<string> {
        for (;;) {
          pulled++;
          yield ten;
        }
      },
    };
    const subscription = near.data.sendFrom(source).subscribe();
    expect([pulled, near.data.bufferedBytes]).toEqual([11, 110]);
    await turns();
    expect(pulled).toBe(11);
    socket.take(59);
    await turns();
    expect(pulled).toBe(11);
    socket.take(51);
    expect([pulled, near.data.bufferedBytes]).toEqual([22, 110]);
    subscription.unsubscribe();
  });

  it('C5: it completes once the kernel has taken everything, and sends no FIN', async () => {
    const { near, socket } = await scripted();
    socket.eager = false;
    const sending = record(near.data.sendFrom(['a', 'b']));
    await turns();
    near.data.next('not part of it');
    expect(sending.endings).toEqual([]);
    socket.take(1);
    await turns();
    expect(sending.endings).toEqual([]);
    socket.take(1);
    expect(sending.endings).toEqual(['complete']);
    expect([near.data.closed, socket.ended]).toEqual([false, false]);
  });

  it('C5: of an empty source it completes at once, unless something waits', async () => {
    const { near, socket } = await scripted();
    expect(record(near.data.sendFrom([])).endings).toEqual(['complete']);
    socket.eager = false;
    near.data.next('waits');
    const sending = record(near.data.sendFrom([]));
    await turns();
    expect(sending.endings).toEqual([]);
    socket.take();
    expect(sending.endings).toEqual(['complete']);
  });

  it('C5: a failure while it flushes fails it, with what ended the channel', async () => {
    const { near, socket } = await scripted();
    socket.eager = false;
    const sending = record(near.data.sendFrom(['a', 'b']));
    await turns();
    near.destroy('enough');
    expect(sending.endings).toMatchObject([{ code: 'ERR_CLOSED', cause: 'enough' }]);
  });

  it('C5: complete() while it flushes loses nothing of it', async () => {
    const { near, socket } = await scripted();
    socket.eager = false;
    const sending = record(near.data.sendFrom(['a', 'b']));
    await turns();
    near.data.complete();
    expect(sending.endings).toEqual([]);
    socket.take();
    expect([sending.endings, socket.ended]).toEqual([['complete'], true]);
  });

  it('C5: send resolves at once while the channel is writable, and otherwise when it is again', async () => {
    const { near, socket } = await scripted({ highWaterMark: 100 });
    socket.eager = false;
    await near.data.send('x'.repeat(100));
    const settled: string[] = [];
    const first = near.data.send('over the mark').then(() => settled.push('first'));
    const second = near.data.send('more').then(() => settled.push('second'));
    await turns();
    expect(settled).toEqual([]);
    socket.take(67);
    await turns();
    expect(settled, '50 bytes are left, but not yet asked for').toEqual([]);
    socket.take();
    await Promise.all([first, second]);
    expect(settled).toEqual(['first', 'second']);
  });

  it('C5: send resolves also where its own bytes were taken, though others keep the channel full', async () => {
    const { near, socket } = await scripted({ highWaterMark: 100 });
    socket.eager = false;
    const sending = near.data.send('x'.repeat(101));
    await turns(1);
    near.data.next('y'.repeat(101));
    socket.take();
    await sending;
    expect(near.data.bufferedBytes).toBe(101);
  });

  it('C5: a send whose value was not written rejects with what closed the channel; one that was written does not', async () => {
    const { near, socket } = await scripted({ highWaterMark: 10, maxBuffered: 1_000 });
    socket.eager = false;
    const sends = [near.data.send('x'.repeat(20)), near.data.send('y'.repeat(20)), near.data.send('z'.repeat(20))];
    const settled = Promise.allSettled(sends);
    await turns();
    socket.take(40);
    near.destroy('reason');
    expect(await settled).toMatchObject([
      { status: 'fulfilled' },
      { status: 'fulfilled' },
      { status: 'rejected', reason: { code: 'ERR_CLOSED', cause: 'reason' } },
    ]);
  });

  it('C5: a send that waits while complete() flushes it resolves', async () => {
    const { near, socket } = await scripted({ highWaterMark: 10 });
    socket.eager = false;
    const sending = near.data.send('x'.repeat(20));
    near.data.complete();
    await turns();
    socket.take();
    await sending;
  });

  it("C5: overflow holds for send, too: it rejects with ERR_OVERFLOW, with 'error' and with 'drop'", async () => {
    const dropping = await scripted({ maxBuffered: 100, overflow: 'drop' });
    dropping.socket.eager = false;
    void dropping.near.data.send('x'.repeat(100));
    await turns(1);
    await expect(dropping.near.data.send('x')).rejects.toMatchObject({ code: 'ERR_OVERFLOW' });
    expect([dropping.near.data.dropped, dropping.near.data.closed]).toEqual([1, false]);

    const failing = await scripted({ maxBuffered: 100, highWaterMark: 10 });
    failing.socket.eager = false;
    const waiting = failing.near.data.send('x'.repeat(100));
    await turns(1);
    const refused = failing.near.data.send('x');
    await expect(refused).rejects.toMatchObject({ code: 'ERR_OVERFLOW' });
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_OVERFLOW' });
    expect(failing.near.data.closed).toBe(true);
  });

  it("C5: a plain Observable's values are given to next, so overflow acts", async () => {
    const { near, socket } = await scripted({ maxBuffered: 100 });
    socket.eager = false;
    near.data.next(ten);
    await turns(1);
    const sending = record(near.data.sendFrom(range(0, 1_000).pipe(map(() => ten))));
    expect(sending.endings).toMatchObject([{ code: 'ERR_OVERFLOW' }]);
    expect(await firstValueFrom(near.closed)).toMatchObject({ error: { code: 'ERR_OVERFLOW' } });
  });
});

describe.each(places)('sendFrom, over $name', (place) => {
  it('C5: arrays, promises, Observables, iterables, async iterables and Flows arrive whole and in order', async () => {
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

  it('C5: it is cold: each subscription sends', async () => {
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

  it('C5: a source as fast as it can be stays bounded, and all of it arrives', async () => {
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

  it('C5: a Flow is held while the channel is not writable', async () => {
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

  it('C5: unsubscribing stops the source and leaves the channel open', async () => {
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

  it('C5: unsubscribing from the sending of a Flow leaves the rest in the Flow, and nothing held', async () => {
    const { near, far } = await pairAt(place, { codec });
    const target = await pairAt(place, { codec });
    const received = record(target.far.data, () => subscription.unsubscribe());
    const subscription = target.near.data.sendFrom(near.data).subscribe();
    far.data.next('a');
    await received.count(1);
    far.data.next('b');
    expect(await firstValueFrom(near.data)).toBe('b');
  });

  it('C5: an error of the source is passed on, stops it, and leaves the channel open', async () => {
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

  it('C5: if the channel ends first, it fails with ERR_CLOSED or with the error, and stops the source', async () => {
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

  it('C5: on a channel that has ended it fails at once, and asks the source for nothing', async () => {
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

  it('C5: a source that never ends is left when the channel ends, though it says nothing', async () => {
    const { near } = await pairAt(place, { codec });
    const subject = new Subject<string>();
    const sendings = [record(near.data.sendFrom(NEVER)), record(near.data.sendFrom(subject))];
    expect(subject.observed).toBe(true);
    near.destroy();
    for (const sending of sendings) expect(sending.endings).toMatchObject([{ code: 'ERR_CLOSED' }]);
    expect(subject.observed).toBe(false);
  });

  it('C5: send settles in the order of the calls, and a loop over it goes at the pace of the peer', async () => {
    const { near, far } = await pairAt(place, { maxBuffered: 200_000 });
    let most = 0;
    let size = 0;
    const received = record(far.data, (chunk) => (size += chunk.length));
    for (let index = 0; index < 3_000; index++) {
      await near.data.send(Buffer.alloc(10_000));
      most = Math.max(most, near.data.bufferedBytes);
    }
    near.data.complete();
    await received.end();
    expect(size).toBe(30_000_000);
    expect(most).toBeLessThanOrEqual(75_536);
  });

  it('C5: send waits for a peer that does not read, and for nothing else', async () => {
    const { near, far } = await pairAt(place, { maxBuffered: 1 << 24 });
    const hold = far.data.hold();
    record(far.data);
    let settled = false;
    const sending = near.data.send(Buffer.alloc(1 << 23)).then(() => (settled = true));
    await until(() => far.stats.bytesRead >= 65_536);
    await turns();
    expect(settled).toBe(false);
    hold.release();
    await sending;
  });

  it('C5: a send before the connection is open waits for it, and rejects if it never is', async () => {
    const { near, far } = await pairAt(place, { codec });
    const client = connect<string, string>(near.remote, { ...place.options, codec });
    const subscription = client.subscribe();
    await client.data.send('early');
    subscription.unsubscribe();
    far.destroy();
    const lost = connect<string, string>(near.remote, { ...place.options, codec });
    const losing = lost.subscribe();
    const sending = lost.data.send('never written');
    losing.unsubscribe();
    await expect(sending).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });

  it('F7: flow.subscribe(channel) sends at the pace of the channel, and passes completion on', async () => {
    const source = await pairAt(place, { maxBuffered: 1 << 26 });
    const target = await pairAt(place, { maxBuffered: 200_000 });
    const hold = target.far.data.hold();
    let size = 0;
    const received = record(target.far.data, (chunk) => (size += chunk.length));
    source.near.data.subscribe(target.near.data);
    source.far.data.next(Buffer.alloc(1 << 24));
    source.far.data.complete();
    await until(() => source.near.stats.bytesRead > 0);
    await turns(100);
    expect(source.near.stats.bytesRead).toBeLessThan(1 << 23);
    hold.release();
    expect(await received.end()).toBe('complete');
    expect(size).toBe(1 << 24);
    expect(target.near.data.dropped).toBe(0);
  });

  it('F7: it passes an error on: the channel is destroyed with it', async () => {
    const source = await pairAt(place, { codec });
    const target = await pairAt(place, { codec });
    source.near.data.subscribe(target.near.data);
    source.near.destroy('why');
    expect(await firstValueFrom(target.near.closed)).toMatchObject({
      reason: 'destroyed',
      error: { code: 'ERR_CLOSED', cause: { code: 'ERR_CLOSED', cause: 'why' } },
    });
  });

  it('F7: what an operator derives is as paced, and a plain Observable is given to next', async () => {
    const { near, far } = await pairAt(place, { codec });
    near.data.pipe(map((line) => line.toUpperCase())).subscribe(near.data);
    const received = record(far.data);
    far.data.next('a');
    await received.count(1);
    from(['b', 'c']).subscribe(far.data);
    await received.end();
    expect(received.values).toEqual(['A', 'B', 'C']);
  });

  it('F7: unsubscribing it leaves both open; where the channel ends first, the Flow keeps the rest', async () => {
    const source = await pairAt(place, { codec });
    const target = await pairAt(place, { codec });
    const received = record(target.far.data);
    const subscription = source.near.data.subscribe(target.near.data);
    source.far.data.next('a');
    await received.count(1);
    subscription.unsubscribe();
    source.far.data.next('b');
    expect(await firstValueFrom(source.near.data)).toBe('b');
    const again = source.near.data.subscribe(target.near.data);
    target.near.data.complete();
    expect(again.closed).toBe(true);
    source.far.data.next('c');
    expect(await firstValueFrom(source.near.data)).toBe('c');
    expect(received.values).toEqual(['a']);
  });

  it('F7: an echo server in one line returns everything, and ends when its client does', async () => {
    const { near, far } = await pairAt(place, { codec });
    far.data.subscribe(far.data);
    const received = record(near.data);
    const sent = Array.from({ length: 5_000 }, (_, index) => String(index));
    const sending = record(near.data.sendFrom(sent));
    expect(await sending.end()).toBe('complete');
    near.data.complete();
    expect(await received.end()).toBe('complete');
    expect(received.values).toEqual(sent);
    expect(await firstValueFrom(far.closed)).toMatchObject({ reason: 'finished' });
  });
});

describe.each(realPlaces)('sendFrom, against node:net over $name', (place) => {
  it('C5: a plain client gets what the source gives', async () => {
    const { near, raw } = await acceptedAt(place, { codec });
    const sent = Array.from({ length: 10_000 }, (_, index) => String(index));
    near.data.sendFrom(sent).subscribe({ complete: () => near.data.complete() });
    expect(String(await readAll(raw))).toBe(sent.map((line) => `${line}\n`).join(''));
  });

  it('C5: a reset by a plain server fails it with ECONNRESET and stops the source', async () => {
    const { near, raw } = await dialledAt(place, { codec });
    const subject = new Subject<string>();
    const sending = record(near.data.sendFrom(subject));
    await abort(raw, near);
    expect(await sending.end()).toMatchObject({ code: 'ECONNRESET' });
    expect(subject.observed).toBe(false);
  });

  it('C5: a source on a timer is stopped by unsubscribing, and leaves no timer', async () => {
    const { near, raw } = await acceptedAt(place, { codec });
    const subscription = near.data.sendFrom(interval(1).pipe(map((tick) => `tick ${tick}`))).subscribe();
    await new Promise((resolve) => raw.once('data', resolve));
    subscription.unsubscribe();
    near.data.complete();
    await readAll(raw);
  });
});
