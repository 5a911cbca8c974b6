import { asyncScheduler, type Unsubscribable } from 'rxjs';

/**
 * Runs a piece of work once, after a time. A timer that is stopped at the very instant at which it is due is left to
 * fire into nothing: within `TestScheduler.run`, RxJS throws where such a one is unsubscribed.
 */
export class Timer implements Unsubscribable {
  private readonly due: number;
  private readonly subscription: Unsubscribable;
  private stopped = false;

  /**
   * @param delay - the time, in ms
   * @param work - what is to be done
   */
  constructor(delay: number, work: () => void) {
    this.due = asyncScheduler.now() + delay;
    this.subscription = asyncScheduler.schedule(() => {
      if (!this.stopped) work();
    }, delay);
  }

  unsubscribe(): void {
    this.stopped = true;
    if (asyncScheduler.now() < this.due) this.subscription.unsubscribe();
  }
}
