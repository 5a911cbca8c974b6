import type { Subscription } from 'rxjs';
import type { Flow } from './flow.js';
import type { Grip } from './hold.js';

interface Request<T> {
  resolve(result: IteratorResult<T>): void;
  reject(reason: unknown): void;
}

const done = { done: true, value: undefined } as const;

/**
 * One paced subscription (F5): the Flow is free only while a `next()` is waiting. An operator may turn one value of
 * its origin into several at once; those that nobody asked for yet wait in `ready`.
 */
export class FlowIterator<T> implements AsyncIterator<T> {
  private readonly flow: Flow<T>;
  private readonly ready: T[] = [];
  private readonly requests: Request<T>[] = [];
  private grip: Grip | undefined;
  private subscription: Subscription | undefined;
  private failure: { reason: unknown } | undefined;
  private ended = false;

  constructor(flow: Flow<T>) {
    this.flow = flow;
  }

  next(): Promise<IteratorResult<T>> {
    if (this.ready.length > 0) return Promise.resolve({ done: false, value: this.ready.shift() as T });
    if (this.failure !== undefined) {
      const { reason } = this.failure;
      this.failure = undefined;
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- the Flow's own error, whatever it is
      return Promise.reject(reason);
    }
    if (this.ended) return Promise.resolve(done);
    return new Promise((resolve, reject) => {
      this.requests.push({ resolve, reject });
      if (this.grip === undefined) this.start();
      this.grip?.release();
    });
  }

  return(): Promise<IteratorResult<T>> {
    this.ready.length = 0;
    this.failure = undefined;
    this.finish();
    return Promise.resolve(done);
  }

  private start(): void {
    this.grip = this.flow.hold() as Grip;
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
  }

  private receive(value: T): void {
    const request = this.requests.shift();
    if (this.requests.length === 0) this.grip?.take();
    if (request === undefined) this.ready.push(value);
    else request.resolve({ done: false, value });
  }

  /** Unsubscribes before it releases, so that no value is emitted to an iterator that is gone. */
  private finish(): void {
    this.ended = true;
    this.subscription?.unsubscribe();
    this.grip?.release();
    for (const request of this.requests.splice(0)) request.resolve(done);
  }
}
