import type { Observer, Subscription } from 'rxjs';
import { Fifo } from '../collections/fifo.js';
import type { ReacquirableHold, Hold } from './hold.js';

interface Request<R> {
  resolve(result: IteratorResult<R>): void;
  reject(reason: unknown): void;
}

/** A Flow, as far as an iterator needs it. */
export interface PausableSource<T> {
  hold(): Hold;
  subscribe(observer: Observer<T>): Subscription;
}

const done = { done: true, value: undefined } as const;

/**
 * One paced subscription (F5): the Flow is free only while a `next()` is waiting, or is being called. What can be had at
 * once is emitted within that call, which then needs nothing that could wait.
 */
export abstract class PacedIterator<T, R> implements AsyncIterator<R> {
  /** Values that nobody asked for: an operator may turn one value of its origin into several at once. */
  protected readonly spare: Fifo<T> = new Fifo();
  protected readonly requests: Fifo<Request<R>> = new Fifo();
  protected grip: ReacquirableHold | undefined;
  protected ended = false;
  /** Whether a `next()` is being called. */
  protected asking = false;
  /** Whether it takes what comes. */
  protected wanted = false;
  private readonly flow: PausableSource<T>;
  private subscription: Subscription | undefined;
  private failure: { readonly reason: unknown } | undefined;

  constructor(flow: PausableSource<T>) {
    this.flow = flow;
  }

  abstract next(): Promise<IteratorResult<R>>;

  /** Takes a value, and the grip where nobody wants another one. */
  protected abstract receive(value: T): void;

  return(): Promise<IteratorResult<R>> {
    this.spare.clear();
    this.failure = undefined;
    this.finish();
    return Promise.resolve(done);
  }

  /** Has the Flow emit what there is while it is wanted. */
  protected ask(): void {
    this.asking = this.wanted = true;
    if (this.grip === undefined) this.start();
    else this.grip.release();
    this.asking = this.wanted = false;
  }

  protected wait(): Promise<IteratorResult<R>> {
    return new Promise((resolve, reject) => {
      this.requests.push({ resolve, reject });
    });
  }

  /** What a `next()` after the last value is told: the failure, once, and then that there is no more. */
  protected last(): Promise<IteratorResult<R>> {
    if (this.failure === undefined) return Promise.resolve(done);
    const { reason } = this.failure;
    this.failure = undefined;
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- the Flow's own error, whatever it is
    return Promise.reject(reason);
  }

  private start(): void {
    this.grip = this.flow.hold() as ReacquirableHold;
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
    // An operator such as `startWith` has given its value within the call, held or not.
    else if (this.wanted) this.grip.release();
  }

  /** Unsubscribes before it releases, so that no value is emitted to an iterator that is gone. */
  private finish(): void {
    this.ended = true;
    this.subscription?.unsubscribe();
    this.grip?.release();
    for (let request = this.requests.shift(); request !== undefined; request = this.requests.shift()) {
      request.resolve(done);
    }
  }
}
