import {
  catchError,
  concatMap,
  defer,
  delay,
  filter,
  firstValueFrom,
  map,
  mergeWith,
  NEVER,
  type Observable,
  of,
  pipe,
  publish,
  refCount,
  scan,
  share,
  shareReplay,
  switchMap,
  take,
  tap,
} from 'rxjs';
import { concatMapPaced, Flow, mergeMapPaced } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { places } from '../support/transport/places.js';
import { pairAt } from '../support/connection/connected-pairs.js';
import { record } from '../support/recording/record.js';
import { shout } from '../support/flow/hand-written-operator.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const codec = lines();

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
  { name: 'a pipe without operators', derive: (flow) => flow.pipe() },
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
  {
    name: 'publish, and refCount in a second step',
    derive: (flow) => {
      // eslint-disable-next-line @typescript-eslint/no-deprecated -- still in RxJS 7
      const published: Observable<string> = flow.pipe(publish());
      // eslint-disable-next-line @typescript-eslint/no-deprecated -- still in RxJS 7
      const derived = published.pipe(refCount());
      if (!(derived instanceof Flow)) throw new TypeError('it is not a Flow');
      return derived as Flow<string>;
    },
  },
  {
    name: "RxJS's function pipe",
    derive: (flow) => {
      const operator = pipe(
        map((line: string) => line),
        concatMapPaced((line) => of(line)),
      );
      const derived = operator(flow);
      if (!(derived instanceof Flow)) throw new TypeError('it is not a Flow');
      return derived as Flow<string>;
    },
  },
  { name: 'concatMapPaced', derive: (flow) => flow.pipe(concatMapPaced((line) => of(line))) },
  { name: 'mergeMapPaced', derive: (flow) => flow.pipe(mergeMapPaced((line) => [line], 4)) },
];

describe.each(places)('derived Flows, over $name', (place) => {
  it.each(derivations)('F6: holding a Flow that is derived by $name holds the origin', async ({ derive }) => {
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

  it('F6: holding the origin holds the derived Flow', async () => {
    const { near, far } = await pairAt(place, { codec });
    const recording = record(near.data.pipe(map((line) => line)));
    const hold = near.data.hold();
    far.data.next('a');
    await until(() => near.stats.bytesRead === 2);
    expect(recording.values).toEqual([]);
    hold.release();
    expect(recording.values).toEqual(['a']);
  });

  it('F6: after a break out of a `for await` loop over a derived Flow, the remaining values stay in the origin', async () => {
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

  it('F6: a value that `delay` has already taken is emitted even if the Flow is held by then', async () => {
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

  it('F6: the operators of a derived Flow run once for each subscriber', async () => {
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
