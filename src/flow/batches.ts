import type { Flow } from './flow.js';
import { PacedIterator } from './paced-iterator.js';

/** For each `next()` what can be had without waiting: one value at least, and `size` at most (F12). */
export class FlowBatches<T> extends PacedIterator<T, T[]> {
  private readonly size: number;
  /** What is being filled. */
  private batch: T[] | undefined;
  private readonly close = (): void => {
    this.batch = undefined;
    if (!this.ended && this.requests.length === 0) this.grip?.take();
  };

  constructor(flow: Flow<T>, size: number) {
    super(flow);
    this.size = size;
  }

  next(): Promise<IteratorResult<T[]>> {
    if (this.ended && this.spare.length === 0) return this.last();
    // Those who asked before come first.
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
    this.batch ??= this.answer();
    if (this.batch === undefined) this.spare.push(value);
    else if (this.batch.push(value) < this.size) return;
    this.batch = undefined;
    this.wanted = false;
    if (this.requests.length === 0) this.grip?.take();
  }

  /**
   * Settles the oldest request with a batch that is still being filled: whoever waits for it runs after this delivery,
   * and after the microtask that closes it.
   */
  private answer(): T[] | undefined {
    const request = this.requests.shift();
    if (request === undefined) return undefined;
    const batch: T[] = [];
    queueMicrotask(this.close);
    request.resolve({ done: false, value: batch });
    return batch;
  }
}
