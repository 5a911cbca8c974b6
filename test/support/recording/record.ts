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
  private readonly watchers = new Set<() => void>();

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
  count(count: number): Promise<readonly T[]> {
    return this.watch(() => {
      if (this.values.length >= count) return this.values;
      if (this.endings.length === 0) return undefined;
      throw new Error(`${this.values.length} of ${count} values, then the end: ${String(this.endings[0])}`);
    });
  }

  end(): Promise<Ending> {
    return this.watch(() => this.endings[0]);
  }

  /** Calls `look` now and after each notification, until it returns a result or throws. */
  protected watch<R>(look: () => R | undefined): Promise<R> {
    return new Promise((resolve, reject) => {
      const watcher = (): void => {
        try {
          const result = look();
          if (result === undefined) return;
          resolve(result);
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
        this.watchers.delete(watcher);
      };
      this.watchers.add(watcher);
      watcher();
    });
  }

  private wake(): void {
    for (const watcher of [...this.watchers]) watcher();
  }
}

/** Subscribes now and records everything. */
export function record<T>(source: Observable<T>, then?: (value: T) => void): Recording<T> {
  return new Recording(source, then);
}
