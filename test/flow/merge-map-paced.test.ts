import fc from 'fast-check';
import {
  concat,
  defer,
  range,
  EMPTY,
  finalize,
  firstValueFrom,
  interval,
  map,
  mergeMap,
  NEVER,
  type ObservableInput,
  of,
  Subject,
  take,
  throwError,
  toArray,
} from 'rxjs';
import { concatMapPaced, mergeMapPaced } from 'rxjs-sockets';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { Recording } from '../support/recording/record.js';
import { refusal } from '../support/errors/refusal.js';
import { SourceFlow } from '../support/flow/source-flow.js';
import { turns } from '../support/scheduling/event-loop.js';
import { Jobs, counting, numbers, endless } from '../support/flow/paced-jobs.js';

const throwing: Iterable<number> = {
  [Symbol.iterator]: () => ({
    next: () => {
      throw new Error('bad');
    },
  }),
};

describe('mergeMapPaced', () => {
  it('F6: mergeMapPaced throws ERR_NOT_A_FLOW when it is applied to a source that is not a Flow', () => {
    const operator = mergeMapPaced((value: number) => of(value), 2);
    expect(refusal(() => of(1).pipe(operator))).toMatchObject({
      code: 'ERR_NOT_A_FLOW',
      message: expect.stringContaining('mergeMapPaced'),
    });
    expect(refusal(() => new Subject<number>().pipe(operator)).code).toBe('ERR_NOT_A_FLOW');
  });

  it.each([0, -1, 1.5, Number.NaN, Infinity, '2', undefined, null])(
    'A5: `concurrent` of %o is refused immediately',
    (bad) => {
      expect(refusal(() => mergeMapPaced(() => EMPTY, bad as number))).toMatchObject({
        code: 'ERR_OPTION_INVALID',
        message: expect.stringContaining('concurrent'),
      });
    },
  );

  it('F6: while `concurrent` inner sources run, mergeMapPaced holds the origin, and starts no further inner source', () => {
    const source = new SourceFlow(...numbers(5));
    const jobs = new Jobs();
    const recording = new Recording(source.pipe(mergeMapPaced(jobs.start, 2)));
    source.push();
    expect(jobs.started).toEqual([0, 1]);
    expect(source.held).toBe(true);
    expect(source.waiting).toEqual([2, 3, 4]);
    jobs.subjects[1]?.next('b');
    jobs.subjects[0]?.next('a');
    expect(source.waiting).toEqual([2, 3, 4]);
    jobs.subjects[1]?.complete();
    expect(jobs.started).toEqual([0, 1, 2]);
    expect(source.held).toBe(true);
    for (const job of [0, 2, 3, 4]) jobs.subjects[job]?.complete();
    expect(jobs.started).toEqual(numbers(5));
    expect(jobs.most).toBe(2);
    expect(source.held).toBe(false);
    expect(recording.values).toEqual(['b', 'a']);
    expect(recording.endings).toEqual([]);
    recording.subscription.unsubscribe();
  });

  it('F6: the output completes when the origin and every inner source have completed', () => {
    const source = SourceFlow.ending(1, 2);
    const jobs = new Jobs();
    const recording = new Recording(source.pipe(mergeMapPaced(jobs.start, 3)));
    source.push();
    expect(jobs.running).toBe(2);
    expect(recording.endings).toEqual([]);
    jobs.subjects[0]?.complete();
    jobs.subjects[1]?.next('last');
    jobs.subjects[1]?.complete();
    expect(recording.values).toEqual(['last']);
    expect(recording.endings).toEqual(['complete']);
  });

  it('F6: the output completes if the origin is empty, and fails if the origin fails', async () => {
    const jobs = new Jobs();
    const empty = new Recording(SourceFlow.ending<number>().pipe(mergeMapPaced(jobs.start, 3)));
    expect(await empty.end()).toBe('complete');
    const failing = SourceFlow.failing('no more', 1);
    const failed = new Recording(failing.pipe(mergeMapPaced(jobs.start, 3)));
    expect(await failed.end()).toBe('no more');
    expect(jobs.started).toEqual([1]);
    expect(jobs.running).toBe(0);
    expect(failing.held).toBe(false);
  });

  it('F6: mergeMapPaced accepts every inner source that RxJS accepts', async () => {
    const inner = SourceFlow.ending('flow');
    const sources: ObservableInput<string>[] = [
      of('observable', 'twice'),
      ['array', 'too'],
      Promise.resolve('promise'),
      new Set(['set']),
      'str',
      counting(['async', 'iterable']).async,
      counting(['iterable']).sync,
      inner,
      { length: 1, 0: 'like an array' },
      EMPTY,
      [],
      new ReadableStream<string>({
        start(controller) {
          controller.enqueue('stream');
          controller.close();
        },
      }),
    ];
    const results = firstValueFrom(
      SourceFlow.ending(...numbers(sources.length)).pipe(
        mergeMapPaced((index) => sources[index] as ObservableInput<string>, 1),
        toArray(),
      ),
    );
    expect(await results).toEqual([
      'observable',
      'twice',
      'array',
      'too',
      'promise',
      'set',
      's',
      't',
      'r',
      'async',
      'iterable',
      'iterable',
      'flow',
      'like an array',
      'stream',
    ]);
    expect(inner.held).toBe(false);
  });

  it('F8: thirty thousand inner sources that end immediately run in order, without growing the stack', async () => {
    const count = 30_000;
    for (const concurrent of [1, 3]) {
      const source = new SourceFlow<number>();
      for (const value of numbers(count)) source.push(value);
      source.complete();
      const got = await firstValueFrom(
        source.pipe(
          mergeMapPaced((value) => of(value), concurrent),
          toArray(),
        ),
      );
      expect(got).toHaveLength(count);
      expect(got.every((value, index) => value === index)).toBe(true);
    }
  });

  it('F8: twenty thousand iterables run in order when the output is iterated, without growing the stack', async () => {
    const count = 20_000;
    const source = SourceFlow.ending(...numbers(count));
    let got = 0;
    for await (const value of source.pipe(mergeMapPaced((one) => [one], 2))) {
      expect(value).toBe(got++);
    }
    expect(got).toBe(count);
  });

  it('F6: the index passed to `project` starts at 0 for each subscription', () => {
    const source = new SourceFlow('a', 'b');
    const flow = source.pipe(mergeMapPaced((value, index) => [`${value}${index}`], 1));
    const one = new Recording(flow);
    source.push();
    const two = new Recording(flow);
    source.push('c');
    expect(one.values).toEqual(['a0', 'b1', 'c2']);
    expect(two.values).toEqual(['c0']);
    one.subscription.unsubscribe();
    two.subscription.unsubscribe();
  });

  it.each<[string, (value: number) => ObservableInput<number>]>([
    [
      'throws',
      (value) => {
        if (value === 2) throw new Error('bad');
        return NEVER;
      },
    ],
    ['returns something that is not a source', (value) => (value === 2 ? (undefined as never) : NEVER)],
    ['returns a source that fails', (value) => (value === 2 ? throwError(() => new Error('bad')) : NEVER)],
    ['returns a promise that rejects', (value) => (value === 2 ? Promise.reject(new Error('bad')) : NEVER)],
    ['returns an iterable that throws', (value) => (value === 2 ? throwing : NEVER)],
    ['returns a Flow that fails', (value) => (value === 2 ? SourceFlow.failing<number>(new Error('bad')) : NEVER)],
  ])('F6: if `project` %s, the output fails, and everything is stopped and released', async (_what, project) => {
    const source = new SourceFlow(1, 2, 3);
    let stopped = 0;
    const recording = new Recording(
      source.pipe(
        mergeMapPaced((value) => {
          const inner = project(value);
          return inner === NEVER ? NEVER.pipe(finalize(() => stopped++)) : inner;
        }, 2),
      ),
    );
    const error = await recording.end();
    expect(error).toBeInstanceOf(Error);
    expect(stopped).toBe(1);
    expect(source.held).toBe(false);
    expect(source.subscribed).toBe(false);
    expect(source.waiting).toEqual([3]);
    expect(recording.endings).toHaveLength(1);
  });

  it('F6: unsubscribing stops every inner source, and releases the origin and the inner Flows', async () => {
    const source = new SourceFlow(0, 1, 2, 3);
    const jobs = new Jobs();
    const flow = new SourceFlow<string>();
    const sync = counting(['a', 'b', 'c']);
    const async = counting(['d', 'e', 'f']);
    const inners = [jobs.start(0), flow, sync.sync, async.async];
    const derived = source.pipe(mergeMapPaced((value) => inners[value] as ObservableInput<string>, 4));
    const hold = derived.hold();
    const recording = new Recording(derived);
    source.push();
    expect(jobs.running).toBe(0);
    hold.release();
    await turns();
    expect(recording.values).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
    expect(jobs.running).toBe(1);
    expect(flow.subscribed).toBe(true);
    recording.subscription.unsubscribe();
    expect(jobs.running).toBe(0);
    expect(flow.subscribed).toBe(false);
    expect(flow.held).toBe(false);
    expect(source.held).toBe(false);
    expect(source.subscribed).toBe(false);
    // Both iterables had already ended by themselves.
    expect([sync.returned, async.returned]).toEqual([0, 0]);
  });

  it('F6: unsubscribing in the middle of an iterable calls `return` of its iterator once', async () => {
    for (const kind of ['sync', 'async'] as const) {
      const inner = counting(['a', 'b', 'c']);
      const source = new SourceFlow(1, 2);
      expect(await firstValueFrom(source.pipe(mergeMapPaced(() => inner[kind], 1)))).toBe('a');
      await turns();
      expect(inner.returned).toBe(1);
      expect(inner.asked).toBe(1);
      expect(source.held).toBe(false);
      expect(source.waiting).toEqual([2]);
    }
  });

  it('F6: in a chain of paced operators, holding the last output holds the first origin', async () => {
    const source = SourceFlow.ending(...numbers(20));
    const running = [0, 0];
    const most = [0, 0];
    const work = (stage: 0 | 1) => async (value: number) => {
      most[stage] = Math.max(most[stage]!, ++running[stage]!);
      await turns(2);
      running[stage]!--;
      return value;
    };
    const derived = source.pipe(
      mergeMapPaced(work(0), 3),
      map((value) => value * 2),
      concatMapPaced(work(1)),
    );
    const hold = derived.hold();
    expect(source.held).toBe(true);
    hold.release();
    expect(source.held).toBe(false);
    const got = await firstValueFrom(derived.pipe(toArray()));
    expect(got.toSorted((a, b) => a - b)).toEqual(numbers(20).map((value) => value * 2));
    expect(most[0]).toBeLessThanOrEqual(3);
    expect(most[1]).toBe(1);
  });

  it('F6: if the origin emits several values in one call, the values over `concurrent` wait, in order', () => {
    const source = new SourceFlow(0);
    const several = source.pipe(mergeMap(() => numbers(5)));
    const jobs = new Jobs();
    const recording = new Recording(several.pipe(mergeMapPaced(jobs.start, 2)));
    source.push();
    expect(jobs.started).toEqual([0, 1]);
    for (let job = 0; job < 5; job++) jobs.subjects[job]?.complete();
    expect(jobs.started).toEqual(numbers(5));
    expect(jobs.most).toBe(2);
    recording.subscription.unsubscribe();
  });

  it('F6: `take` ends the output, and leaves no inner source running', () => {
    const source = new SourceFlow(...numbers(5));
    let running = 0;
    const timed = () =>
      defer(() => {
        running++;
        return interval(1).pipe(finalize(() => running--));
      });
    const ended = new Recording(source.pipe(mergeMapPaced(timed, 3), take(0)));
    expect(ended.endings).toEqual(['complete']);
    const recording = new Recording(source.pipe(mergeMapPaced(timed, 3), take(4)));
    source.push();
    expect(running).toBe(3);
    return recording.end().then(() => {
      expect(running).toBe(0);
      expect(source.held).toBe(false);
      expect(source.waiting).toEqual([3, 4]);
    });
  });

  it.each<[string, () => ObservableInput<number>]>([
    ['an Observable', () => range(0, Infinity)],
    ['an iterable', () => endless()],
    ['a derived Flow', () => new SourceFlow(0).pipe((flow) => concat(range(0, Infinity), flow))],
  ])('F6: unsubscribing stops %s that emits endlessly within the call of subscribe', async (_what, project) => {
    const source = new SourceFlow('a', 'b');
    const derived = source.pipe(mergeMapPaced(project, 1), take(3));
    expect(await firstValueFrom(derived.pipe(toArray()))).toEqual([0, 1, 2]);
    expect(source.held).toBe(false);
    expect(source.waiting).toEqual(['b']);
  });

  it('F6: at most `concurrent` inner sources run at the same time, each value is processed once, and the origin is released at the end', () => {
    type Action = 'push' | 'emit' | 'end' | 'hold' | 'release' | 'sync' | 'complete';
    const action = fc.oneof(
      { weight: 4, arbitrary: fc.constant<Action>('push') },
      { weight: 1, arbitrary: fc.constantFrom<Action>('sync', 'hold', 'release', 'emit', 'complete') },
      { weight: 3, arbitrary: fc.constant<Action>('end') },
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.tuple(action, fc.nat(9)), { maxLength: 60 }),
        (concurrent, script) => {
          const source = new SourceFlow<number>();
          const jobs = new Jobs<number>();
          const ended = new Set<number>();
          const instant = new Set<number>();
          const derived = source.pipe(
            mergeMapPaced((value) => {
              // A synchronous inner source ends as soon as it is subscribed to.
              if (!instant.has(value)) return jobs.start(value);
              jobs.started.push(value);
              return of(value);
            }, concurrent),
          );
          const recording = new Recording(derived);
          const holds: { release(): void }[] = [];
          let pushed = 0;
          let completed = false;
          for (const [what, index] of script) {
            const before = recording.values.length;
            const held = holds.length > 0;
            switch (what) {
              case 'sync':
              case 'push':
                if (completed) break;
                if (what === 'sync') instant.add(pushed);
                source.push(pushed++);
                break;
              case 'emit':
                if (!ended.has(index)) jobs.subjects[index]?.next(index);
                break;
              case 'end':
                if (index < jobs.subjects.length) ended.add(index);
                jobs.subjects[index]?.complete();
                break;
              case 'hold':
                holds.push(derived.hold());
                break;
              case 'release':
                holds.pop()?.release();
                break;
              case 'complete':
                completed = true;
                source.complete();
            }
            expect(jobs.running).toBe(jobs.subjects.length - ended.size);
            expect(jobs.most).toBeLessThanOrEqual(concurrent);
            // Values wait only while the output is held, or while `concurrent` inner sources run.
            expect(source.held).toBe(holds.length > 0 || jobs.running === concurrent);
            if (holds.length === 0) expect(source.waiting.length === 0 || jobs.running === concurrent).toBe(true);
            if (held && holds.length > 0 && what !== 'emit') expect(recording.values).toHaveLength(before);
          }
          for (const hold of holds) hold.release();
          for (let job = 0; job < jobs.subjects.length; job++) jobs.subjects[job]?.complete();
          expect(jobs.started).toEqual(numbers(pushed));
          expect(recording.endings).toEqual(completed ? ['complete'] : []);
          recording.subscription.unsubscribe();
          expect(source.held).toBe(false);
          expect(jobs.running).toBe(0);
        },
      ),
      { numRuns: 500 },
    );
  });
});
