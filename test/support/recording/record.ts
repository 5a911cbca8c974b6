import type { Observable, Subscription } from 'rxjs';
import type { SocketError } from 'rxjs-sockets';

/** How an Observable ended: with completion, or with an error. */
export type Ending = 'complete' | SocketError;

/** The notifications of one subscriber so far. */
export class Recording<T> {
  readonly values: T[] = [];
  /** Every terminal notification: never more than one (F8). */
  readonly endings: Ending[] = [];
  readonly subscription: Subscription;
  private waiting: (() => void)[] = [];

  /** @param then - called with each value, within the subscriber's `next` */
  constructor(source: Observable<T>, then: (value: T) => void = () => undefined) {
    this.subscription = source.subscribe({
      next: (value) => {
        this.values.push(value);
        then(value);
        this.wake();
      },
      error: (error: unknown) => {
        this.endings.push(error as SocketError);
        this.wake();
      },
      complete: () => {
        this.endings.push('complete');
        this.wake();
      },
    });
  }

  /** Waits until at least `count` values have been emitted. */
  async count(count: number): Promise<readonly T[]> {
    while (this.values.length < count) {
      if (this.endings.length > 0) {
        throw new Error(`${this.values.length} of ${count} values, then the end: ${String(this.endings[0])}`);
      }
      await this.change();
    }
    return this.values;
  }

  /** Waits for the terminal notification. */
  async end(): Promise<Ending> {
    while (this.endings[0] === undefined) await this.change();
    return this.endings[0];
  }

  private change(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

/** Subscribes now and records everything. */
export function record<T>(source: Observable<T>, then?: (value: T) => void): Recording<T> {
  return new Recording(source, then);
}
