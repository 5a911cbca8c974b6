import type { ObservableInput, OperatorFunction } from 'rxjs';
import { integer } from '../validation/checks.js';
import { assertFlow, type Flow } from './flow.js';
import { PacedFlow } from './paced-flow.js';

/**
 * Maps each value of a Flow (the origin) to an inner source, and runs at most `concurrent` inner sources at the same
 * time. While that many inner sources are running, the origin is held. `mergeMapPaced` is RxJS's `mergeMap` without the
 * unbounded buffer, and is equivalent to:
 *
 * ```ts
 * async function mergeMapPaced<T, R>(
 *   flow: Flow<T>,
 *   project: (value: T, index: number) => Observable<R>,
 *   concurrent: number,
 *   subscriber: Observer<R>,
 * ) {
 *   const running = new Set<Promise<void>>();
 *   let index = 0;
 *   for await (const value of flow) {
 *     const results = project(value, index++);
 *     const run: Promise<void> = results.forEach((result) => subscriber.next(result)).finally(() => running.delete(run));
 *     running.add(run);
 *     if (running.size === concurrent) await Promise.race(running);
 *   }
 *   await Promise.all(running);
 *   subscriber.complete();
 * }
 * ```
 *
 * The derived Flow completes when the origin and all inner sources have completed. If the origin or an inner source
 * fails, or `project` throws, the derived Flow immediately fails with that error. There are two exceptions:
 *
 * - If the origin fails because of a bad frame, the derived Flow fails only after the inner sources have completed, so
 *   that earlier requests are still answered.
 * - If an inner source serves a connection of a server, and fails with that connection's own error, the inner source
 *   counts as completed. The error is reported in `incidents`.
 *
 * The operator buffers values only if an earlier operator turns one value into several.
 *
 * @typeParam T - the type of the origin's values
 * @typeParam R - the type of the inner sources' values
 * @param project - returns the inner source for a value; `index` counts from 0 for each subscription. An inner
 * source that is an iterable is pulled only as its values are needed
 * @param concurrent - the maximum number of inner sources that run at once: an integer, at least 1; there is no default
 * @returns an operator that derives a Flow. Holding the derived Flow holds the origin and the inner sources
 * @throws `ERR_OPTION_INVALID` for a bad `concurrent`; `ERR_NOT_A_FLOW` when the operator is applied to a source that
 * is not a Flow
 * @example
 * ```ts
 * const served = server.pipe(mergeMapPaced((connection) => serveOne(connection), 100)); // a hundred at once
 * served.subscribe({ error: (error: unknown) => console.log(String(error)) });
 * ```
 * @see rules F6 and S5
 */
export function mergeMapPaced<T, R>(
  project: (value: T, index: number) => ObservableInput<R>,
  concurrent: number,
): OperatorFunction<T, R> {
  integer(1, Number.MAX_SAFE_INTEGER)('mergeMapPaced: concurrent', concurrent);
  return (source) => {
    assertFlow(source, 'mergeMapPaced');
    return new PacedFlow(source as Flow<T>, project, concurrent);
  };
}
