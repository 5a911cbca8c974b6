import { asyncScheduler, type Unsubscribable } from 'rxjs';

/** A timer that has waited again waits once more only if it is late by more than this many ms. */
const late = 20;

/**
 * Calls a function once, after a delay.
 *
 * If the event loop was busy when the timer was due, the timer waits again for as long as it was late, but no longer
 * than its own delay. This side could not react in the meantime, and values sent just before may have left only now
 * (C23). A timer that is slightly late waits again only once, because a loop that is always busy would otherwise
 * postpone it forever.
 *
 * A timer that is stopped at the very moment at which it is due stays scheduled and does nothing, because within
 * `TestScheduler.run`, RxJS throws if the timer is unsubscribed then.
 */
export class Timer implements Unsubscribable {
  private due = 0;
  private subscription: Unsubscribable | undefined;
  private stopped = false;
  private readonly delay: number;
  private readonly work: () => void;
  private readonly keepsProcess: boolean;

  /**
   * @param delay - the delay, in ms
   * @param work - the function to call
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

/**
 * Lets the process exit before the timer is due. RxJS stores Node's timer in `id`, which its types hide; in virtual
 * time there is no timer.
 */
function unref(action: object): void {
  const { id } = action as { readonly id?: { unref?(): void } };
  id?.unref?.();
}
