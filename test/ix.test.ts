import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { AsyncIterableX, from, toObservable } from 'ix/asynciterable';
import { buffer, filter, map, take, takeWhile, tap } from 'ix/asynciterable/operators';
import { firstValueFrom, map as mapValues, toArray } from 'rxjs';
import { lines } from 'rxjs-sockets/codecs';
import { pull } from 'rxjs-sockets/ix';
import { describe, expect, it } from 'vitest';
import './support/leaks.js';
import { pairAt, places } from './support/places.js';
import { SourceFlow } from './support/source-flow.js';
import { turns, until } from './support/turns.js';

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('pull', () => {
  it('F5: gives the values of a Flow to the operators of ix', async () => {
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

  it('F5: is paced: the Flow is held while no value is wanted', async () => {
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

  it('F1: `take` and `break` leave the rest in the Flow', async () => {
    const flow = new SourceFlow(...numbers(6));
    const got: number[] = [];
    for await (const value of pull(flow).pipe(take(2))) got.push(value);
    for await (const value of pull(flow).pipe(takeWhile((value) => value < 3))) got.push(value);
    for await (const value of pull(flow)) {
      got.push(value);
      break;
    }
    // takeWhile has taken the one at which it ended.
    expect(got).toEqual([0, 1, 2, 4]);
    expect(flow.waiting).toEqual([5]);
    expect(flow.held).toBe(false);
  });

  it('F5: each iteration is a subscription of its own', async () => {
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

  it('F5: goes back to an Observable', async () => {
    const flow = SourceFlow.ending('a', 'b');
    const observable = toObservable(pull(flow).pipe(map((value) => value.toUpperCase())));
    const values = await new Promise<string[]>((resolve, reject) => {
      const got: string[] = [];
      observable.subscribe({ next: (value) => got.push(value), error: reject, complete: () => resolve(got) });
    });
    expect(values).toEqual(['A', 'B']);
  });

  it.each(places.map((place) => [place.name, place] as const))(
    'F5: on a channel on %s, a slow pipeline makes the sender wait, and loses nothing',
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

  it('F5: what ix makes can be sent: it is pulled', async () => {
    const { near, far } = await pairAt<string, string>(places[2]!, { codec: lines() });
    const source = from(numbers(5)).pipe(map((value) => `line ${value}`));
    const received = firstValueFrom(far.data.pipe(toArray()));
    await firstValueFrom(near.data.sendFrom(source), { defaultValue: undefined });
    near.data.complete();
    expect(await received).toEqual(numbers(5).map((value) => `line ${value}`));
    far.data.complete();
  });
});

describe('the import of ix', () => {
  /** Which modules a program loads that consists of this one line. */
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
      { cwd: fileURLToPath(new URL('..', import.meta.url)) },
    );
    return stdout.split('\n');
  }

  const dataUrl = (code: string): string => `data:text/javascript,${encodeURIComponent(code)}`;
  const isOfIx = (url: string): boolean => url.includes('/node_modules/ix/');

  it.each(['rxjs-sockets', 'rxjs-sockets/codecs', 'rxjs-sockets/testing'])('%s does not load it', async (entry) => {
    const loaded = await loadedBy(`import '${entry}';`);
    expect(loaded.some((url) => url.includes('/src/'))).toBe(true);
    expect(loaded.filter(isOfIx)).toEqual([]);
  });

  it('rxjs-sockets/ix does', async () => {
    const loaded = await loadedBy("import 'rxjs-sockets/ix';");
    expect(loaded.some(isOfIx)).toBe(true);
  });
});
