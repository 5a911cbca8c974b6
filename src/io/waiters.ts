import type { SocketError } from '../errors/socket-error.js';

/** Waits until the kernel has taken everything up to `offset` in the stream. */
interface Waiter {
  readonly offset: number;
  resolve(): void;
  reject(error: SocketError): void;
}

/** Waiters for what they have sent to be written, in the order of their offsets. */
export class Waiters {
  private list: Waiter[];

  constructor(list: Waiter[] = []) {
    this.list = list;
  }

  get size(): number {
    return this.list.length;
  }

  /** Adds a waiter. Returns the list, which is a new one in place of {@link noWaiters}. */
  with(offset: number, resolve: () => void, reject: (error: SocketError) => void): Waiters {
    const waiters = this === noWaiters ? new Waiters() : this;
    waiters.list.push({ offset, resolve, reject });
    return waiters;
  }

  /** Resolves the waiters whose offset is at most `written`. */
  wake(written: number): void {
    let count = 0;
    for (; count < this.list.length && this.list[count]!.offset <= written; count++);
    if (count === 0) return;
    // Removed in one go: each shift would move all the others, of which there can be many thousands.
    for (const waiter of this.list.splice(0, count)) waiter.resolve();
  }

  /** Settles all waiters: resolves those whose bytes were written, rejects the others. */
  end(written: number, error: SocketError): void {
    for (const waiter of this.list.splice(0)) {
      if (waiter.offset <= written) waiter.resolve();
      else waiter.reject(error);
    }
  }

  /** Returns the same waiters with other offsets. */
  moved(offsetOf: (offset: number) => number): Waiters {
    if (this.list.length === 0) return noWaiters;
    return new Waiters(this.list.map((waiter) => ({ ...waiter, offset: offsetOf(waiter.offset) })));
  }

  /** Takes out the waiters at the offsets that `isTheirs` accepts. */
  split(isTheirs: (offset: number) => boolean): Waiters {
    const theirs = this.list.filter(({ offset }) => isTheirs(offset));
    if (theirs.length === 0) return noWaiters;
    this.list = this.list.filter(({ offset }) => !isTheirs(offset));
    return new Waiters(theirs);
  }
}

/** The shared list of all lanes on which nobody waits. */
export const noWaiters: Waiters = new Waiters();
