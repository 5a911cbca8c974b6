import { Observable, type Operator, type OperatorFunction, type Subscriber, type TeardownLogic } from 'rxjs';
import type { Observer, Subscription } from 'rxjs';
import { SocketError } from '../errors/socket-error.js';
import { FlowIterator } from './async-iteration.js';
import type { Hold } from './hold.js';
import { endsServer, liftPlainly, ReportedObservable } from './reported-errors.js';

/** The method with which an observer subscribes itself to a Flow and paces the Flow (F7). */
export const paced: unique symbol = Symbol('rxjs-sockets.paced');

interface PacedObserver<T> {
  [paced](flow: Flow<T>): Subscription;
}

/**
 * An Observable that you can hold, or iterate with `for await`. Either way, the origin of its values, for example a
 * connection, emits no faster than the consumer reads.
 *
 * A Flow is multicast. RxJS's operators derive a Flow from a Flow, and holding the result holds the origin. A Hold does
 * not stop values that an operator such as `delay` has already received. A Flow emits like this loop, which runs
 * whenever one of its conditions has changed:
 *
 * ```text
 * while (subscribers > 0 && holds === 0 && a value is available)
 *   emit that value to each subscriber
 * ```
 *
 * Each subscriber gets each value once, in order, and then at most one terminal notification. The Flow stops when the
 * last subscriber unsubscribes. The remaining values go to the next subscriber.
 *
 * @typeParam T - the type of the values
 * @example
 * ```ts
 * const hold = flow.hold();
 * setTimeout(() => hold.release(), 1_000); // a pause of a second, which the sender feels
 * ```
 * @see rules F1 to F11
 */
export abstract class Flow<T> extends ReportedObservable<T> implements AsyncIterable<T> {
  /**
   * Pauses the Flow and its origin until the Hold is released. A Flow with several Holds continues when all of them are
   * released. Unsubscribing does not release a Hold.
   *
   * @example
   * ```ts
   * const hold = flow.hold();
   * hold.release();
   * ```
   * @see rules F2, F3 and F11
   */
  abstract hold(): Hold;

  /** @internal */
  protected abstract _subscribe(subscriber: Subscriber<T>): TeardownLogic;

  /**
   * Iterates at the pace of the `for await` loop. Each `next()` takes one value. The Flow is held between two calls of
   * `next()`.
   *
   * `break` and `return()` unsubscribe. The values that the Flow has not emitted stay in the Flow. But if an operator
   * has turned one value into several, and the loop has taken only some of these, the others are dropped. If the Flow
   * fails, `next()` rejects with the Flow's error.
   *
   * @returns an iterator with its own subscription, which begins at the first `next()`
   * @example
   * ```ts
   * for await (const line of connection.data) await store(line);
   * ```
   * @see rule F5
   */
  [Symbol.asyncIterator](): AsyncIterator<T> {
    return new FlowIterator(this);
  }

  /**
   * Makes an operator return a Flow even if it is applied without the method `pipe`, for example by RxJS's function
   * `pipe`.
   *
   * @internal
   */
  override lift<R>(operator?: Operator<T, R>): Observable<R> {
    const derived = liftPlainly(this, operator);
    // RxJS's ConnectableObservable (`publish`) is not a Flow, but takes this method from its source, which is a Flow.
    const origin = this instanceof Flow ? this : (this as Observable<T>).source;
    return origin instanceof Flow ? new DerivedFlow<R>(origin, derived) : derived;
  }

  // TypeScript reports errors against the last overload, so the recommended overload comes last. The deprecated
  // overload requires two arguments, so that it does not match a call with one argument.
  /** @deprecated as in RxJS: pass an observer instead. */
  override subscribe(
    next: ((value: T) => void) | null | undefined,
    error: ((error: unknown) => void) | null | undefined,
    complete?: (() => void) | null,
  ): Subscription;
  /**
   * Subscribes an observer. If the observer is a Channel, the call works like `sendFrom`, and also passes on completion
   * and errors. Any other observer does not slow the Flow down: for that, hold the Flow.
   *
   * No value is emitted within this call, unless an operator such as `startWith` emits a value.
   *
   * @param observer - an observer, or a function for the values. Without an observer, the values are dropped
   * @returns the Subscription; the Flow stops when its last subscriber unsubscribes
   * @example
   * ```ts
   * connection.data.subscribe(connection.data); // an echo at the peer's pace
   * ```
   * @see rules F1, F7 and F9
   */
  override subscribe(observer?: Partial<Observer<T>> | ((value: T) => void)): Subscription;
  override subscribe(
    observer?: Partial<Observer<T>> | ((value: T) => void) | null,
    error?: ((error: unknown) => void) | null,
    complete?: (() => void) | null,
  ): Subscription {
    if (isPaced<T>(observer)) return observer[paced](this);
    // eslint-disable-next-line rxjs-x/prefer-observer -- each of RxJS's overloads ends here
    return super.subscribe(observer as (value: T) => void, error, complete);
  }

