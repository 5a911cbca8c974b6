import { Observable, type Operator, type OperatorFunction, type Subscriber, type TeardownLogic } from 'rxjs';
import type { Observer, Subscription } from 'rxjs';
import { SocketError } from '../errors/socket-error.js';
import { FlowIterator } from './async-iteration.js';
import type { Hold } from './hold.js';
import { endsServer, liftPlainly, ReportedObservable } from './reported-errors.js';

/** Marks an observer that subscribes to a Flow by itself, to pace it (F7). */
export const paced: unique symbol = Symbol('rxjs-sockets.paced');

interface PacedObserver<T> {
  [paced](flow: Flow<T>): Subscription;
}

/**
 * An Observable that can be held, and iterated with `for await`: its origin emits no faster than the consumer takes.
 *
 * A Flow is multicast. While it has no subscriber it stops, and the next value waits for the next subscriber. RxJS's
 * operators derive a Flow from a Flow, and holding the result holds the origin. A value that an operator such as `delay`
 * has already taken still passes. The pacing of a Flow is equivalent to this loop, run whenever one of its conditions has
 * changed:
 *
 * ```text
 * while (subscribers > 0 && holds === 0 && a value is there)
 *   give that value to each subscriber
 * ```
 *
 * Each subscriber gets each value once, in order, then at most one terminal notification. When the last subscriber
 * unsubscribes, the Flow stops. Values that were not emitted wait for the next subscriber.
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
   * Stops the Flow, and the reading behind it, until the Hold is released. Several Holds may be taken; the Flow goes on
   * when all are released. Unsubscribing releases none.
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
   * Iterates at the pace of the loop. Each `next()` takes one value, and the Flow is held in between.
   *
   * `break` and `return()` unsubscribe, and values that were not taken stay in the Flow. An error of the Flow rejects
   * `next()`.
   *
   * @returns an iterator with a subscription of its own, which begins at the first `next()`
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
   * Lets operators that are applied outside the method `pipe` derive a Flow, too: RxJS's function
   * `pipe(map(f), concatMapPaced(g))` applies each to the result of the one before.
   *
   * @internal
   */
  override lift<R>(operator?: Operator<T, R>): Observable<R> {
    const derived = liftPlainly(this, operator);
    // RxJS's ConnectableObservable (`publish`) is no Flow, but borrows this method from the Flow that it connects to.
    return this instanceof Flow ? new DerivedFlow<R>(this, derived) : derived;
  }

  // TypeScript's error message is about the last overload, so the one to use comes last. The deprecated one requires two
  // arguments: a call with one argument is checked against the other alone.
  /** @deprecated as in RxJS: pass an observer instead. */
  override subscribe(
    next: ((value: T) => void) | null | undefined,
    error: ((error: unknown) => void) | null | undefined,
    complete?: (() => void) | null,
  ): Subscription;
  /**
   * Subscribes. A Channel as the observer paces the Flow: this is `sendFrom`, with completion and error passed on.
   *
   * No value is emitted within this call. A plain observer is called for every value: hold the Flow to slow it down.
   *
   * @param observer - an observer, or a function for the values; without one the values are dropped
   * @returns the Subscription; the Flow stops when the last one is unsubscribed
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
   * Applies operators, as `Observable.pipe` does. The result is a Flow: holding it holds this Flow.
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
      // A result with members of its own, such as a ConnectableObservable, is passed on as it is.
      const isPlain =
        result instanceof Observable &&
        (result.constructor === Observable || (result instanceof ReportedObservable && !(result instanceof Flow)));
      return isPlain ? new DerivedFlow<any>(this, result) : result;
    }, this) as Flow<unknown>;
  }
}

/** Wraps what operators derived from a Flow. Holding it holds the origin. */
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

/** Throws for a source that is no Flow, if an operator can work only on a Flow (F6). */
export function assertFlow(source: unknown, operator: string): asserts source is Flow<unknown> {
  if (source instanceof Flow) return;
  throw new SocketError('ERR_NOT_A_FLOW', `${operator}: the source is no Flow, so it can't be held back`);
}

function isPaced<T>(observer: unknown): observer is PacedObserver<T> {
  return typeof observer === 'object' && observer !== null && paced in observer;
}
