import type {
  Observable,
  ObservableInput,
  OperatorFunction,
  Subscriber,
  Subscription,
  TeardownLogic,
  Unsubscribable,
} from 'rxjs';
import { SocketError } from '../errors.js';
import { assertFlow, Flow } from '../flow.js';
import { CountedGrip, type Grip, type Hold } from '../hold.js';
import { pacedFrom } from '../pulled-flow.js';

export function mergeMapPaced<T, R>(
  project: (value: T, index: number) => ObservableInput<R>,
  concurrent: number,
): OperatorFunction<T, R> {
  if (!Number.isSafeInteger(concurrent) || concurrent < 1) {
    throw new SocketError(
      'ERR_OPTION_INVALID',
      `mergeMapPaced: concurrent must be a whole number from 1, not ${String(concurrent)}`,
    );
  }
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
  private originGrip: Grip | undefined;

  constructor(origin: Flow<T>, project: (value: T, index: number) => ObservableInput<R>, concurrent: number) {
    super();
    this.origin = origin;
    this.project = project;
    this.concurrent = concurrent;
  }

  override hold(): Hold {
    return new CountedGrip(this);
  }

  take(): void {
    if (this.holds++ > 0) return;
    if (this.originGrip === undefined) this.originGrip = this.origin.hold() as Grip;
    else this.originGrip.take();
    for (const run of this.runs) run.holdInner();
  }

  release(): void {
    if (--this.holds > 0) return;
    for (const run of this.runs) run.releaseInner();
    // An inner Flow that went on may have led to a new Hold.
    if (this.holds === 0) this.originGrip?.release();
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

/** One inner source under way. */
interface Inner {
  grip: Grip | undefined;
  subscription: Subscription | undefined;
}

/** One subscription to a {@link PacedFlow}. */
class Run<T, R> implements Unsubscribable {
  private readonly flow: PacedFlow<T, R>;
  private readonly subscriber: Subscriber<R>;
  private readonly inners = new Set<Inner>();
  /** Values of an origin that gave several at once, though it is held. */
  private readonly waiting: T[] = [];
  private busy: Grip | undefined;
  private subscription: Subscription | undefined;
  private index = 0;
  private pumping = false;
  private originEnded = false;
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
        this.subscriber.error(error);
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
    for (const inner of this.inners) inner.grip?.release();
  }

  /** Leaves before it lets go, so that nothing is emitted to a subscriber that is gone. */
  unsubscribe(): void {
    this.stopped = true;
    this.subscription?.unsubscribe();
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
      if (this.busy === undefined) this.busy = this.flow.origin.hold() as Grip;
      else this.busy.take();
    } else if (this.originEnded && this.inners.size === 0) this.subscriber.complete();
    else this.busy?.release();
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
    const inner: Inner = { grip: gripOn(source, this.flow.holds > 0), subscription: undefined };
    this.inners.add(inner);
    inner.subscription = source.subscribe({
      next: (result) => {
        this.subscriber.next(result);
      },
      error: (error: unknown) => {
        this.subscriber.error(error);
      },
      complete: () => {
        this.inners.delete(inner);
        inner.grip?.release();
        this.pump();
      },
    });
    if (this.stopped) inner.subscription.unsubscribe();
  }
}

/** A grip on `source`, where it can be held. */
function gripOn(source: unknown, taken: boolean): Grip | undefined {
  if (!(source instanceof Flow)) return undefined;
  const grip = source.hold() as Grip;
  if (!taken) grip.release();
  return grip;
}
