import { distinctUntilChanged, Observable } from 'rxjs';

/** Who is told whether more may be sent. */
export interface Watcher {
  /** It has changed, or may have. */
  changed(writable: boolean): void;
  /** Nothing more can be sent. */
  ended(): void;
}

const nobody: readonly Watcher[] = [];

/**
 * Whether more may be sent: not over the mark, and again at or under half of it, so that it does not flicker.
 */
export class Watermark {
  private readonly high: number;
  private readonly low: number;
  private state = true;
  private closed = false;
  private watchers: readonly Watcher[] = nobody;

  /** @param high - the mark, in bytes */
  constructor(high: number) {
    this.high = high;
    this.low = high / 2;
  }

  get writable(): boolean {
    return this.state;
  }

  /** Over this level `update` would change something, or has to be asked. */
  get mark(): number {
    return this.state ? this.high : Infinity;
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

  /** Tells `watcher` the current value at once. */
  watch(watcher: Watcher): void {
    if (!this.closed) this.watchers = this.watchers.length === 0 ? [watcher] : [...this.watchers, watcher];
    watcher.changed(this.state);
    if (this.closed) watcher.ended();
  }

  unwatch(watcher: Watcher): void {
    const left = this.watchers.filter((other) => other !== watcher);
    this.watchers = left.length === 0 ? nobody : left;
  }

  /** Tells how many bytes wait now. */
  update(level: number): void {
    if (this.closed || (this.state ? level <= this.high : level > this.low)) return;
    this.state = !this.state;
    this.tell();
  }

  /** Nothing more can be sent. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    const { watchers } = this;
    this.watchers = nobody;
    if (this.state) {
      this.state = false;
      for (const watcher of watchers) watcher.changed(false);
    }
    for (const watcher of watchers) watcher.ended();
  }

  private tell(): void {
    // Who is told that it is writable may fill it at once: the next one must not be told what is no longer true.
    for (const watcher of this.watchers) watcher.changed(this.state);
  }
}
