/**
 * Converts a Flow to an `AsyncIterableX` of IxJS. Only this module needs the package ix.
 *
 * @module rxjs-sockets/ix
 */
import { AsyncIterableX } from 'ix/asynciterable';
import type { Flow } from './flow/flow.js';
import { FlowBatches } from './flow/async-iteration.js';
import { checkExactOptions, count } from './validation/checks.js';

/**
 * Configures {@link pull} to take several values at a time from a Flow.
 *
 * @example
 * ```ts
 * const options: PullOptions = { batch: 256 };
 * for await (const lines of pull(connection.data, options)) count += lines.length;
 * ```
 * @see rule F12
 */
export interface PullOptions {
  /** The maximum number of values in an array: 1 to 2,147,483,647. Required. */
  readonly batch: number;
}

/**
 * Makes an iterable for ix from a Flow. Each time ix requests a value, the Flow emits one value. While ix requests
 * none, the Flow is held.
 *
 * Leaving the loop unsubscribes from the Flow, which keeps the values that the loop has not taken.
 *
 * @typeParam T - the type of the Flow's values
 * @param flow - the Flow. Each iteration is a subscription of its own
 * @returns an `AsyncIterableX` over `flow[Symbol.asyncIterator]()`
 * @throws the error of the Flow: if the Flow fails, `next()` rejects with the Flow's error
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
 * Turns a Flow into an ix iterable of arrays. The Flow is held until ix requests an array. Each array contains the
 * values that have arrived, but at most `batch` values. If no value has arrived, `next()` waits for one value. If many
 * values arrive, a loop over arrays is several times as fast as a loop over single values.
 *
 * Leaving the loop unsubscribes from the Flow, which keeps the values that are not yet in an array.
 *
 * @typeParam T - the type of the Flow's values
 * @param flow - the Flow. Each iteration is a subscription of its own
 * @param options - `batch`, the maximum number of values in an array: 1 to 2,147,483,647, without a default
 * @returns an `AsyncIterableX` of arrays, each with at least one value
 * @throws `ERR_OPTION_INVALID` for a bad `batch` or an unknown option. If the Flow fails, `next()` first returns all
 * earlier values, and then rejects with the Flow's error
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
  if (options === undefined) return new FlowIterable(() => flow[Symbol.asyncIterator]());
  // A caller that passes options expects arrays. So `pull` throws if `batch` is missing.
  const { batch } = checkExactOptions('pull', { batch: count }, options);
  return new FlowIterable(() => new FlowBatches(flow, batch));
}

class FlowIterable<T> extends AsyncIterableX<T> {
  private readonly iterate: () => AsyncIterator<T>;

  constructor(iterate: () => AsyncIterator<T>) {
    super();
    this.iterate = iterate;
  }

  override [Symbol.asyncIterator](): AsyncIterator<T> {
    return this.iterate();
  }
}
