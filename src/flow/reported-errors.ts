import { Observable, type Observer, type Operator, Subscriber, type Subscription, throwError } from 'rxjs';
import { isReported } from '../errors/error-origin.js';

export const endsServer: unique symbol = Symbol('rxjs-sockets.endsServer');

/**
 * An Observable whose subscribers need no `error` handler for errors that a server reports. Otherwise a peer could end
 * the process by a reset, because RxJS would raise the error of the reset as unhandled (S19).
 */
export class ReportedObservable<T> extends Observable<T> {
  override subscribe(observer?: Partial<Observer<T>> | ((value: T) => void) | null): Subscription;
  /** @deprecated as in RxJS: pass an observer instead. */
  override subscribe(
    next?: ((value: T) => void) | null,
    error?: ((error: unknown) => void) | null,
    complete?: (() => void) | null,
  ): Subscription;
  override subscribe(
    observer?: Partial<Observer<T>> | ((value: T) => void) | null,
    error?: ((error: unknown) => void) | null,
    complete?: (() => void) | null,
  ): Subscription {
    if (observer instanceof Subscriber) return super.subscribe(observer);
    const unhandled = this[endsServer] ? raise : raiseUnreported;
    if (typeof observer === 'object' && observer !== null) {
      return super.subscribe(new WatchedObserver(observer, unhandled));
    }
    return super.subscribe(watched(observer, error ?? unhandled, complete));
  }

  /**
   * Whether this Observable is a server, or was derived from a server. An error of such an Observable ends the
   * program's subscription to the server, so the error is raised as unhandled even if the server reports it.
   *
   * @internal
   */
  get [endsServer](): boolean {
    return false;
  }

  /* eslint-disable @typescript-eslint/no-deprecated -- RxJS 7's operators call `lift` to derive an Observable */
  /** @internal */
  override lift<R>(operator?: Operator<T, R>): Observable<R> {
    const derived = liftPlainly(this, operator);
    return new ReportedObservable((subscriber) => derived.subscribe(subscriber));
  }
}

/** Derives an Observable with RxJS's own `lift`. */
export function liftPlainly<T, R>(source: Observable<T>, operator?: Operator<T, R>): Observable<R> {
  return Observable.prototype.lift.call(source, operator) as Observable<R>;
}
/* eslint-enable @typescript-eslint/no-deprecated */

function watched<T>(
  next: ((value: T) => unknown) | null | undefined,
  error: (error: unknown) => void,
  complete: (() => void) | null | undefined,
): Partial<Observer<T>> {
  return {
    next: (value: T) => {
      if (next !== undefined && next !== null) watchResult(next(value));
    },
    error,
    complete: complete ?? ignore,
  };
}

/** Calls the methods of a user's observer with that observer as `this`. */
class WatchedObserver<T> implements Observer<T> {
  private readonly observer: Partial<Observer<T>>;
  private readonly unhandled: (error: unknown) => void;

  constructor(observer: Partial<Observer<T>>, unhandled: (error: unknown) => void) {
    this.observer = observer;
    this.unhandled = unhandled;
  }

  next(value: T): void {
    watchResult(this.observer.next?.(value));
  }

  error(error: unknown): void {
    if (this.observer.error === undefined) this.unhandled(error);
    else this.observer.error(error);
  }

  complete(): void {
    this.observer.complete?.();
  }
}

/** Handles the promise of an `async` subscriber. A rejection is ignored if a server reports its error. */
function watchResult(result: unknown): void {
  if (typeof result !== 'object' || result === null) return;
  const { then } = result as Partial<PromiseLike<unknown>>;
  if (typeof then === 'function') then.call(result, undefined, rethrowUnreported);
}

function rethrowUnreported(error: unknown): void {
  if (!isReported(error)) throw error;
}

/** Raises an error as RxJS raises unhandled errors, unless a server reports it. */
function raiseUnreported(error: unknown): void {
  if (!isReported(error)) raise(error);
}

function raise(error: unknown): void {
  // eslint-disable-next-line rxjs-x/throw-error -- the error itself
  throwError(() => error).subscribe();
}

function ignore(): void {
  // nothing to do
}
