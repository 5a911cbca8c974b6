import { distinctUntilChanged, Observable } from 'rxjs';

/** Is notified of whether senders are allowed to send more. */
export interface WatermarkWatcher {
  /** Called with the current value, which may equal the value of the previous call. */
  changed(writable: boolean): void;
  /** Called when nothing more can be sent. */
  ended(): void;
}

const none: readonly WatermarkWatcher[] = [];

/**
 * Decides whether senders are allowed to send more. The answer becomes false when the level exceeds the mark. The
 * answer becomes true again when the level has fallen to half of the mark.
 *
 * | state      | `update(level)`                       | `close`  |
 * | ---------- | ------------------------------------- | -------- |
 * | `writable` | `full` if the level exceeds `high`    | `closed` |
 * | `full`     | `writable` at `high / 2` or less      | `closed` |
 * | `closed`   | nothing                               | nothing  |
 */
export class WriteWatermark {
  private readonly high: number;
  private state: 'writable' | 'full' | 'closed' = 'writable';
  private watchers: readonly WatermarkWatcher[] = none;

  /** @param high - the mark, in bytes */
  constructor(high: number) {
    this.high = high;
  }

  get writable(): boolean {
    return this.state === 'writable';
  }

  /** Emits the current value, and later each change. Completes when nothing more can be sent. */
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

  /** Immediately notifies `watcher` of the current value, and later of each change. */
  watch(watcher: WatermarkWatcher): void {
    const isClosed = this.state === 'closed';
    if (!isClosed) this.watchers = this.watchers.length === 0 ? [watcher] : [...this.watchers, watcher];
    watcher.changed(this.writable);
    if (isClosed) watcher.ended();
  }

  unwatch(watcher: WatermarkWatcher): void {
    const left = this.watchers.filter((other) => other !== watcher);
    this.watchers = left.length === 0 ? none : left;
  }

  /** @param level - how many bytes are buffered now */
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
    // `writable` is read again for each watcher, because the previous watcher may have filled the buffer.
    for (const watcher of this.watchers) watcher.changed(this.writable);
  }

  /** Call when nothing more can be sent. */
  close(): void {
    if (this.state === 'closed') return;
    const { watchers, writable } = this;
    this.state = 'closed';
    this.watchers = none;
    if (writable) for (const watcher of watchers) watcher.changed(false);
    for (const watcher of watchers) watcher.ended();
  }
}
