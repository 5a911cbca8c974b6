import type { SocketError } from '../errors/socket-error.js';

/** A caller to resolve when the kernel has taken the stream up to `offset`, or to reject if it never will. */
interface Waiter {
  readonly offset: number;
  resolve(): void;
  reject(error: SocketError): void;
}

/** Callers that wait until the kernel has taken the bytes they sent, sorted by offset. */
export class Waiters {
  private list: Waiter[];

  constructor(list: Waiter[]) {
    this.list = list;
  }

  get size(): number {
    return this.list.length;
  }

  /** Adds a waiter, and returns this list. If this list is {@link noWaiters}, returns a new one instead. */
  append(offset: number, resolve: () => void, reject: (error: SocketError) => void): Waiters {
    const waiters = this === noWaiters ? new Waiters([]) : this;
    waiters.list.push({ offset, resolve, reject });
    return waiters;
  }

  /** Resolves the waiters whose offset is at most `written`. */
  wake(written: number): void {
    let count = 0;
    for (; count < this.list.length && this.list[count]!.offset <= written; count++);
    if (count === 0) return;
    // Removed in one step, because each `shift` would move all remaining waiters, possibly many thousands.
    for (const waiter of this.list.splice(0, count)) waiter.resolve();
  }

  /** Resolves the waiters whose bytes were written, and rejects the others. */
  end(written: number, error: SocketError): void {
    if (this.list.length === 0) return;
    for (const waiter of this.list.splice(0)) {
      if (waiter.offset <= written) waiter.resolve();
      else waiter.reject(error);
    }
  }

  /** Returns the same waiters with each offset mapped by `offsetOf`. */
  moved(offsetOf: (offset: number) => number): Waiters {
    if (this.list.length === 0) return noWaiters;
    return new Waiters(this.list.map((waiter) => ({ ...waiter, offset: offsetOf(waiter.offset) })));
  }

  /** Removes the waiters whose offsets `isTaken` accepts, and returns them. */
  split(isTaken: (offset: number) => boolean): Waiters {
    const taken = this.list.filter(({ offset }) => isTaken(offset));
    if (taken.length === 0) return noWaiters;
    this.list = this.list.filter(({ offset }) => !isTaken(offset));
    return new Waiters(taken);
  }
}

/** The list that all lanes without waiters share. It is frozen, so that no lane can add to it. */
export const noWaiters: Waiters = new Waiters(Object.freeze<Waiter[]>([]) as Waiter[]);
