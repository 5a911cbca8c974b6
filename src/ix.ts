/**
 * The Flow for people who compose with ix: the one module that loads it.
 *
 * @module rxjs-sockets/ix
 */
import { AsyncIterableX } from 'ix/asynciterable';
import type { Flow } from './flow.js';

/**
 * Gives a Flow to ix, whose operators then pull it: one value is emitted for each that is asked for.
 *
 * @typeParam T - what the Flow emits
 * @param flow - the Flow; each iteration is a subscription of its own
 * @returns an `AsyncIterableX` over `flow[Symbol.asyncIterator]()`
 * @emits none
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
export function pull<T>(flow: Flow<T>): AsyncIterableX<T> {
  return new PulledFlow(flow);
}

class PulledFlow<T> extends AsyncIterableX<T> {
  private readonly flow: Flow<T>;

  constructor(flow: Flow<T>) {
    super();
    this.flow = flow;
  }

  override [Symbol.asyncIterator](): AsyncIterator<T> {
    return this.flow[Symbol.asyncIterator]();
  }
}
