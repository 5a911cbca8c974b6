import { distinctUntilChanged, Observable } from 'rxjs';

/** Learns whether more may be sent. */
export interface WatermarkWatcher {
  /** The value has changed, or may have. */
  changed(writable: boolean): void;
  /** Nothing more can be sent. */
  ended(): void;
}

const nobody: readonly WatermarkWatcher[] = [];

/**
 * Tells whether more may be sent: until the level passes the mark, and again when it falls to half of it, so that the
 * value does not flicker.
 *
 * | state      | `update(level)`                       | `close`  |
 * | ---------- | ------------------------------------- | -------- |
 * | `writable` | `full` where the level is over `high` | `closed` |
 * | `full`     | `writable` at `high / 2` or less      | `closed` |
 * | `closed`   | nothing                               | nothing  |
 */
export class Watermark {
  private readonly high: number;
  private state: 'writable' | 'full' | 'closed' = 'writable';
  private watchers: readonly WatermarkWatcher[] = nobody;

  /** @param high - the mark, in bytes */
  constructor(high: number) {
    this.high = high;
  }

  get writable(): boolean {
    return this.state === 'writable';
  }

  /** The current value, then each change; completes when nothing more can be sent. */
  get changes(): Observable<boolean> {
    return new Observable<boolean>((subscriber) => {
      const watcher = {
        changed: (writable: boolean) => subscriber.next(writable),
        ended: () => subscriber.complete(),
      };
      this.watch(watcher);
      return () => {
        this.unwatch(watcher);
      };
    }).pipe(distinctUntilChanged());
  }

  /** Gives `watcher` the current value at once, then each change. */
  watch(watcher: WatermarkWatcher): void {
    const isClosed = this.state === 'closed';
    if (!isClosed) this.watchers = this.watchers.length === 0 ? [watcher] : [...this.watchers, watcher];
    watcher.changed(this.writable);
    if (isClosed) watcher.ended();
  }

  unwatch(watcher: WatermarkWatcher): void {
    const left = this.watchers.filter((other) => other !== watcher);
    this.watchers = left.length === 0 ? nobody : left;
  }

  /** `level` bytes wait now. */
  update(level: number): void {
    switch (this.state) {
      case 'writable':
        if (level <= this.high) return;
        this.state = 'full';
        break;
      case 'full':
        if (level > this.high / 2) return;
        this.state = 'writable';
        break;
      case 'closed':
        return;
    }
    // A watcher may fill the buffer at once: the next one gets the value that holds then.
    for (const watcher of this.watchers) watcher.changed(this.writable);
  }

  /** Nothing more can be sent. */
  close(): void {
    if (this.state === 'closed') return;
    const { watchers, writable } = this;
    this.state = 'closed';
    this.watchers = nobody;
    if (writable) for (const watcher of watchers) watcher.changed(false);
    for (const watcher of watchers) watcher.ended();
  }
}
