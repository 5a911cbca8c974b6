import { firstValueFrom, from, map } from 'rxjs';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { places } from '../support/transport/places.js';
import { pairAt } from '../support/connection/connected-pairs.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const codec = lines();

describe.each(places)('a channel subscribed to a Flow, over $name', (place) => {
  it("F7: flow.subscribe(channel) sends at the channel's pace, and completes the channel when the Flow completes", async () => {
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

  it('F7: an error of the Flow fails the connection with ERR_HANDLER and that error as its cause', async () => {
    const source = await pairAt(place, { codec });
    const target = await pairAt(place, { codec });
    source.near.data.subscribe(target.near.data);
    source.near.destroy('why');
    expect(await firstValueFrom(target.near.closed)).toMatchObject({
      reason: 'failed',
      error: { code: 'ERR_HANDLER', cause: { code: 'ERR_CLOSED', cause: 'why' } },
    });
  });

  it('F7: a derived Flow is paced, and the values of a plain Observable are passed to `next` of the channel', async () => {
    const { near, far } = await pairAt(place, { codec });
    near.data.pipe(map((line) => line.toUpperCase())).subscribe(near.data);
    const received = record(far.data);
    far.data.next('a');
    await received.count(1);
    from(['b', 'c']).subscribe(far.data);
    await received.end();
    expect(received.values).toEqual(['A', 'B', 'C']);
  });

  it('F7: unsubscribing leaves the Flow and the channel open; if the channel ends, the Flow keeps its unsent values', async () => {
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

  it('F7: the echo `data.subscribe(data)` sends back everything, and ends when its peer ends', async () => {
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
