import { from, map, toArray, firstValueFrom } from 'rxjs';
import { concatMapPaced, type Hold } from 'rxjs-sockets';
import { describe, expect, it } from 'vitest';
import { SourceFlow } from '../support/flow/source-flow.js';

/** A Flow whose Holds have only the methods of the interface `Hold`. */
class FlowWithOwnHolds<T> extends SourceFlow<T> {
  override hold(): Hold {
    const hold = super.hold();
    const release = (): void => hold.release();
    return { release, [Symbol.dispose]: release };
  }
}

function numbers(): FlowWithOwnHolds<number> {
  const flow = new FlowWithOwnHolds(1, 2, 3);
  flow.complete();
  return flow;
}

describe('a subclass of Flow with its own Holds', () => {
  it('F5: the subclass emits one value for each next()', async () => {
    const flow = numbers();
    const received: number[] = [];
    for await (const value of flow.pipe(map((number) => number * 2))) {
      expect(flow.held).toBe(true);
      received.push(value);
    }
    expect(received).toEqual([2, 4, 6]);
    expect(flow.held).toBe(false);
  });

  it('F6: the subclass is held while an inner source of a paced operator runs', async () => {
    const flow = numbers();
    const held: boolean[] = [];
    const results = flow.pipe(
      concatMapPaced(async (number) => {
        await Promise.resolve();
        held.push(flow.held);
        return number;
      }),
    );
    expect(await firstValueFrom(from(results).pipe(toArray()))).toEqual([1, 2, 3]);
    expect(held).toEqual([true, true, true]);
    expect(flow.held).toBe(false);
  });
});
