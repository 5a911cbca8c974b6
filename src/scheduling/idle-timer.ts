import { asyncScheduler } from 'rxjs';
import { Timer } from './timer.js';

/** What a {@link IdleTimer} looks at before it expires. */
export interface Signs {
  /** Changes with what happens without a call of `interrupt`. */
  count(): number;
  /** Whether time counts now. */
  isListening(): boolean;
}

/**
 * Tells when nothing has happened for a given time. It costs a clock reading whenever something happens, and one timer
 * for each such period rather than for each event.
 */
export class IdleTimer {
  private readonly limit: number;
  private readonly expired: () => void;
  private readonly signs: Signs;
  private readonly keepsProcess: boolean;
  private counted = 0;
  private timer: Timer | undefined;
  private last = 0;

  /**
   * @param limit - how long, in ms; 0 means never
   * @param expired - called once, when it was silent for so long
   * @param signs - what is looked at before it expires
   * @param keepsProcess - whether the process waits for its timer
   */
  constructor(limit: number, expired: () => void, signs: Signs, keepsProcess = true) {
    this.limit = limit;
    this.expired = expired;
    this.signs = signs;
    this.keepsProcess = keepsProcess;
  }

  /** Begins to wait. */
  start(): void {
    if (this.limit === 0 || this.timer !== undefined) return;
    this.note();
    this.wait(this.limit);
  }

  /** Something has happened, or time begins to count again. */
  interrupt(): void {
    if (this.timer !== undefined) this.note();
  }

  stop(): void {
    this.timer?.unsubscribe();
    this.timer = undefined;
  }

  private note(): void {
    this.last = asyncScheduler.now();
    this.counted = this.signs.count();
  }

  private wait(delay: number): void {
    const check = (): void => {
      if (!this.signs.isListening() || this.signs.count() !== this.counted) this.note();
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