  /**
   * Applies operators, as `Observable.pipe` does. Holding the result holds this Flow.
   *
   * @returns the derived Flow
   * @example
   * ```ts
   * const numbers = connection.data.pipe(
   *   map((line) => Number(line)),
   *   filter((number) => Number.isFinite(number)),
   * );
   * for await (const number of numbers) total += number;
   * ```
   * @see rule F6
   */
  override pipe(): Flow<T>;
  override pipe<A>(op1: OperatorFunction<T, A>): Flow<A>;
  override pipe<A, B>(op1: OperatorFunction<T, A>, op2: OperatorFunction<A, B>): Flow<B>;
  override pipe<A, B, C>(
    op1: OperatorFunction<T, A>,
    op2: OperatorFunction<A, B>,
    op3: OperatorFunction<B, C>,
  ): Flow<C>;
  override pipe<A, B, C, D>(
    op1: OperatorFunction<T, A>,
    op2: OperatorFunction<A, B>,
    op3: OperatorFunction<B, C>,
    op4: OperatorFunction<C, D>,
  ): Flow<D>;
  override pipe<A, B, C, D, E>(
    op1: OperatorFunction<T, A>,
    op2: OperatorFunction<A, B>,
    op3: OperatorFunction<B, C>,
    op4: OperatorFunction<C, D>,
    op5: OperatorFunction<D, E>,
  ): Flow<E>;
  override pipe<A, B, C, D, E, F>(
    op1: OperatorFunction<T, A>,
    op2: OperatorFunction<A, B>,
    op3: OperatorFunction<B, C>,
    op4: OperatorFunction<C, D>,
    op5: OperatorFunction<D, E>,
    op6: OperatorFunction<E, F>,
  ): Flow<F>;
  override pipe<A, B, C, D, E, F, G>(
    op1: OperatorFunction<T, A>,
    op2: OperatorFunction<A, B>,
    op3: OperatorFunction<B, C>,
    op4: OperatorFunction<C, D>,
    op5: OperatorFunction<D, E>,
    op6: OperatorFunction<E, F>,
    op7: OperatorFunction<F, G>,
  ): Flow<G>;
  override pipe<A, B, C, D, E, F, G, H>(
    op1: OperatorFunction<T, A>,
    op2: OperatorFunction<A, B>,
    op3: OperatorFunction<B, C>,
    op4: OperatorFunction<C, D>,
    op5: OperatorFunction<D, E>,
    op6: OperatorFunction<E, F>,
    op7: OperatorFunction<F, G>,
    op8: OperatorFunction<G, H>,
  ): Flow<H>;
  override pipe<A, B, C, D, E, F, G, H, I>(
    op1: OperatorFunction<T, A>,
    op2: OperatorFunction<A, B>,
    op3: OperatorFunction<B, C>,
    op4: OperatorFunction<C, D>,
    op5: OperatorFunction<D, E>,
    op6: OperatorFunction<E, F>,
    op7: OperatorFunction<F, G>,
    op8: OperatorFunction<G, H>,
    op9: OperatorFunction<H, I>,
  ): Flow<I>;
  override pipe<A, B, C, D, E, F, G, H, I>(
    op1: OperatorFunction<T, A>,
    op2: OperatorFunction<A, B>,
    op3: OperatorFunction<B, C>,
    op4: OperatorFunction<C, D>,
    op5: OperatorFunction<D, E>,
    op6: OperatorFunction<E, F>,
    op7: OperatorFunction<F, G>,
    op8: OperatorFunction<G, H>,
    op9: OperatorFunction<H, I>,
    ...more: OperatorFunction<any, any>[]
  ): Flow<unknown>;
  override pipe(...operators: OperatorFunction<any, any>[]): Flow<unknown> {
    return operators.reduce<unknown>((source, operator) => {
      const result: unknown = operator(source as Observable<any>);
      // A result with members of its own, such as a ConnectableObservable, is returned unchanged.
      const isPlain =
        result instanceof Observable &&
        (result.constructor === Observable || (result instanceof ReportedObservable && !(result instanceof Flow)));
      return isPlain ? new DerivedFlow<any>(this, result) : result;
    }, this) as Flow<unknown>;
  }
}

/** Wraps an Observable that operators have derived from a Flow. */
class DerivedFlow<T> extends Flow<T> {
  private readonly origin: Flow<unknown>;
  private readonly derived: Observable<T>;

  constructor(origin: Flow<unknown>, derived: Observable<T>) {
    super();
    this.origin = origin;
    this.derived = derived;
  }

  override hold(): Hold {
    return this.origin.hold();
  }

  /** @internal */
  override get [endsServer](): boolean {
    return this.origin[endsServer];
  }

  protected override _subscribe(subscriber: Subscriber<T>): TeardownLogic {
    return this.derived.subscribe(subscriber);
  }
}

/** Throws if `source` is not a Flow (F6). */
export function assertFlow(source: unknown, operator: string): asserts source is Flow<unknown> {
  if (source instanceof Flow) return;
  throw new SocketError('ERR_NOT_A_FLOW', `${operator}: the source is not a Flow, so it can't be held`);
}

function isPaced<T>(observer: unknown): observer is PacedObserver<T> {
  return typeof observer === 'object' && observer !== null && paced in observer;
}
