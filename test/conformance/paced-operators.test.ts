import { endWith, of, startWith, Subject, tap } from 'rxjs';
import { concatMapPaced, mergeMapPaced, sendTo } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { places, realPlaces } from '../support/transport/places.js';
import { acceptedAt, pairAt } from '../support/connection/connected-pairs.js';
import { readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { refusal } from '../support/errors/refusal.js';
import { shout } from '../support/flow/hand-written-operator.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const codec = lines();

describe.each(places)('paced operators, over $name', (place) => {
  it('F6: concatMapPaced holds its source while an inner source runs', async () => {
    const { near, far } = await pairAt(place, { codec });
    const gates = new Map<string, Subject<string>>();
    const recording = record(
      near.data.pipe(
        concatMapPaced((line) => {
          const gate = new Subject<string>();
          gates.set(line, gate);
          return gate;
        }),
      ),
    );
    const origin = record(near.data);
    for (const line of ['a', 'b']) far.data.next(line);
    await until(() => near.stats.bytesRead === 4);
    await turns();
    expect(origin.values).toEqual(['a']);
    gates.get('a')?.next('A');
    gates.get('a')?.complete();
    expect(origin.values).toEqual(['a', 'b']);
    gates.get('b')?.next('B');
    expect(recording.values).toEqual(['A', 'B']);
  });

  it('F6: mergeMapPaced holds its source while the maximum number of inner sources is running', async () => {
    const { near, far } = await pairAt(place, { codec });
    const started: string[] = [];
    const gates: Subject<string>[] = [];
    const recording = record(
      near.data.pipe(
        mergeMapPaced((line) => {
          started.push(line);
          const gate = new Subject<string>();
          gates.push(gate);
          return gate;
        }, 2),
      ),
    );
    const origin = record(near.data);
    for (const line of ['a', 'b', 'c', 'd']) far.data.next(line);
    far.data.complete();
    await until(() => near.stats.bytesRead === 8);
    await turns();
    expect([started, origin.values]).toEqual([
      ['a', 'b'],
      ['a', 'b'],
    ]);
    gates[1]?.complete();
    expect(origin.values).toEqual(['a', 'b', 'c']);
    gates[0]?.complete();
    gates[2]?.complete();
    gates[3]?.complete();
    expect(await recording.end()).toBe('complete');
    expect(started).toEqual(['a', 'b', 'c', 'd']);
  });

  it('F6: sendTo holds its source while the target channel is not writable', async () => {
    const { near, far } = await pairAt(place, { maxBuffered: 1 << 26 });
    const target = await pairAt(place);
    const hold = target.far.data.hold();
    let size = 0;
    const there = record(target.far.data, (chunk) => (size += chunk.length));
    const sending = record(near.data.pipe(sendTo(target.near.data)));
    const sent = Buffer.alloc(1 << 24, 'x');
    far.data.next(sent);
    far.data.complete();
    await until(() => near.stats.bytesRead > 0);
    await turns(100);
    expect(near.stats.bytesRead).toBeLessThan(sent.length);
    expect(target.near.data.bufferedBytes).toBeLessThanOrEqual(2 * 65_536);
    hold.release();
    expect(await sending.end()).toBe('complete');
    target.near.data.complete();
    expect(await there.end()).toBe('complete');
    expect(size).toBe(sent.length);
  });

  it('F6: concatMapPaced and mergeMapPaced throw if their source is not a Flow, and sendTo accepts any source', async () => {
    const { near, far } = await pairAt(place, { codec });
    expect(refusal(() => of('a').pipe(concatMapPaced(() => of('b')))).code).toBe('ERR_NOT_A_FLOW');
    expect(refusal(() => of('a').pipe(mergeMapPaced(() => of('b'), 2))).code).toBe('ERR_NOT_A_FLOW');
    const recording = record(far.data);
    expect(await record(of('a', 'b').pipe(sendTo(near.data))).end()).toBe('complete');
    await recording.count(2);
    expect(recording.values).toEqual(['a', 'b']);
  });

  it('F6: in a `pipe`, a paced operator can follow an operator that does not use `lift`', async () => {
    const { near, far } = await pairAt(place, { codec });
    const derived = near.data.pipe(
      shout,
      endWith('end'),
      startWith('start'),
      concatMapPaced((line) => of(line)),
    );
    const recording = record(derived);
    far.data.next('a');
    far.data.complete();
    expect(await recording.end()).toBe('complete');
    expect(recording.values).toEqual(['start', 'a!', 'end']);
  });
});

describe.each(realPlaces)('paced operators, against node:net over $name', (place) => {
  it('F6: with concatMapPaced, each request is answered before the next request is read', async () => {
    const { near, raw } = await acceptedAt(place, { codec });
    const order: string[] = [];
    near.data
      .pipe(
        tap((line) => order.push(`read ${line}`)),
        concatMapPaced(async (line) => {
          await turns(3);
          order.push(`answered ${line}`);
          return line.toUpperCase();
        }),
      )
      .subscribe(near.data);
    raw.end('a\nb\nc\n');
    expect(String(await readAll(raw))).toBe('A\nB\nC\n');
    expect(order).toEqual(['a', 'b', 'c'].flatMap((line) => [`read ${line}`, `answered ${line}`]));
  });
});
