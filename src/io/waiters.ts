import type { SocketError } from '../errors/socket-error.js';

/** A waiting caller, whose bytes end at `offset` in the stream. */
interface Waiter {
  readonly offset: number;
  resolve(): void;
  reject(error: SocketError): void;
}

/** The waiting callers of one lane, sorted by offset. */
export class Waiters {
  private list: Waiter[];

  constructor(list: Waiter[]) {
    this.list = list;
  }

  get size(): number {
    return this.list.length;
  }

  /** Adds a waiter. Returns this list, or a new list if this list is {@link noWaiters}. */
  append(offset: number, resolve: () => void, reject: (error: SocketError) => void): Waiters {
    const waiters = this === noWaiters ? new Waiters([]) : this;
    waiters.list.push({ offset, resolve, reject });
    return waiters;
  }

  wake(written: number): void {
    let count = 0;
    for (; count < this.list.length && this.list[count]!.offset <= written; count++);
    if (count === 0) return;
    // One `splice`, because each `shift` would move all remaining waiters.
    for (const waiter of this.list.splice(0, count)) waiter.resolve();
  }

  end(written: number, error: SocketError): void {
    if (this.list.length === 0) return;
    for (const waiter of this.list.splice(0)) {
      if (waiter.offset <= written) waiter.resolve();
      else waiter.reject(error);
    }
  }

  moved(offsetOf: (offset: number) => number): Waiters {
    if (this.list.length === 0) return noWaiters;
    return new Waiters(this.list.map((waiter) => ({ ...waiter, offset: offsetOf(waiter.offset) })));
  }

  /** Removes each waiter for whose offset `isTaken` returns true. Returns the removed waiters. */
  split(isTaken: (offset: number) => boolean): Waiters {
    const taken = this.list.filter(({ offset }) => isTaken(offset));
    if (taken.length === 0) return noWaiters;
    this.list = this.list.filter(({ offset }) => !isTaken(offset));
    return new Waiters(taken);
  }
}

/** The list that all lanes without waiters share. The list is frozen, so that no lane can add a waiter to it. */
export const noWaiters: Waiters = new Waiters(Object.freeze<Waiter[]>([]) as Waiter[]);
