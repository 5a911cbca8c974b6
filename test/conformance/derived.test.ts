import {
  catchError,
  concatMap,
  defer,
  delay,
  endWith,
  filter,
  firstValueFrom,
  map,
  mergeWith,
  NEVER,
  Observable,
  of,
  type OperatorFunction,
  publish,
  refCount,
  scan,
  share,
  shareReplay,
  startWith,
  Subject,
  switchMap,
  take,
  tap,
} from 'rxjs';
import { concatMapPaced, Flow, mergeMapPaced, sendTo } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { acceptedAt, pairAt, places, realPlaces } from '../support/places.js';
import { readAll } from '../support/raw.js';
import { record } from '../support/recording.js';
import { refusal } from '../support/refusal.js';
import { turns, until } from '../support/turns.js';

const codec = lines();

/** An operator as people write one: through no lift. */
const shout: OperatorFunction<string, string> = (source) =>
  new Observable((subscriber) =>
    source.subscribe({ ...forward(subscriber), next: (line) => subscriber.next(`${line}!`) }),
  );

function forward(subscriber: { error(reason: unknown): void; complete(): void }) {
  return { error: (reason: unknown) => subscriber.error(reason), complete: () => subscriber.complete() };
}

const derivations: readonly { readonly name: string; derive(flow: Flow<string>): Flow<string> }[] = [
  { name: 'map', derive: (flow) => flow.pipe(map((line) => line)) },
  {
    name: 'map, filter and tap',
    derive: (flow) =>
      flow.pipe(
        map((line) => line),
        filter(() => true),
        tap(() => undefined),
      ),
  },
  {
    name: 'scan and take',
    derive: (flow) =>
      flow.pipe(
        scan((_, line) => line, ''),
        take(9),
      ),
  },
  { name: 'concatMap', derive: (flow) => flow.pipe(concatMap((line) => of(line))) },
  { name: 'share', derive: (flow) => flow.pipe(share()) },
  { name: 'shareReplay', derive: (flow) => flow.pipe(shareReplay({ bufferSize: 1, refCount: true })) },
  { name: 'catchError', derive: (flow) => flow.pipe(catchError(() => NEVER)) },
  { name: 'mergeWith', derive: (flow) => flow.pipe(mergeWith(NEVER)) },
  { name: 'no operator at all', derive: (flow) => flow.pipe() },
  { name: 'a custom operator', derive: (flow) => flow.pipe(shout) },
  {
    name: 'a custom operator, then map',
    derive: (flow) =>
      flow.pipe(
        shout,
        map((line) => line),
      ),
  },
  {
    name: 'map, a custom operator, then map',
    derive: (flow) =>
      flow.pipe(
        map((line) => line),
        shout,
        map((line) => line),
      ),
  },
  {
    name: 'a pipe of a pipe',
    derive: (flow) =>
      flow
        .pipe(map((line) => line))
        .pipe(shout)
        .pipe(map((line) => line)),
  },
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- still in RxJS 7
  { name: 'publish and refCount', derive: (flow) => flow.pipe(publish(), refCount()) },
  { name: 'concatMapPaced', derive: (flow) => flow.pipe(concatMapPaced((line) => of(line))) },
  { name: 'mergeMapPaced', derive: (flow) => flow.pipe(mergeMapPaced((line) => [line], 4)) },
];

describe.each(places)('derived Flows, over $name', (place) => {
  it.each(derivations)('F6: what $name derives can be held, and holds its origin', async ({ derive }) => {
    const { near, far } = await pairAt(place, { codec });
    const origin = record(near.data);
    const derived = derive(near.data);
    expect(derived).toBeInstanceOf(Flow);
    const hold = derived.hold();
    const recording = record(derived);
    for (const line of ['a', 'b']) far.data.next(line);
    await until(() => near.stats.bytesRead === 4);
    await turns();
    expect([origin.values, recording.values]).toEqual([[], []]);
    hold.release();
    await recording.count(2);
    expect(origin.values).toEqual(['a', 'b']);
    expect(recording.values.map((line) => line.replace('!', ''))).toEqual(['a', 'b']);
  });

  it('F6: holding the origin holds what is derived', async () => {
    const { near, far } = await pairAt(place, { codec });
    const recording = record(near.data.pipe(map((line) => line)));
    const hold = near.data.hold();
    far.data.next('a');
    await until(() => near.stats.bytesRead === 2);
    expect(recording.values).toEqual([]);
    hold.release();
    expect(recording.values).toEqual(['a']);
  });

  it('F6: what is derived can be iterated, and keeps what a break leaves', async () => {
    const { near, far } = await pairAt(place, { codec });
    for (const line of ['1', 'x', '2', '3']) far.data.next(line);
    const numbers = near.data.pipe(
      map((line) => Number(line)),
      filter((number) => Number.isFinite(number)),
    );
    for await (const number of numbers) {
      expect(number).toBe(1);
      break;
    }
    expect(await firstValueFrom(near.data)).toBe('x');
    expect(await firstValueFrom(numbers)).toBe(2);
  });

  it('F6: a value that delay has taken already still passes while it is held', async () => {
    const { near, far } = await pairAt(place, { codec });
    const taken: string[] = [];
    const delayed = near.data.pipe(
      tap((line) => taken.push(line)),
      delay(1),
    );
    const recording = record(delayed, () => undefined);
    far.data.next('a');
    await until(() => taken.length === 1);
    const hold = delayed.hold();
    far.data.next('b');
    await recording.count(1);
    await until(() => near.stats.bytesRead === 4);
    expect(taken).toEqual(['a']);
    hold.release();
    await recording.count(2);
  });

  it('F6: concatMapPaced holds the origin while an inner source runs', async () => {
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

  it('F6: mergeMapPaced holds the origin while as many run as may', async () => {
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

  it('F6: sendTo holds the origin while the channel that it sends to is not writable', async () => {
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

  it('F6: on a source that is no Flow the paced operators throw when they are applied; sendTo takes it', async () => {
    const { near, far } = await pairAt(place, { codec });
    expect(refusal(() => of('a').pipe(concatMapPaced(() => of('b')))).code).toBe('ERR_NOT_A_FLOW');
    expect(refusal(() => of('a').pipe(mergeMapPaced(() => of('b'), 2))).code).toBe('ERR_NOT_A_FLOW');
    const recording = record(far.data);
    expect(await record(of('a', 'b').pipe(sendTo(near.data))).end()).toBe('complete');
    await recording.count(2);
    expect(recording.values).toEqual(['a', 'b']);
  });

  it('F6: a paced operator may follow an operator that is not built on lift', async () => {
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

  it('F6: each subscriber of what is derived runs the operators by itself, from where the Flow is', async () => {
    const { near, far } = await pairAt(place, { codec });
    let runs = 0;
    const derived = near.data.pipe(
      switchMap((line) =>
        defer(() => {
          runs++;
          return of(line);
        }),
      ),
    );
    const recordings = [record(derived), record(derived)];
    far.data.next('a');
    for (const recording of recordings) await recording.count(1);
    expect(runs).toBe(2);
  });
});

describe.each(realPlaces)('derived Flows, against node:net over $name', (place) => {
  it('F6: a request is answered before the next one is read', async () => {
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
