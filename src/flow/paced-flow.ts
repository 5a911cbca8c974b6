import {
  type Observable,
  type ObservableInput,
  Subject,
  type Subscriber,
  type Subscription,
  type TeardownLogic,
  type Unsubscribable,
  takeUntil,
} from 'rxjs';
import { isBadFrame, isReportedBy } from '../errors/error-origin.js';
import { Flow } from './flow.js';
import { CountedHold, type Hold, pacingHold, type ReacquirableHold } from './hold.js';
import { pacedFrom } from './pulled-flow.js';
import { endsServer } from './reported-errors.js';

/** The result of a paced operator. Holding this Flow holds the origin and the running inner Flows. */
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

  acquire(): void {
    if (this.holds++ > 0) return;
    if (this.originHold === undefined) this.originHold = pacingHold(this.origin);
    else this.originHold.acquire();
    for (const run of this.runs) run.holdInner();
  }

  release(): void {
    if (--this.holds > 0) return;
    // A source may emit a value as soon as the source is released, and this value may cause a new Hold. The sources
    // that are not released yet then stay held. The origin is released first, so that the inner sources that are
    // running cannot prevent its release.
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

interface Inner {
  hold: ReacquirableHold | undefined;
  subscription: Subscription | undefined;
}

/** One subscription to a {@link PacedFlow}. */
class Run<T, R> implements Unsubscribable {
  private readonly flow: PacedFlow<T, R>;
  private readonly subscriber: Subscriber<R>;
  private readonly inners = new Set<Inner>();
  /** If an operator turns one value into several, a held origin still emits the rest of them. They wait here. */
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
        // If a frame is bad, the answers to the earlier messages are emitted before the error (D3).
        if (!isBadFrame(error)) {
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
    for (const inner of this.inners) inner.hold?.acquire();
  }

  releaseInner(): void {
    for (const inner of this.inners) {
      if (this.flow.holds > 0) return;
      inner.hold?.release();
      // If this inner source has caused a new Hold, it moves to the end of the set, so that the next release reaches
      // the other inner sources first.
      if (this.flow.holds > 0 && this.inners.delete(inner)) this.inners.add(inner);
    }
  }

  /** Unsubscribes before it releases the Holds, so that nothing more is emitted to the subscriber. */
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

  /** Starts inner sources, and holds the origin while no further inner source can start. */
  private pump(): void {
    if (this.pumping) return;
    this.pumping = true;
    while (this.waiting.length > 0 && this.free && !this.stopped) this.project(this.waiting.shift() as T);
    this.pumping = false;
    if (this.stopped) return;
    if (!this.free) {
      if (this.busyHold === undefined) this.busyHold = pacingHold(this.flow.origin);
      else this.busyHold.acquire();
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
      hold: source instanceof Flow ? pacingHold(source) : undefined,
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
        // If `value` is a connection of a server, `incidents` reports the connection's own error. The error then ends only
        // this inner source (S4).
        if (isReportedBy(error, value)) completed = true;
        else this.subscriber.error(error);
      },
      complete: () => {
        completed = true;
      },
    });
    // As in RxJS, an inner source is torn down before the next inner source starts.
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
