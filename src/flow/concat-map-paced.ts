import type { ObservableInput, OperatorFunction } from 'rxjs';
import { assertFlow, type Flow } from './flow.js';
import { PacedFlow } from './paced-flow.js';

/**
 * Maps each value of a Flow (the origin) to an inner source, runs one inner source at a time, and holds the origin
 * while that inner source is running. `concatMapPaced` is RxJS's `concatMap` without the unbounded buffer, and is
 * equivalent to:
 *
 * ```ts
 * async function* concatMapPaced<T, R>(flow: Flow<T>, project: (value: T, index: number) => AsyncIterable<R>) {
 *   let index = 0;
 *   for await (const value of flow) yield* project(value, index++);
 * }
 * ```
 *
 * The derived Flow completes when the origin and the last inner source have completed. If the origin or an inner source
 * fails, or `project` throws, the derived Flow immediately fails with that error. {@link mergeMapPaced}, which can run
 * several inner sources at once, lists two exceptions to this rule.
 *
 * The operator buffers values only if an earlier operator turns one value into several.
 *
 * @typeParam T - the type of the origin's values
 * @typeParam R - the type of the inner sources' values
 * @param project - returns the inner source for a value; `index` counts from 0 for each subscription. An inner
 * source that is an iterable is pulled only as its values are needed
 * @returns an operator that derives a Flow. Holding the derived Flow holds the origin and the inner source
 * @throws `ERR_NOT_A_FLOW` when the operator is applied to a source that is not a Flow
 * @example
 * ```ts
 * const answers = connection.data.pipe(concatMapPaced((question) => lookUp(question)));
 * answers.subscribe(connection.data);
 * ```
 * @see rule F6
 */
export function concatMapPaced<T, R>(project: (value: T, index: number) => ObservableInput<R>): OperatorFunction<T, R> {
  return (source) => {
    assertFlow(source, 'concatMapPaced');
    return new PacedFlow(source as Flow<T>, project, 1);
  };
}
