import { PacedIterator } from './paced-iterator.js';

const nothing: unique symbol = Symbol('nothing');

/** One value for each `next()` (F5). */
export class FlowIterator<T> extends PacedIterator<T, T> {
  private answer: T | typeof nothing = nothing;

  next(): Promise<IteratorResult<T>> {
    if (this.spare.length > 0) return Promise.resolve({ done: false, value: this.spare.shift() as T });
    if (this.ended) return this.last();
    // Those who asked before come first.
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
    if (this.requests.length === 0) this.grip?.take();
  }
}
