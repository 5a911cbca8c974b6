import { asyncScheduler, type Unsubscribable } from 'rxjs';

/** A timer that is more than this many ms late was held up by a busy event loop. */
const late = 20;

/**
 * Runs a function once, after a time.
 *
 * If the event loop was busy when the timer was due, it waits again for as long as it was late, but no longer than its own
 * time: nobody could react meanwhile, and what was sent just before may have left only now (C23). A timer that is a little
 * late waits again only once, because a loop that is always busy would put it off for ever.
 *
 * A timer that is stopped at the very instant at which it is due stays scheduled and does nothing: within
 * `TestScheduler.run`, RxJS throws if it is unsubscribed then.
 */
export class Timer implements Unsubscribable {
  private due = 0;
  private subscription: Unsubscribable | undefined;
  private stopped = false;
  private readonly delay: number;
  private readonly work: () => void;
  private readonly keepsProcess: boolean;

  /**
   * @param delay - the time, in ms
   * @param work - the function
   * @param keepsProcess - whether the timer keeps the process running
   */
  constructor(delay: number, work: () => void, keepsProcess = true) {
    this.delay = delay;
    this.work = work;
    this.keepsProcess = keepsProcess;
    this.wait(delay);
  }

  unsubscribe(): void {
    this.stopped = true;
    if (asyncScheduler.now() < this.due) this.subscription?.unsubscribe();
  }

  private wait(delay: number, hasWaited = false): void {
    this.due = asyncScheduler.now() + delay;
    this.subscription = asyncScheduler.schedule(() => {
      if (this.stopped) return;
      const lateness = asyncScheduler.now() - this.due;
      if (lateness > (hasWaited ? late : 0)) this.wait(Math.min(lateness, this.delay), true);
      else this.work();
    }, delay);
    if (!this.keepsProcess) unref(this.subscription);
  }
}

/** RxJS keeps Node's timer in `id`, which its types hide. In virtual time there is no timer. */
function unref(action: object): void {
  const { id } = action as { readonly id?: { unref?(): void } };
  id?.unref?.();
}
