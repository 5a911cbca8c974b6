import { asyncScheduler } from 'rxjs';
import { Timer } from './timer.js';

/** The activity of a connection. When an {@link IdleTimer} is due, the timer checks the activity. */
export interface Activity {
  /**
   * Returns a number that changes with each activity. An activity that calls `interrupt` need not change the number.
   */
  count(): number;
  /** Returns whether time without activity counts toward the limit at this moment. */
  isListening(): boolean;
}

/**
 * Calls a function when nothing has happened for a given time. Restarting the timer on each activity would cost too
 * much. So the timer checks for activity only when the timer is due.
 */
export class IdleTimer {
  private readonly limit: number;
  private readonly expired: () => void;
  private readonly activity: Activity;
  private readonly keepsProcess: boolean;
  private counted = 0;
  private timer: Timer | undefined;
  private last = 0;

  /**
   * @param limit - the longest silence, in ms; 0 means no limit
   * @param expired - called once, after a silence of `limit` ms
   * @param activity - checked when the timer is due
   * @param keepsProcess - whether the timer keeps the process running
   */
  constructor(limit: number, expired: () => void, activity: Activity, keepsProcess = true) {
    this.limit = limit;
    this.expired = expired;
    this.activity = activity;
    this.keepsProcess = keepsProcess;
  }

  start(): void {
    if (this.limit === 0 || this.timer !== undefined) return;
    this.note();
    this.wait(this.limit);
  }

  /** Call when something has happened, or when the time without activity counts again. */
  interrupt(): void {
    if (this.timer !== undefined) this.note();
  }

  stop(): void {
    this.timer?.unsubscribe();
    this.timer = undefined;
  }

  private note(): void {
    this.last = asyncScheduler.now();
    this.counted = this.activity.count();
  }

  private wait(delay: number): void {
    const check = (): void => {
      if (!this.activity.isListening() || this.activity.count() !== this.counted) this.note();
      const left = this.last + this.limit - asyncScheduler.now();
      if (left > 0) {
        this.wait(left);
        return;
      }
      this.timer = undefined;
      this.expired();
    };
    this.timer = new Timer(delay, check, this.keepsProcess);
  }
}
