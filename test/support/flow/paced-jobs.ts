import { defer, finalize, Observable, Subject } from 'rxjs';

/** Inner sources that the test ends. `running` is how many run now. `most` is the largest value of `running` so far. */
export class Jobs<R = string> {
  running = 0;
  most = 0;
  readonly started: number[] = [];
  readonly subjects: Subject<R>[] = [];
  readonly start = (value: number): Observable<R> =>
    defer(() => {
      const subject = new Subject<R>();
      this.subjects.push(subject);
      this.started.push(value);
      this.most = Math.max(this.most, ++this.running);
      return subject.pipe(finalize(() => this.running--));
    });
}

/** A synchronous and an asynchronous iterable of `values`, with counts of the calls of `next` and of `return`. */
export function counting<R>(values: readonly R[]) {
  const state = {
    asked: 0,
    returned: 0,
    sync: undefined as unknown as Iterable<R>,
    async: undefined as unknown as AsyncIterable<R>,
  };
  const next = (): IteratorResult<R> => {
    const index = state.asked++;
    return index < values.length ? { done: false, value: values[index] as R } : { done: true, value: undefined };
  };
  state.sync = {
    [Symbol.iterator]: () => ({
      next,
      return: () => {
        state.returned++;
        return { done: true, value: undefined };
      },
    }),
  };
  state.async = {
    [Symbol.asyncIterator]: () => ({
      next: async () => next(),
      return: async () => {
        state.returned++;
        return { done: true, value: undefined };
      },
    }),
  };
  return state;
}

export const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

export function endless(): Iterable<number>;

export function endless(name: string): Iterable<string>;

export function* endless(name?: string): Iterable<string | number> {
  for (let index = 0; ; index++) yield name === undefined ? index : `${name}${index}`;
}
