import {
  type Observable,
  type ObservableInput,
  type OperatorFunction,
  Subject,
  type Subscriber,
  type Subscription,
  takeUntil,
  type TeardownLogic,
  type Unsubscribable,
} from 'rxjs';
import { SocketError } from '../errors/socket-error.js';
import { integer } from '../validation/checks.js';
import { assertFlow, Flow } from './flow.js';
import { CountedHold, type ReacquirableHold, type Hold } from './hold.js';
import { isReported, originOf } from '../errors/error-origin.js';
import { pacedFrom } from './pulled-flow.js';
import { endsServer } from './reported-errors.js';

/**
 * Maps each value to an inner source, runs at most `concurrent` inner sources at once, and holds the origin while that
 * many are running. It is RxJS's `mergeMap` without the unbounded buffer. It is equivalent to:
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
 * The result emits the values of the inner sources as they come, and completes when the origin and all inner sources have
 * completed. An error of an inner source, or one that `project` throws, is an error notification. There are two exceptions:
 *
 * - The error of a bad frame is emitted after the running inner sources have ended, so that answers to good requests
 *   come first.
 * - On a server, an inner source that fails with the error of its own connection counts as completed. The error is reported
 *   in `incidents`.
 *
 * The operator buffers values only if an earlier operator turns one value into several.
 *
 * @typeParam T - the type of the origin's values
 * @typeParam R - the type of the inner sources' values
 * @param project - returns the inner source of a value; `index` counts from 0 for each subscription. The operator pulls
 * an iterable as it needs values
 * @param concurrent - the maximum number of inner sources that run at once: an integer, at least 1; there is no default
 * @returns an operator that derives a Flow: holding it holds the origin and the inner sources
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

/** The Flow that a paced operator derives. Holding it holds the origin and the running inner Flows. */
export class PacedFlow<T, R> extends Flow<R> {
  readonly origin: Flow<T>;
  readonly project: (value: T, index: number) => ObservableInput<R>;
  readonly concurrent: number;
  holds = 0;
  private readonly runs = new Set<Run<T, R>>();
  private originHold: ReacquirableHold | undefined;

  constructor(origin: Flow<T>, project: (value: T, index: number) => ObservableInput<R>, concurrent: number) {
    super();
    this.origin = origin;
    this.project = project;
    this.concurrent = concurrent;
  }

  override hold(): Hold {
    return new CountedHold(this);
  }

  /** @internal */
  override get [endsServer](): boolean {
    return this.origin[endsServer];
  }

  take(): void {
    if (this.holds++ > 0) return;
    if (this.originHold === undefined) this.originHold = this.origin.hold() as ReacquirableHold;
    else this.originHold.take();
    for (const run of this.runs) run.holdInner();
  }

  release(): void {
    if (--this.holds > 0) return;
    // A released source may emit a value that causes a new Hold, which then applies to the sources after it. The origin
    // is released first, so that inner sources that always have values don't keep others from starting.
    this.originHold?.release();
    for (const run of this.runs) run.releaseInner();
  }

  protected override _subscribe(subscriber: Subscriber<R>): TeardownLogic {
    const run = new Run(this, subscriber);
    this.runs.add(run);
    run.start();
    return () => {
      this.runs.delete(run);
      run.unsubscribe();
    };
  }
}

/**
 * Returns whether answers can still be sent after `error`: after a bad frame, the answers to earlier messages are sent
 * first (D3).
 */
function endsReceivingOnly(error: unknown): boolean {
  return error instanceof SocketError && error.code.startsWith('ERR_FRAME_') && originOf(error) !== undefined;
}

/** A running inner source. */
interface Inner {
  hold: ReacquirableHold | undefined;
  subscription: Subscription | undefined;
}

