import { asyncScheduler, type Unsubscribable } from 'rxjs';

/** More than so many ms late is a timer only where the event loop was busy for longer than its other work takes. */
const late = 20;

/**
 * Runs a piece of work once, after a time. A timer that is stopped at the very instant at which it is due is left to
 * fire into nothing: within `TestScheduler.run`, RxJS throws where such a one is unsubscribed.
 *
 * Where the event loop was busy when the timer was due, it waits again for as long as it was late, but no longer than
 * its own time: nobody could look meanwhile, and what was sent just before may have left only now (C23). One that is a
 * little late waits again only once, since a loop that always has something to do would put it off for ever.
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
   * @param work - what is to be done
   * @param keepsProcess - whether the process waits for it
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

/** RxJS keeps Node's timer in `id`, which RxJS's types hide. In virtual time there is no such timer. */
function unref(action: object): void {
  const { id } = action as { readonly id?: { unref?(): void } };
  id?.unref?.();
}
