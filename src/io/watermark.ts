import { distinctUntilChanged, map, type Observable, ReplaySubject } from 'rxjs';

/**
 * Whether more may be sent: not over the mark, and again at or under half of it, so that it does not flicker.
 */
export class Watermark {
  private readonly high: number;
  private readonly low: number;
  private state = true;
  private closed = false;
  private subject: ReplaySubject<boolean> | undefined;
  private observable: Observable<boolean> | undefined;

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
    if (this.observable === undefined) {
      // Unlike a BehaviorSubject it gives the last value after completion, too.
      this.subject = new ReplaySubject(1);
      this.subject.next(this.state);
      if (this.closed) this.subject.complete();
      // Who is told that it is writable may fill it at once: the next one must not be told what is no longer true.
      this.observable = this.subject.pipe(
        map(() => this.state),
        distinctUntilChanged(),
      );
    }
    return this.observable;
  }

  /** Tells how many bytes wait now. */
  update(level: number): void {
    if (this.closed || (this.state ? level <= this.high : level > this.low)) return;
    this.state = !this.state;
    this.subject?.next(this.state);
  }

  /** Nothing more can be sent. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    const changed = this.state;
    this.state = false;
    if (changed) this.subject?.next(false);
    this.subject?.complete();
  }
}