/** One subscription to a {@link PacedFlow}. */
class Run<T, R> implements Unsubscribable {
  private readonly flow: PacedFlow<T, R>;
  private readonly subscriber: Subscriber<R>;
  private readonly inners = new Set<Inner>();
  /** Values of an origin that emitted several at once, even though it was held. */
  private readonly waiting: T[] = [];
  private readonly end = new Subject<void>();
  private busyHold: ReacquirableHold | undefined;
  private subscription: Subscription | undefined;
  private index = 0;
  private pumping = false;
  private originEnded = false;
  private failure: { readonly error: unknown } | undefined;
  private stopped = false;

  constructor(flow: PacedFlow<T, R>, subscriber: Subscriber<R>) {
    this.flow = flow;
    this.subscriber = subscriber;
  }

  start(): void {
    this.subscription = this.flow.origin.subscribe({
      next: (value) => {
        this.waiting.push(value);
        this.pump();
      },
      error: (error: unknown) => {
        if (!endsReceivingOnly(error)) {
          this.subscriber.error(error);
          return;
        }
        this.failure = { error };
        this.originEnded = true;
        this.pump();
      },
      complete: () => {
        this.originEnded = true;
        this.pump();
      },
    });
    if (this.stopped) this.subscription.unsubscribe();
  }

  holdInner(): void {
    for (const inner of this.inners) inner.hold?.take();
  }

  releaseInner(): void {
    for (const inner of this.inners) {
      if (this.flow.holds > 0) return;
      inner.hold?.release();
      // Its values caused a new Hold, so it moves to the end: at the next release, the other sources come first.
      if (this.flow.holds > 0 && this.inners.delete(inner)) this.inners.add(inner);
    }
  }

  /** Unsubscribes before it releases, so that nothing is emitted to a subscriber that has left. */
  unsubscribe(): void {
    this.stopped = true;
    this.subscription?.unsubscribe();
    this.end.next();
    for (const inner of this.inners) {
      inner.subscription?.unsubscribe();
      inner.hold?.release();
    }
    this.inners.clear();
    this.waiting.length = 0;
    this.busyHold?.release();
  }

  /** Starts inner sources, and holds the origin while no further one may start. */
  private pump(): void {
    if (this.pumping) return;
    this.pumping = true;
    while (this.waiting.length > 0 && this.free && !this.stopped) this.project(this.waiting.shift() as T);
    this.pumping = false;
    if (this.stopped) return;
    if (!this.free) {
      if (this.busyHold === undefined) this.busyHold = this.flow.origin.hold() as ReacquirableHold;
      else this.busyHold.take();
    } else if (this.originEnded && this.inners.size === 0) {
      if (this.failure === undefined) this.subscriber.complete();
      else this.subscriber.error(this.failure.error);
    } else this.busyHold?.release();
  }

  private get free(): boolean {
    return this.inners.size < this.flow.concurrent;
  }

  private project(value: T): void {
    let source: Observable<R>;
    try {
      source = pacedFrom(this.flow.project(value, this.index++));
    } catch (error) {
      this.subscriber.error(error);
      return;
    }
    const inner: Inner = {
      hold: source instanceof Flow ? (source.hold() as ReacquirableHold) : undefined,
      subscription: undefined,
    };
    this.inners.add(inner);
    let completed = false;
    // A source that emits endlessly within `subscribe` has no subscription yet, so only `end` can stop it.
    inner.subscription = source.pipe(takeUntil(this.end)).subscribe({
      next: (result) => {
        this.subscriber.next(result);
      },
      error: (error: unknown) => {
        // The error of the connection that is served is reported in `incidents`, and ends nothing else (S4).
        if (isReported(error) && originOf(error) === value) completed = true;
        else this.subscriber.error(error);
      },
      complete: () => {
        completed = true;
      },
    });
    // As in RxJS, an inner source is torn down before the next one begins.
    inner.subscription.add(() => {
      if (completed) this.ended(inner);
    });
    if (this.stopped) inner.subscription.unsubscribe();
    else if (this.flow.holds === 0) inner.hold?.release();
  }

  private ended(inner: Inner): void {
    this.inners.delete(inner);
    inner.hold?.release();
    this.pump();
  }
}
