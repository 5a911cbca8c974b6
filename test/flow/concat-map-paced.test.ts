import fc from 'fast-check';
import { concatMap, EMPTY, finalize, firstValueFrom, from, map, NEVER, of, Subject, throwError, toArray } from 'rxjs';
import { concatMapPaced } from 'rxjs-sockets';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { places } from '../support/transport/places.js';
import { pairAt } from '../support/connection/connected-pairs.js';
import { Recording } from '../support/recording/record.js';
import { refusal } from '../support/errors/refusal.js';
import { SourceFlow } from '../support/flow/source-flow.js';
import { turns, until } from '../support/scheduling/event-loop.js';

describe('concatMapPaced', () => {
  it('F6: concatMapPaced throws ERR_NOT_A_FLOW when it is applied to a source that is not a Flow, not when it is created', () => {
    const operator = concatMapPaced((value: number) => of(value));
    for (const source of [of(1), new Subject<number>(), from([1]).pipe(map((value) => value))]) {
      expect(refusal(() => source.pipe(operator))).toMatchObject({
        code: 'ERR_NOT_A_FLOW',
        message: expect.stringContaining('concatMapPaced'),
      });
    }
    expect(() => new SourceFlow(1).pipe(operator)).not.toThrow();
  });

  it('F6: concatMapPaced runs one inner source at a time, in order, and holds the origin while an inner source runs', () => {
    const source = new SourceFlow('a', 'b', 'c');
    const inners: Record<string, Subject<string>> = { a: new Subject(), b: new Subject(), c: new Subject() };
    const begun: string[] = [];
    const recording = new Recording(
      source.pipe(
        concatMapPaced((value, index) => {
          begun.push(`${value}${index}`);
          return inners[value] as Subject<string>;
        }),
      ),
    );
    source.push();
    expect(begun).toEqual(['a0']);
    expect(source.held).toBe(true);
    expect(source.waiting).toEqual(['b', 'c']);
    inners['b']?.next('emitted too early; RxJS would lose it, too');
    inners['a']?.next('1');
    inners['a']?.complete();
    expect(begun).toEqual(['a0', 'b1']);
    expect(source.waiting).toEqual(['c']);
    inners['b']?.next('2');
    inners['b']?.complete();
    inners['c']?.complete();
    expect(source.held).toBe(false);
    source.complete();
    expect(recording.values).toEqual(['1', '2']);
    expect(recording.endings).toEqual(['complete']);
  });

  it('F6: an inner source is torn down before the next inner source starts', async () => {
    const events: string[] = [];
    const source = SourceFlow.ending('a', 'b');
    const work = (value: string) => {
      events.push(`begin ${value}`);
      return of(value).pipe(finalize(() => events.push(`end ${value}`)));
    };
    await firstValueFrom(source.pipe(concatMapPaced(work), toArray()));
    expect(events).toEqual(['begin a', 'end a', 'begin b', 'end b']);
  });

  it('F6: an error of an inner source immediately ends the output and releases the origin', async () => {
    const source = new SourceFlow('a', 'b', 'c');
    const recording = new Recording(
      source.pipe(concatMapPaced((value) => (value === 'b' ? throwError(() => new Error('bad')) : of(value)))),
    );
    expect(await recording.end()).toMatchObject({ message: 'bad' });
    expect(recording.values).toEqual(['a']);
    expect(source.waiting).toEqual(['c']);
    expect(source.held).toBe(false);
    expect(source.subscribed).toBe(false);
  });

  it('F1: after a subscriber has left, the next subscriber gets the values whose inner sources have not started', async () => {
    const source = new SourceFlow(1, 2, 3);
    const flow = source.pipe(concatMapPaced((value) => [value]));
    expect(await firstValueFrom(flow)).toBe(1);
    expect(await firstValueFrom(flow)).toBe(2);
    const leaving = flow.pipe(concatMapPaced(() => NEVER)).subscribe();
    source.push();
    leaving.unsubscribe();
    source.push(4);
    expect(await firstValueFrom(flow)).toBe(4);
    expect(source.held).toBe(false);
  });

  it('F2: while the output is held, nothing is emitted, and the origin is held', async () => {
    const source = new SourceFlow(1, 2, 3);
    const flow = source.pipe(concatMapPaced((value) => [value, value * 10]));
    const recording = new Recording(flow);
    const hold = flow.hold();
    expect(source.held).toBe(true);
    source.push();
    await turns();
    expect(recording.values).toEqual([]);
    hold.release();
    expect(recording.values).toEqual([1, 10, 2, 20, 3, 30]);
    recording.subscription.unsubscribe();
  });

  it('F5: iterating the output pulls an inner value only when next() is called', async () => {
    let asked = 0;
    async function* inner(value: number) {
      for (const part of [1, 2, 3]) {
        asked++;
        yield await Promise.resolve(value * 10 + part);
      }
    }
    const source = new SourceFlow(1, 2, 3);
    let count = 0;
    for await (const value of source.pipe(concatMapPaced(inner))) {
      await turns(3);
      expect(asked).toBe(++count);
      expect(value).toBe(Math.ceil(count / 3) * 10 + ((count - 1) % 3) + 1);
      if (count === 5) break;
    }
    expect(source.waiting).toEqual([3]);
    expect(source.held).toBe(false);
  });

  it("F6: concatMapPaced emits the same values as RxJS's concatMap, for any inner sources", async () => {
    const inner = fc.oneof(
      fc.array(fc.nat(99), { maxLength: 4 }).map((values) => () => values),
      fc.array(fc.nat(99), { maxLength: 4 }).map((values) => () => from(values)),
      fc.nat(99).map((value) => () => Promise.resolve(value)),
      fc.array(fc.nat(99), { maxLength: 4 }).map(
        (values) =>
          async function* () {
            for (const value of values) yield await Promise.resolve(value);
          },
      ),
      fc.array(fc.nat(99), { maxLength: 4 }).map((values) => () => SourceFlow.ending(...values)),
      fc.constant(() => EMPTY),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(inner, { maxLength: 12 }), async (inners) => {
        const expected = await firstValueFrom(
          from(inners).pipe(
            concatMap((make) => make()),
            toArray(),
          ),
        );
        const source = SourceFlow.ending(...inners);
        expect(
          await firstValueFrom(
            source.pipe(
              concatMapPaced((make) => make()),
              toArray(),
            ),
          ),
        ).toEqual(expected);
        const iterated: number[] = [];
        const again = SourceFlow.ending(...inners);
        for await (const value of again.pipe(concatMapPaced((make) => make()))) iterated.push(value);
        expect(iterated).toEqual(expected);
        expect(source.held || again.held).toBe(false);
      }),
    );
  });

  it.each(places.map((place) => [place.name, place] as const))(
    'F6: over %s, the sender waits while concatMapPaced processes a message',
    async (_name, place) => {
      const { near, far } = await pairAt(place);
      const chunk = Buffer.alloc(30_000, 'x');
      const done = new Subject<void>();
      let begun = 0;
      const working = far.bytes
        .pipe(
          concatMapPaced(() => {
            begun++;
            return done;
          }),
        )
        .subscribe();
      let sent = 0;
      const filling = near.bytes
        .sendFrom(
          (function* () {
            for (; sent < 1_000; sent++) yield chunk;
          })(),
        )
        .subscribe({ error: () => undefined });
      await until(() => begun === 1);
      await turns(100);
      expect(begun).toBe(1);
      expect(far.stats.bytesRead).toBeLessThanOrEqual(65_536 * 3);
      expect(sent).toBeLessThan(1_000);
      filling.unsubscribe();
      working.unsubscribe();
      far.destroy();
    },
  );
});
