import { from, Observable, type ObservableInput, type Subscriber, type TeardownLogic, type Unsubscribable } from 'rxjs';
import { Flow } from './flow.js';
import { CountedHold, type Hold } from './hold.js';

/** Converts any input that RxJS accepts to an Observable. An iterable becomes a Flow. */
export function pacedFrom<T>(input: ObservableInput<T>): Observable<T> {
  if (input instanceof Observable) return input;
  const iterable = input as Partial<AsyncIterable<T> & Iterable<T>>;
  if (iterable[Symbol.asyncIterator] !== undefined) return new PulledFlow(() => iterable[Symbol.asyncIterator]!());
  if (iterable[Symbol.iterator] !== undefined) return new PulledFlow(() => iterable[Symbol.iterator]!());
  return from(input);
}

type AnyIterator<T> = Iterator<T> | AsyncIterator<T>;

/**
 * A cold Flow over an iterable. Each subscription has its own iterator, and pulls values while the Flow is not held.
 */
class PulledFlow<T> extends Flow<T> {
  holds = 0;
  private readonly iterate: () => AnyIterator<T>;
  private readonly pulls = new Set<Pull<T>>();

  constructor(iterate: () => AnyIterator<T>) {
    super();
    this.iterate = iterate;
  }

  override hold(): Hold {
    return new CountedHold(this);
  }

  acquire(): void {
    this.holds++;
  }

  release(): void {
    if (--this.holds > 0) return;
    for (const pull of this.pulls) pull.run();
  }

  protected override _subscribe(subscriber: Subscriber<T>): TeardownLogic {
    const pull = new Pull(this, this.iterate(), subscriber);
    this.pulls.add(pull);
    pull.run();
    return () => {
      this.pulls.delete(pull);
      pull.unsubscribe();
    };
  }
}

/** One iteration, which pulls a value only when the value can be emitted. */
class Pull<T> implements Unsubscribable {
  private readonly flow: PulledFlow<T>;
  private readonly iterator: AnyIterator<T>;
  private readonly subscriber: Subscriber<T>;
  private running = false;
  private ended = false;
  /** A result that has arrived but has not been emitted yet. */
  private arrived: IteratorResult<T> | undefined;

  constructor(flow: PulledFlow<T>, iterator: AnyIterator<T>, subscriber: Subscriber<T>) {
    this.flow = flow;
    this.iterator = iterator;
    this.subscriber = subscriber;
  }

  run(): void {
    if (this.running) return;
    this.running = true;
    try {
      while (this.flow.holds === 0 && !this.ended && !this.subscriber.closed) {
        let result = this.arrived;
        if (result === undefined) {
          const next = this.iterator.next();
          if (isPromise(next)) {
            this.wait(next);
            return;
          }
          result = next;
        }
        this.arrived = undefined;
        this.emit(result);
      }
    } catch (error) {
      this.fail(error);
    }
    this.running = false;
  }

  /** Stops the iterator, unless it has already ended. */
  unsubscribe(): void {
    if (this.ended) return;
    this.ended = true;
    try {
      const stopping = this.iterator.return?.();
      // The subscriber has left, so it cannot receive an error from the iterator.
      if (isPromise(stopping)) stopping.then(undefined, ignore);
    } catch {
      // The subscriber has left, so it cannot receive this error either.
    }
  }

  private wait(next: Promise<IteratorResult<T>>): void {
    next.then(
      (result) => {
        this.running = false;
        this.arrived = result;
        this.run();
      },
      (error: unknown) => {
        this.running = false;
        this.fail(error);
      },
    );
  }

  private emit(result: IteratorResult<T>): void {
    if (result.done !== true) {
      this.subscriber.next(result.value);
      return;
    }
    this.ended = true;
    this.subscriber.complete();
  }

  private fail(error: unknown): void {
    this.ended = true;
    this.subscriber.error(error);
  }
}

function isPromise<T>(value: T | Promise<T> | undefined): value is Promise<T> {
  return typeof (value as { then?: unknown } | undefined)?.then === 'function';
}

function ignore(): void {
  // nothing to do
}
