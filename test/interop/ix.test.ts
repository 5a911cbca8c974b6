import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { AsyncIterableX, from, toObservable } from 'ix/asynciterable';
import { buffer, filter, map, take, takeWhile, tap } from 'ix/asynciterable/operators';
import { firstValueFrom, map as mapValues, mergeMap, toArray } from 'rxjs';
import { lines } from 'rxjs-sockets/codecs';
import { pull } from 'rxjs-sockets/ix';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { places } from '../support/transport/places.js';
import { pairAt } from '../support/connection/connected-pairs.js';
import { refusal } from '../support/errors/refusal.js';
import { SourceFlow } from '../support/flow/source-flow.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('pull', () => {
  it('F5: passes the values of a Flow to ix operators', async () => {
    const flow = SourceFlow.ending(...numbers(10));
    const pulled = pull(flow).pipe(
      filter((value) => value % 2 === 1),
      map((value) => value * 10),
      buffer(2),
    );
    expect(pulled).toBeInstanceOf(AsyncIterableX);
    const got: number[][] = [];
    for await (const values of pulled) got.push(values);
    expect(got).toEqual([[10, 30], [50, 70], [90]]);
    expect(flow.held).toBe(false);
  });

  it('F5: holds the Flow while no value is requested', async () => {
    const flow = new SourceFlow(...numbers(10));
    let seen = 0;
    const pulled = pull(flow.pipe(mapValues((value) => (seen++, value)))).pipe(map((value) => value));
    expect(flow.held).toBe(false);
    const iterator = pulled[Symbol.asyncIterator]();
    for (let count = 1; count <= 3; count++) {
      expect((await iterator.next()).value).toBe(count - 1);
      await turns(3);
      expect(seen).toBe(count);
      expect(flow.held).toBe(true);
    }
    await iterator.return?.();
    expect(flow.held).toBe(false);
    expect(flow.subscribed).toBe(false);
  });

  it('F1: leaves the remaining values in the Flow after `take` and `break`', async () => {
    const flow = new SourceFlow(...numbers(6));
    const got: number[] = [];
    for await (const value of pull(flow).pipe(take(2))) got.push(value);
    for await (const value of pull(flow).pipe(takeWhile((value) => value < 3))) got.push(value);
    for await (const value of pull(flow)) {
      got.push(value);
      break;
    }
    // `takeWhile` has also consumed the value that ended it.
    expect(got).toEqual([0, 1, 2, 4]);
    expect(flow.waiting).toEqual([5]);
    expect(flow.held).toBe(false);
  });

  it('F5: subscribes to the Flow separately for each iteration', async () => {
    const flow = new SourceFlow<number>();
    const pulled = pull(flow);
    const [one, other] = [pulled[Symbol.asyncIterator](), pulled[Symbol.asyncIterator]()];
    const both = Promise.all([one.next(), other.next()]);
    flow.push(1, 2);
    expect((await both).map(({ value }) => value as number)).toEqual([1, 1]);
    await Promise.all([one.return?.(), other.return?.()]);
    expect(flow.waiting).toEqual([2]);
  });

  it('F5: rejects with the error of the Flow, after its values', async () => {
    const got: number[] = [];
    const pulled = pull(SourceFlow.failing(new Error('no more'), 1, 2)).pipe(tap((value) => void got.push(value)));
    await expect(
      (async () => {
        for await (const _value of pulled);
      })(),
    ).rejects.toThrow('no more');
    expect(got).toEqual([1, 2]);
  });

  it('F5: can be turned back into an Observable', async () => {
    const flow = SourceFlow.ending('a', 'b');
    const observable = toObservable(pull(flow).pipe(map((value) => value.toUpperCase())));
    const values = await new Promise<string[]>((resolve, reject) => {
      const got: string[] = [];
      observable.subscribe({ next: (value) => got.push(value), error: reject, complete: () => resolve(got) });
    });
    expect(values).toEqual(['A', 'B']);
  });

  it.each(places.map((place) => [place.name, place] as const))(
    'F5: makes the sender on %s wait for a slow pipeline, and loses nothing',
    async (_name, place) => {
      const { near, far } = await pairAt<string, string>(place, { codec: lines() });
      const line = 'x'.repeat(20_000);
      const count = 600;
      let sent = 0;
      const source = (function* () {
        for (; sent < count; sent++) yield `${sent} ${line}`;
      })();
      const sending = firstValueFrom(near.data.sendFrom(source), { defaultValue: 'sent' }).finally(() =>
        near.data.complete(),
      );
      let received = 0;
      const pipeline = pull(far.data).pipe(map((value) => Number.parseInt(value, 10)));
      const iterator = pipeline[Symbol.asyncIterator]();
      expect((await iterator.next()).value).toBe(received++);
      await turns(100);
      expect(far.stats.bytesRead).toBeLessThanOrEqual(65_536 * 3);
      expect(sent).toBeLessThan(count);
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
        expect(next.value).toBe(received++);
      }
      expect(received).toBe(count);
      expect(await sending).toBe('sent');
      far.data.complete();
      await until(() => near.data.closed && far.data.closed);
    },
  );

  it('F5: sendFrom sends an iterable of ix', async () => {
    const { near, far } = await pairAt<string, string>(places[2]!, { codec: lines() });
    const source = from(numbers(5)).pipe(map((value) => `line ${value}`));
    const received = firstValueFrom(far.data.pipe(toArray()));
    await firstValueFrom(near.data.sendFrom(source), { defaultValue: undefined });
    near.data.complete();
    expect(await received).toEqual(numbers(5).map((value) => `line ${value}`));
    far.data.complete();
  });
});

