import { asyncScheduler, type Subscription } from 'rxjs';

/**
 * Tells when nothing has happened for a given time. It costs a clock reading whenever something happens, and one timer
 * for each such period rather than for each event.
 */
export class Silence {
  private readonly limit: number;
  private readonly expired: () => void;
  private timer: Subscription | undefined;
  private last = 0;

  /**
   * @param limit - how long, in ms; 0 means never
   * @param expired - called once, when it was silent for so long
   */
  constructor(limit: number, expired: () => void) {
    this.limit = limit;
    this.expired = expired;
  }

  /** Begins to wait. */
  start(): void {
    if (this.limit === 0 || this.timer !== undefined) return;
    this.last = asyncScheduler.now();
    this.wait(this.limit);
  }

  /** Something has happened. */
  interrupt(): void {
    if (this.timer !== undefined) this.last = asyncScheduler.now();
  }

  stop(): void {
    this.timer?.unsubscribe();
    this.timer = undefined;
  }

  private wait(delay: number): void {
    this.timer = asyncScheduler.schedule(() => {
      const left = this.last + this.limit - asyncScheduler.now();
      if (left > 0) {
        this.wait(left);
        return;
      }
      this.timer = undefined;
      this.expired();
    }, delay);
  }
}
