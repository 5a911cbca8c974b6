import type { SocketError } from '../errors/socket-error.js';

/** Somebody who waits for the kernel to have taken everything up to `offset`. */
interface Waiter {
  readonly offset: number;
  resolve(): void;
  reject(error: SocketError): void;
}

/** Those who wait until what they have sent was written, in the order of their offsets in the stream. */
export class Waiters {
  private list: Waiter[];

  constructor(list: Waiter[] = []) {
    this.list = list;
  }

  get size(): number {
    return this.list.length;
  }

  /** Adds one, to a list of their own where there were {@link noWaiters}. */
  with(offset: number, resolve: () => void, reject: (error: SocketError) => void): Waiters {
    const waiters = this === noWaiters ? new Waiters() : this;
    waiters.list.push({ offset, resolve, reject });
    return waiters;
  }

  /** Resolves those who wait for nothing beyond `written`. */
  wake(written: number): void {
    let count = 0;
    for (; count < this.list.length && this.list[count]!.offset <= written; count++);
    if (count === 0) return;
    // Taken off together: to shift one by one moves all the others each time, once there are many thousands.
    for (const waiter of this.list.splice(0, count)) waiter.resolve();
  }

  /** Settles all: those whose bytes were written are not told the error. */
  end(written: number, error: SocketError): void {
    for (const waiter of this.list.splice(0)) {
      if (waiter.offset <= written) waiter.resolve();
      else waiter.reject(error);
    }
  }

  /** Gives all another offset in the stream. */
  moved(offsetOf: (offset: number) => number): Waiters {
    if (this.list.length === 0) return noWaiters;
    return new Waiters(this.list.map((waiter) => ({ ...waiter, offset: offsetOf(waiter.offset) })));
  }

  /** Takes out those whose offset `isTheirs` is true for. */
  split(isTheirs: (offset: number) => boolean): Waiters {
    const theirs = this.list.filter(({ offset }) => isTheirs(offset));
    if (theirs.length === 0) return noWaiters;
    this.list = this.list.filter(({ offset }) => !isTheirs(offset));
    return new Waiters(theirs);
  }
}

/** Stands for a list where nobody waits, as most of the time. */
export const noWaiters: Waiters = new Waiters();
