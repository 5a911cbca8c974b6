import { asyncScheduler, type Unsubscribable } from 'rxjs';

/** A timer that has waited again (see {@link Timer}) waits once more only if it is late by more than this many ms. */
const late = 20;

/**
 * Calls a function once, after a delay.
 *
 * If the event loop was busy when the timer was due, this side could not react in time. So a late timer waits again,
 * for as long as the timer was late, but at most for the timer's own delay (C23). A timer that has waited again does
 * not wait once more if it is only slightly late. If the timer did wait once more, an event loop that is always busy
 * would postpone the timer forever.
 *
 * Within `TestScheduler.run`, RxJS throws if a timer is unsubscribed at the very moment when it is due. So a timer that
 * is stopped at that moment stays scheduled, but does nothing.
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
 * Lets the process exit before the timer is due. RxJS stores Node's timer in the property `id`, which the types of RxJS
 * hide.
 */
function unref(action: object): void {
  const { id } = action as { readonly id?: { unref?(): void } };
  id?.unref?.();
}
