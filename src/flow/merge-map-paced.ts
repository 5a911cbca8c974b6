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
 * Maps each value to an inner source, at most `concurrent` at once, and holds the origin while so many are under way.
 * It is RxJS's `mergeMap` without its unbounded buffer, and equivalent to:
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
 * @typeParam T - what the origin emits
 * @typeParam R - what the inner sources emit
 * @param project - gives the inner source of a value; `index` counts from 0 for each subscription. An iterable is
 * pulled
 * @param concurrent - how many inner sources may run at once, a whole number from 1; there is no default
 * @returns an operator; what it makes is a Flow, and holding that holds the origin and the inner sources (F6)
 * @emits the values of the inner sources as they come; completes once the origin and all inner sources have
 * @throws `ERR_OPTION_INVALID`, at once, for a bad `concurrent`; `ERR_NOT_A_FLOW`, at once, where it is applied to what
 * is no Flow (F6); what `project` throws, or an inner source fails with, is an error notification. A bad frame of the origin
 * comes after the inner sources under way have ended, so that answers to good requests come before it (D3). On a server,
 * an inner source that fails with the error of its own connection counts as completed: `incidents` has that error (S4)
 * @backpressure the origin is held while `concurrent` inner sources run, so at most the values that an operator before
 * it made of one wait here
 * @teardown unsubscribing ends the inner sources and the origin
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

/** What a paced operator derives: holding it holds the origin and whatever inner Flows are running. */
export class PacedFlow<T, R> extends Flow<R> {
  readonly origin: Flow<T>;
  readonly project: (value: T, index: number) => ObservableInput<R>;
  readonly concurrent: number;
  holds = 0;
  private readonly runs = new Set<Run<T, R>>();
  private originGrip: ReacquirableHold | undefined;

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
    if (this.originGrip === undefined) this.originGrip = this.origin.hold() as ReacquirableHold;
    else this.originGrip.take();
    for (const run of this.runs) run.holdInner();
  }

  release(): void {
    if (--this.holds > 0) return;
    // Whatever goes on may lead to a new Hold, which all that follow are under then. The origin is first, so that inner
    // sources that always have something don't keep others from beginning.
    this.originGrip?.release();
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

/** Whether answers can still be sent after `error`: those to what came before a bad frame are, and it comes after them (D3). */
function endsReceivingOnly(error: unknown): boolean {
  return error instanceof SocketError && error.code.startsWith('ERR_FRAME_') && originOf(error) !== undefined;
}

/** One inner source under way. */
interface Inner {
  grip: ReacquirableHold | undefined;
  subscription: Subscription | undefined;
}

/** One subscription to a {@link PacedFlow}. */
class Run<T, R> implements Unsubscribable {
  private readonly flow: PacedFlow<T, R>;
  private readonly subscriber: Subscriber<R>;
  private readonly inners = new Set<Inner>();
  /** Values of an origin that gave several at once, though it is held. */
  private readonly waiting: T[] = [];
  private readonly end = new Subject<void>();
  private busy: ReacquirableHold | undefined;
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
    for (const inner of this.inners) inner.grip?.take();
  }

  releaseInner(): void {
    for (const inner of this.inners) {
      if (this.flow.holds > 0) return;
      inner.grip?.release();
      // It went on, and that led to a new Hold: after this one it is the turn of the others.
      if (this.flow.holds > 0 && this.inners.delete(inner)) this.inners.add(inner);
    }
  }

  /** Leaves before it lets go, so that nothing is emitted to a subscriber that is gone. */
  unsubscribe(): void {
    this.stopped = true;
    this.subscription?.unsubscribe();
    this.end.next();
    for (const inner of this.inners) {
      inner.subscription?.unsubscribe();
      inner.grip?.release();
    }
    this.inners.clear();
    this.waiting.length = 0;
    this.busy?.release();
  }

  /** Starts what may be started, and holds the origin for as long as it would only have to wait. */
  private pump(): void {
    if (this.pumping) return;
    this.pumping = true;
    while (this.waiting.length > 0 && this.free && !this.stopped) this.project(this.waiting.shift() as T);
    this.pumping = false;
    if (this.stopped) return;
    if (!this.free) {
      if (this.busy === undefined) this.busy = this.flow.origin.hold() as ReacquirableHold;
      else this.busy.take();
    } else if (this.originEnded && this.inners.size === 0) {
      if (this.failure === undefined) this.subscriber.complete();
      else this.subscriber.error(this.failure.error);
    } else this.busy?.release();
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
      grip: source instanceof Flow ? (source.hold() as ReacquirableHold) : undefined,
      subscription: undefined,
    };
    this.inners.add(inner);
    let completed = false;
    // What gives values without end within the call of `subscribe` can be stopped from within them by `end` alone.
    inner.subscription = source.pipe(takeUntil(this.end)).subscribe({
      next: (result) => {
        this.subscriber.next(result);
      },
      error: (error: unknown) => {
        // That the connection which is served has failed is in `incidents`, and ends nothing else (S4).
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
    else if (this.flow.holds === 0) inner.grip?.release();
  }

  private ended(inner: Inner): void {
    this.inners.delete(inner);
    inner.grip?.release();
    this.pump();
  }
}
