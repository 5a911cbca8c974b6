import { map, type ObservableInput } from 'rxjs';
import { mergeMapPaced } from 'rxjs-sockets';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { Recording } from '../support/recording/record.js';
import { SourceFlow } from '../support/flow/source-flow.js';
import { turns } from '../support/scheduling/event-loop.js';
import { Jobs, counting, numbers, endless } from '../support/flow/paced-jobs.js';

describe('mergeMapPaced', () => {
  it('F4: with several subscribers, the origin waits for the slowest subscriber', () => {
    const source = new SourceFlow(1, 2, 3, 4);
    const slow = new Jobs();
    const fast = new Jobs();
    const subscriptions = [
      source.pipe(mergeMapPaced(slow.start, 1)).subscribe(),
      source.pipe(mergeMapPaced(fast.start, 1)).subscribe(),
    ];
    source.push();
    expect([slow.started, fast.started]).toEqual([[1], [1]]);
    fast.subjects[0]?.complete();
    expect([slow.started, fast.started]).toEqual([[1], [1]]);
    slow.subjects[0]?.complete();
    expect([slow.started, fast.started]).toEqual([
      [1, 2],
      [1, 2],
    ]);
    subscriptions[0]?.unsubscribe();
    fast.subjects[1]?.complete();
    expect(fast.started).toEqual([1, 2, 3]);
    subscriptions[1]?.unsubscribe();
    expect(source.held).toBe(false);
  });

  it('F2: while the output is held, nothing is taken from the origin, from inner Flows or from iterables', async () => {
    const source = new SourceFlow(0, 1, 2, 3);
    const flow = new SourceFlow('f', 'g');
    const sync = counting(['a', 'b']);
    const async = counting(['d', 'e']);
    const inners = [flow, sync.sync, async.async, ['z']];
    const derived = source.pipe(mergeMapPaced((value) => inners[value] as ObservableInput<string>, 3));
    const recording = new Recording(derived);
    const holds = [derived.hold(), derived.hold()];
    source.push();
    await turns();
    expect(source.waiting).toEqual([0, 1, 2, 3]);
    expect(source.held).toBe(true);
    for (const hold of holds) hold.release();
    await turns();
    // Three inner sources run at the same time. Two of the first three sources have ended, so the fourth source has run
    // as well.
    expect(recording.values.toSorted()).toEqual(['a', 'b', 'd', 'e', 'f', 'g', 'z']);
    const late = derived.hold();
    flow.push('h', 'i');
    expect(flow.waiting).toEqual(['h', 'i']);
    expect(flow.held).toBe(true);
    await turns();
    expect(recording.values).toHaveLength(7);
    late.release();
    late.release();
    expect(recording.values.slice(7)).toEqual(['h', 'i']);
    recording.subscription.unsubscribe();
    expect(flow.held).toBe(false);
  });

  it('F2: if an inner source starts while the output is held, the inner source waits for the release', async () => {
    const source = new SourceFlow(0);
    const inner = counting(['a', 'b']);
    // `project` holds the output after the origin's value has been taken.
    const derived = source.pipe(
      mergeMapPaced(() => {
        holds.push(derived.hold());
        return inner.sync;
      }, 1),
    );
    const holds: { release(): void }[] = [];
    const recording = new Recording(derived);
    source.push();
    await turns();
    expect(recording.values).toEqual([]);
    expect(inner.asked).toBe(0);
    holds[0]?.release();
    expect(recording.values).toEqual(['a', 'b']);
    recording.subscription.unsubscribe();
  });

  it.each(['sync', 'async', 'flow'] as const)(
    'F5: iterating the output emits one value per `next()`, with several concurrent inner sources (%s)',
    async (kind) => {
      const source = SourceFlow.ending(...numbers(3));
      const inners = numbers(3).map((index) => {
        const values = numbers(4).map((value) => `${index}${value}`);
        return { counts: counting(values), flow: SourceFlow.ending(...values) };
      });
      let emitted = 0;
      const derived = source.pipe(
        mergeMapPaced((index) => {
          const inner = inners[index] as (typeof inners)[number];
          return kind === 'flow' ? inner.flow : inner.counts[kind];
        }, 2),
        map((value) => {
          emitted++;
          return value;
        }),
      );
      const got: string[] = [];
      for await (const value of derived) {
        got.push(value);
        await turns(3);
        expect(emitted).toBe(got.length);
      }
      expect(got.toSorted()).toEqual(numbers(12).map((n) => `${Math.floor(n / 4)}${n % 4}`));
      expect(source.held).toBe(false);
    },
  );

  it('F2: a Hold taken while a value is emitted stops the other inner sources', () => {
    const source = new SourceFlow(0, 1);
    const flows = [new SourceFlow('a', 'b'), new SourceFlow('c', 'd')];
    const derived = source.pipe(mergeMapPaced((index) => flows[index] as SourceFlow<string>, 2));
    const start = derived.hold();
    const holds: { release(): void }[] = [];
    const recording = new Recording(derived, () => holds.push(derived.hold()));
    start.release();
    source.push();
    for (const flow of flows) flow.push();
    for (let count = 1; count <= 4; count++) {
      expect(recording.values).toHaveLength(count);
      holds[count - 1]?.release();
    }
    recording.subscription.unsubscribe();
    for (const hold of holds) hold.release();
    expect(flows.map((flow) => flow.held)).toEqual([false, false]);
    expect(source.held).toBe(false);
  });

  it('F5: iterating the output alternates between inner sources that all have values', async () => {
    const source = new SourceFlow('a', 'b', 'c');
    const got: string[] = [];
    for await (const value of source.pipe(mergeMapPaced((name) => endless(name), 3))) {
      if (got.push(value) === 9) break;
    }
    expect(got.slice(3).toSorted()).toEqual(['a1', 'a2', 'b1', 'b2', 'c1', 'c2']);
  });
});
