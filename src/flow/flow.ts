import { Observable, type Operator, type OperatorFunction, type Subscriber, type TeardownLogic } from 'rxjs';
import type { Observer, Subscription } from 'rxjs';
import { SocketError } from '../errors/socket-error.js';
import { FlowIterator } from './async-iteration.js';
import type { Hold } from './hold.js';
import { endsServer, liftPlainly, ReportedObservable } from './reported-errors.js';

/**
 * An Observer that wants a Flow subscribed to it to go at its own pace (F7).
 */
export const paced: unique symbol = Symbol('rxjs-sockets.paced');

interface PacedObserver<T> {
  [paced](flow: Flow<T>): Subscription;
}

/**
 * Gives values no faster than they can be dealt with: an Observable that can be held, and iterated with `for await`.
 *
 * A Flow is multicast and stands still while nobody is subscribed: what comes next waits for the next subscriber (F1,
 * F4). What an RxJS operator derives from a Flow is a Flow as well and holds its origin (F6); a value that an operator
 * such as `delay` has already taken is no longer the Flow's, so it still passes. The pacing of a Flow is equivalent to
 * this loop, run whenever one of its conditions has changed:
 *
 * ```text
 * while (subscribers > 0 && holds === 0 && a value is there)
 *   give that value to each subscriber
 * ```
 *
 * @typeParam T - what it emits
 * @emits whatever the origin has, in order, each value once to every subscriber (F4), then at most one terminal signal
 * (F8)
 * @throws nothing: a failure is an error notification with a `SocketError`
 * @backpressure while it is held or nobody is subscribed, the origin stops: see {@link Channel} and {@link Server}
 * @teardown unsubscribing the last subscriber stops it; what was not emitted stays for the next one (F1)
 * @example
 * ```ts
 * const hold = flow.hold();
 * setTimeout(() => hold.release(), 1_000); // a pause of a second, which the sender feels
 * ```
 * @see rules F1 to F11
 */
export abstract class Flow<T> extends ReportedObservable<T> implements AsyncIterable<T> {
  /**
   * Stops the emission, and the reading behind it, until the Hold is released.
   *
   * @returns the Hold; several may be held at once, and the Flow goes on when all are released (F2)
   * @backpressure rule F3 bounds what may wait while it is held
   * @teardown releasing the Hold; unsubscribing does not release it (F11)
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
   * Iterates at the pace of the loop: one value is emitted for each `next()`, and the Flow is held in between (F5).
   *
   * @returns an iterator of its own subscription, which begins at the first `next()`
   * @throws the Flow's error, as the rejection of the `next()` that meets it
   * @backpressure the Flow is held whenever no `next()` is waiting
   * @teardown `break` and `return()` unsubscribe; what was not taken stays in the Flow (F1)
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
   * Subscribes. An observer that is a Channel is not pushed at but fed at its pace: this is `sendFrom`, with completion
   * and error passed on (F7).
   *
   * @param observer - an observer or a function for the values; without one the values are dropped
   * @returns the Subscription; unsubscribing the last one makes the Flow stop (F1)
   * @emits what the Flow emits, never a value within this call (F9)
   * @backpressure a plain observer is called for every value; hold the Flow to slow it down
   * @teardown unsubscribing ends this subscription alone; the last one to leave stops the Flow (F1)
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
    // eslint-disable-next-line rxjs-x/prefer-observer -- whatever of RxJS's forms it was called in
    return super.subscribe(observer as (value: T) => void, error, complete);
  }

  /**
   * Derives a Flow through operators, as `Observable.pipe` does; the result can be held and iterated (F6).
   *
   * @returns a Flow whose Holds hold this one
   * @emits what the operators make of the values
   * @throws what an operator throws when it is applied
   * @backpressure holding the result holds this Flow
   * @teardown as of the operators
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

/**
 * The one check of every operator that can only work on a Flow (F6).
 */
export function assertFlow(source: unknown, operator: string): asserts source is Flow<unknown> {
  if (source instanceof Flow) return;
  throw new SocketError('ERR_NOT_A_FLOW', `${operator}: the source is no Flow, so it can't be held back`);
}

function isPaced<T>(observer: unknown): observer is PacedObserver<T> {
  return typeof observer === 'object' && observer !== null && paced in observer;
}
