/**
 * The Flow for people who compose with ix: the one module that loads it.
 *
 * @module rxjs-sockets/ix
 */
import { AsyncIterableX } from 'ix/asynciterable';
import type { Flow } from './flow/flow.js';
import { FlowBatches } from './flow/async-iteration.js';
import { checkOptions, count, refuseUnknown } from './validation/checks.js';

/**
 * Sets how a Flow is pulled.
 *
 * @backpressure `batch` bounds what is taken at once
 * @example
 * ```ts
 * const options: PullOptions = { batch: 256 };
 * for await (const lines of pull(connection.data, options)) count += lines.length;
 * ```
 * @see rule F12
 */
export interface PullOptions {
  /** How many values an array has at most. A whole number from 1 to under 2³¹; there is no default (F12). */
  readonly batch: number;
}

/**
 * Gives a Flow to ix, whose operators then pull it: one value is emitted for each that is asked for.
 *
 * @typeParam T - what the Flow emits
 * @param flow - the Flow; each iteration is a subscription of its own
 * @returns an `AsyncIterableX` over `flow[Symbol.asyncIterator]()`
 * @throws the Flow's error, as the rejection of the `next()` that meets it
 * @backpressure the Flow is held whenever no `next()` is waiting (F5)
 * @teardown leaving the loop unsubscribes; what was not taken stays in the Flow (F1)
 * @example
 * ```ts
 * import { map } from 'ix/asynciterable/operators';
 *
 * const lengths = pull(connection.data).pipe(map((line) => line.length));
 * for await (const length of lengths) total += length;
 * ```
 * @see https://github.com/ReactiveX/IxJS and rule F5
 */
export function pull<T>(flow: Flow<T>): AsyncIterableX<T>;
/**
 * Gives a Flow to ix in arrays: for each that is asked for, what can be had without waiting. An item costs ix far more
 * than reading it does, so where there are many, this is several times as fast.
 *
 * @typeParam T - what the Flow emits
 * @param flow - the Flow; each iteration is a subscription of its own
 * @param options - `batch`, how many values an array has at most: a whole number from 1 to under 2³¹, without a default
 * @returns an `AsyncIterableX` of arrays, each with one value at least
 * @throws `ERR_OPTION_INVALID`, at once, for a bad `batch` or another option (A5); the Flow's error, as the rejection of
 * the `next()` that meets it, after all values before it
 * @backpressure the Flow is held whenever no `next()` is waiting (F5), and gives at most `batch` values for each (F12)
 * @teardown leaving the loop unsubscribes; an array that was handed over was taken, the rest stays in the Flow (F1, F12)
 * @example
 * ```ts
 * import { map } from 'ix/asynciterable/operators';
 *
 * const sizes = pull(connection.data, { batch: 256 }).pipe(map((lines) => lines.join('').length));
 * for await (const size of sizes) total += size;
 * ```
 * @see https://github.com/ReactiveX/IxJS and rules F5 and F12
 */
export function pull<T>(flow: Flow<T>, options: PullOptions): AsyncIterableX<T[]>;
export function pull<T>(flow: Flow<T>, options?: PullOptions): AsyncIterableX<T> | AsyncIterableX<T[]> {
  if (options === undefined) return new Pulled(() => flow[Symbol.asyncIterator]());
  // `batch` is required: without it a reader would get values where arrays were asked for.
  const checks = { batch: count };
  const { batch } = checkOptions(checks, options);
  refuseUnknown('pull', checks, options);
  return new Pulled(() => new FlowBatches(flow, batch));
}

class Pulled<T> extends AsyncIterableX<T> {
  private readonly iterate: () => AsyncIterator<T>;

  constructor(iterate: () => AsyncIterator<T>) {
    super();
    this.iterate = iterate;
  }

  override [Symbol.asyncIterator](): AsyncIterator<T> {
    return this.iterate();
  }
}
