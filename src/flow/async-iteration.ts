import type { Observer, Subscription } from 'rxjs';
import { Fifo } from '../collections/fifo.js';
import { type Hold, pacingHold, type ReacquirableHold } from './hold.js';

/** The methods of a Flow that an iterator needs. */
export interface PausableSource<T> {
  hold(): Hold;
  subscribe(observer: Observer<T>): Subscription;
}

/** Settles the promise of a pending `next()`. */
interface Request<R> {
  resolve(result: IteratorResult<R>): void;
  reject(reason: unknown): void;
}

const done = { done: true, value: undefined } as const;

/**
 * Iterates a Flow with one subscription, at the pace of the caller (F5). The Flow is held unless a `next()` is pending
 * or running. If a value is available, the Flow emits it within the call of `next()`.
 */
abstract class PacedIterator<T, R> implements AsyncIterator<R> {
  /** Values that no `next()` has requested. An operator may turn one requested value into several. */
  protected readonly spare: Fifo<T> = new Fifo();
  protected readonly requests: Fifo<Request<R>> = new Fifo();
  protected hold: ReacquirableHold | undefined;
  protected ended = false;
  /** Whether a `next()` is running. */
  protected asking = false;
  /** Whether the running `next()` still needs a value. */
  protected wanted = false;
  private readonly flow: PausableSource<T>;
  private subscription: Subscription | undefined;
  private failure: { readonly reason: unknown } | undefined;

  constructor(flow: PausableSource<T>) {
    this.flow = flow;
  }

  abstract next(): Promise<IteratorResult<R>>;

  /** Receives a value, and holds the Flow unless another value is requested. */
  protected abstract receive(value: T): void;

  return(): Promise<IteratorResult<R>> {
    this.spare.clear();
    this.failure = undefined;
    this.finish();
    return Promise.resolve(done);
  }

  /** Releases the Flow, which emits its available values until no more values are wanted. */
  protected ask(): void {
    this.asking = this.wanted = true;
    if (this.hold === undefined) this.start();
    else this.hold.release();
    this.asking = this.wanted = false;
  }

  protected wait(): Promise<IteratorResult<R>> {
    return new Promise((resolve, reject) => {
      this.requests.push({ resolve, reject });
    });
  }

  /**
   * Returns the result of a `next()` that is called after the last value. If the Flow has failed, and no `next()` has
   * rejected with the failure yet, the first such call rejects with the failure. All other such calls resolve with
   * `done`.
   */
  protected last(): Promise<IteratorResult<R>> {
    if (this.failure === undefined) return Promise.resolve(done);
    const { reason } = this.failure;
    this.failure = undefined;
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- the Flow's own error, of any type
    return Promise.reject(reason);
  }

  private start(): void {
    this.hold = pacingHold(this.flow);
    this.subscription = this.flow.subscribe({
      next: (value) => {
        this.receive(value);
      },
      error: (reason: unknown) => {
        const request = this.requests.shift();
        if (request === undefined) this.failure = { reason };
        else request.reject(reason);
        this.finish();
      },
      complete: () => {
        this.finish();
      },
    });
    if (this.ended) this.subscription.unsubscribe();
    // If an operator such as `startWith` has emitted enough values within `subscribe`, the Flow stays held.
    else if (this.wanted) this.hold.release();
  }

  /** Unsubscribes before it releases the Hold, so that nothing more is emitted. */
  private finish(): void {
    this.ended = true;
    this.subscription?.unsubscribe();
    this.hold?.release();
    for (let request = this.requests.shift(); request !== undefined; request = this.requests.shift()) {
      request.resolve(done);
    }
  }
}

const nothing: unique symbol = Symbol('nothing');

/** An iterator whose `next()` returns one value (F5). */
export class FlowIterator<T> extends PacedIterator<T, T> {
  private answer: T | typeof nothing = nothing;

  next(): Promise<IteratorResult<T>> {
    if (this.spare.length > 0) return Promise.resolve({ done: false, value: this.spare.shift() as T });
    if (this.ended) return this.last();
    // Earlier requests come first.
    if (this.asking || this.requests.length > 0) return this.wait();
    this.ask();
    const value = this.answer;
    if (value === nothing) return this.ended ? this.last() : this.wait();
    this.answer = nothing;
    return Promise.resolve({ done: false, value });
  }

  protected override receive(value: T): void {
    if (this.wanted) {
      this.wanted = false;
      this.answer = value;
    } else {
      const request = this.requests.shift();
      if (request === undefined) this.spare.push(value);
      else request.resolve({ done: false, value });
    }
    if (this.requests.length === 0) this.hold?.acquire();
  }
}

/** An iterator whose `next()` returns the available values: at least one value, and at most `size` values (F12). */
export class FlowBatches<T> extends PacedIterator<T, T[]> {
  private readonly size: number;
  /** The batch that is being filled. */
  private batch: T[] | undefined;
  private readonly close = (): void => {
    this.batch = undefined;
    if (!this.ended && this.requests.length === 0) this.hold?.acquire();
  };

  constructor(flow: PausableSource<T>, size: number) {
    super(flow);
    this.size = size;
  }

  next(): Promise<IteratorResult<T[]>> {
    if (this.ended && this.spare.length === 0) return this.last();
    // Earlier requests come first.
    if (this.asking || this.requests.length > 0) return this.wait();
    const batch: T[] = [];
    while (this.spare.length > 0 && batch.length < this.size) batch.push(this.spare.shift() as T);
    if (batch.length < this.size && !this.ended) {
      this.batch = batch;
      this.ask();
      if (batch.length > 0) this.close();
      else this.batch = undefined;
    }
    if (batch.length > 0) return Promise.resolve({ done: false, value: batch });
    return this.ended ? this.last() : this.wait();
  }

  protected override receive(value: T): void {
    this.batch ??= this.resolveOldest();
    if (this.batch === undefined) this.spare.push(value);
    else if (this.batch.push(value) < this.size) return;
    this.batch = undefined;
    this.wanted = false;
    if (this.requests.length === 0) this.hold?.acquire();
  }

  /**
   * Resolves the oldest request with a batch that is still being filled. The code that awaits the request runs only
   * after the microtask that closes the batch.
   */
  private resolveOldest(): T[] | undefined {
    const request = this.requests.shift();
    if (request === undefined) return undefined;
    const batch: T[] = [];
    queueMicrotask(this.close);
    request.resolve({ done: false, value: batch });
    return batch;
  }
}
