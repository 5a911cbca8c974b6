import { asyncScheduler, type Unsubscribable } from 'rxjs';

/** So many ms late a timer is only where the event loop was busy. */
const late = 20;

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
    const run = (): void => {
      if (!this.stopped) work();
    };
    this.subscription = asyncScheduler.schedule(() => {
      // What has come while the loop was busy is looked at first: time in which nobody looked is no silence.
      if (asyncScheduler.now() > this.due + late && !this.stopped) asyncScheduler.schedule(run);
      else run();
    }, delay);
  }

  unsubscribe(): void {
    this.stopped = true;
    if (asyncScheduler.now() < this.due) this.subscription.unsubscribe();
  }
}
