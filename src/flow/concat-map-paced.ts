import type { ObservableInput, OperatorFunction } from 'rxjs';
import { assertFlow, type Flow } from './flow.js';
import { PacedFlow } from './merge-map-paced.js';

/**
 * Maps each value to an inner source, one after the other, and holds the origin while one is under way. It is RxJS's
 * `concatMap` without its unbounded buffer, and equivalent to:
 *
 * ```ts
 * async function* concatMapPaced<T, R>(flow: Flow<T>, project: (value: T, index: number) => AsyncIterable<R>) {
 *   let index = 0;
 *   for await (const value of flow) yield* project(value, index++);
 * }
 * ```
 *
 * @typeParam T - what the origin emits
 * @typeParam R - what the inner sources emit
 * @param project - gives the inner source of a value; `index` counts from 0 for each subscription. An iterable is
 * pulled
 * @returns an operator; what it makes is a Flow, and holding that holds the origin and the inner source (F6)
 * @emits the values of the inner sources in order; completes once the origin and the last inner source have
 * @throws `ERR_NOT_A_FLOW`, at once, where it is applied to what is no Flow (F6); what `project` throws, or an inner
 * source fails with, is an error notification
 * @backpressure the origin is held while an inner source runs, so at most the values that an operator before it made of
 * one wait here
 * @teardown unsubscribing ends the inner source, then the origin
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