describe('pull with batch', () => {
  it('F12: returns the available values together, at most `batch` of them in one array', async () => {
    const flow = SourceFlow.ending(...numbers(7));
    const pulled = pull(flow, { batch: 3 }).pipe(map((values) => values));
    expect(pulled).toBeInstanceOf(AsyncIterableX);
    const got: number[][] = [];
    for await (const values of pulled) got.push(values);
    expect(got).toEqual([[0, 1, 2], [3, 4, 5], [6]]);
    expect(flow.held).toBe(false);
  });

  it('F12: waits for one value, then adds the values that arrive with it, up to `batch`', async () => {
    const flow = new SourceFlow<number>();
    const iterator = pull(flow, { batch: 4 })[Symbol.asyncIterator]();
    const first = iterator.next();
    await turns(3);
    flow.push(0);
    expect(await first).toEqual({ done: false, value: [0] });
    expect(flow.held).toBe(true);
    flow.push(1);
    expect(await iterator.next()).toEqual({ done: false, value: [1] });
    const third = iterator.next();
    flow.push(...numbers(6));
    expect(flow.waiting).toEqual([4, 5]);
    expect(flow.held).toBe(true);
    expect(await third).toEqual({ done: false, value: [0, 1, 2, 3] });
    flow.push(6, 7, 8);
    expect(await iterator.next()).toEqual({ done: false, value: [4, 5, 6, 7] });
    expect(flow.waiting).toEqual([8]);
    await iterator.return?.();
  });

  it('F12: holds the Flow between two arrays, and never extends an array that it has returned', async () => {
    const flow = new SourceFlow<number>();
    const iterator = pull(flow, { batch: 4 })[Symbol.asyncIterator]();
    const first = iterator.next();
    await turns(3);
    flow.push(0, 1);
    const { value } = (await first) as { value: number[] };
    expect(flow.held).toBe(true);
    const second = iterator.next();
    flow.push(2);
    expect(value).toEqual([0, 1]);
    expect(await second).toEqual({ done: false, value: [2] });
    await iterator.return?.();
    expect(flow.held).toBe(false);
  });

  it('F12: on `break` and `return()`, leaves the values after the last array in the Flow', async () => {
    const flow = new SourceFlow(...numbers(9));
    const got: number[][] = [];
    for await (const values of pull(flow, { batch: 2 })) {
      got.push(values);
      if (got.length === 2) break;
    }
    for await (const values of pull(flow, { batch: 3 }).pipe(take(1))) got.push(values);
    expect(got).toEqual([
      [0, 1],
      [2, 3],
      [4, 5, 6],
    ]);
    expect(flow.waiting).toEqual([7, 8]);
    expect(flow.held).toBe(false);
    expect(await firstValueFrom(flow)).toBe(7);
  });

  it('F12: on return(), settles the pending next() calls as done, except a call that already has its array', async () => {
    const flow = new SourceFlow<number>();
    const iterator = pull(flow, { batch: 4 })[Symbol.asyncIterator]();
    const parked = [iterator.next(), iterator.next()];
    await turns(3);
    flow.push(0, 1);
    void iterator.return?.();
    flow.push(2);
    expect(await Promise.all(parked)).toEqual([
      { done: false, value: [0, 1] },
      { done: true, value: undefined },
    ]);
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
    expect(flow.waiting).toEqual([2]);
    expect(flow.held).toBe(false);
  });

  it('F12: answers concurrent next() calls in order', async () => {
    const flow = new SourceFlow(...numbers(5));
    const iterator = pull(flow, { batch: 2 })[Symbol.asyncIterator]();
    const parked = [iterator.next(), iterator.next(), iterator.next(), iterator.next()];
    await turns(3);
    flow.push(5, 6, 7, 8);
    expect((await Promise.all(parked)).map(({ value }) => value as number[])).toEqual([[0, 1], [2, 3], [4], [5, 6]]);
    expect(flow.waiting).toEqual([7, 8]);
    expect(flow.held).toBe(true);
    await iterator.return?.();
  });

  it('F12: if one value becomes several, returns these values in arrays of at most `batch`', async () => {
    const flow = SourceFlow.ending('abcde', 'fg', 'h');
    const letters = flow.pipe(mergeMap((text) => text.split('')));
    const got: string[] = [];
    for await (const values of pull(letters, { batch: 3 })) got.push(values.join(''));
    expect(got).toEqual(['abc', 'def', 'gh']);
  });

  it('F12: after all values of the Flow, rejects once with the error of the Flow', async () => {
    const iterator = pull(SourceFlow.failing(new Error('no more'), 1, 2), { batch: 5 })[Symbol.asyncIterator]();
    expect(await iterator.next()).toEqual({ done: false, value: [1, 2] });
    await expect(iterator.next()).rejects.toThrow('no more');
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
  });

  it('F12: waits while another Hold holds the Flow, like any subscription', async () => {
    const flow = new SourceFlow(1, 2);
    const hold = flow.hold();
    const iterator = pull(flow, { batch: 5 })[Symbol.asyncIterator]();
    let settled = false;
    const parked = iterator.next().finally(() => (settled = true));
    await turns(3);
    expect(settled).toBe(false);
    hold.release();
    expect(await parked).toEqual({ done: false, value: [1, 2] });
    await iterator.return?.();
  });

  it.each(places.map((place) => [place.name, place] as const))(
    'F12: makes the sender on %s wait, and returns every line once and in order',
    async (_name, place) => {
      const { near, far } = await pairAt<string, string>(place, { codec: lines() });
      const all = numbers(20_000).map((index) => `${index} ${'x'.repeat(index % 90)}`);
      const sending = firstValueFrom(near.data.sendFrom(all), { defaultValue: undefined }).then(() =>
        near.data.complete(),
      );
      const got: string[] = [];
      let most = 0;
      for await (const some of pull(far.data, { batch: 100 })) {
        expect(some.length).toBeGreaterThan(0);
        most = Math.max(most, some.length);
        got.push(...some);
        if (got.length < 3_000) await turns(1);
        const received = got.reduce((size, line) => size + line.length + 1, 0);
        if (got.length < 3_000) expect(far.stats.bytesRead - received).toBeLessThanOrEqual(65_536 * 2);
      }
      await sending;
      expect(got).toEqual(all);
      expect(most).toBe(100);
      far.data.complete();
      await until(() => near.data.closed && far.data.closed);
    },
  );

  it('F12: refuses a bad `batch` and unknown options at once, and the error names the option', () => {
    const flow = new SourceFlow<number>();
    const refused = (options: unknown): unknown => refusal(() => pull(flow, options as { batch: number }));
    for (const batch of [0, -1, 1.5, NaN, Infinity, 2 ** 31, '3', null, undefined]) {
      expect(refused({ batch }), String(batch)).toMatchObject({
        code: 'ERR_OPTION_INVALID',
        message: expect.stringContaining('batch must be an integer from 1'),
      });
    }
    expect(refused({})).toMatchObject({ code: 'ERR_OPTION_INVALID' });
    expect(refused({ batch: 2, size: 3 })).toMatchObject({
      code: 'ERR_OPTION_INVALID',
      message: expect.stringContaining('size is not an option of pull'),
    });
    for (const options of [null, 3, 'batch', [3]]) {
      expect(refused(options), String(options)).toMatchObject({ code: 'ERR_OPTION_INVALID' });
    }
  });
});

describe('importing ix', () => {
  /** The modules that `program` loads. */
  async function loadedBy(program: string): Promise<string[]> {
    const hooks = `import { writeSync } from 'node:fs';
      export const load = (url, context, next) => (writeSync(1, url + '\\n'), next(url, context));`;
    const start = `import { register } from 'node:module'; register(${JSON.stringify(dataUrl(hooks))});`;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [
        '--import',
        'tsx',
        '--import',
        dataUrl(start),
        '--conditions=rxjs-sockets-source',
        '--input-type=module',
        '-e',
        program,
      ],
      { cwd: fileURLToPath(new URL('../..', import.meta.url)) },
    );
    return stdout.split('\n');
  }

  const dataUrl = (code: string): string => `data:text/javascript,${encodeURIComponent(code)}`;
  const isOfIx = (url: string): boolean => url.includes('/node_modules/ix/');

  it.each(['rxjs-sockets', 'rxjs-sockets/codecs', 'rxjs-sockets/interop', 'rxjs-sockets/testing'])(
    '%s does not load ix',
    async (entry) => {
      const loaded = await loadedBy(`import '${entry}';`);
      expect(loaded.some((url) => url.includes('/src/'))).toBe(true);
      expect(loaded.filter(isOfIx)).toEqual([]);
    },
  );

  it('rxjs-sockets/ix loads ix', async () => {
    const loaded = await loadedBy("import 'rxjs-sockets/ix';");
    expect(loaded.some(isOfIx)).toBe(true);
  });
});
