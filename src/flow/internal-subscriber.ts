import { type Observer, Subscriber, Subscription, type TeardownLogic } from 'rxjs';

/**
 * Subscribes one of the library's own observers, which throws nothing. RxJS makes two more objects and a list for a plain
 * observer: an idle connection that echoes takes 1.2 KiB more with one, a sixth of all its memory.
 */
export class InternalSubscriber<T> extends Subscriber<T> {
  /** The source's teardown. Most sources have one, and a list has room for many. */
  private teardown: Exclude<TeardownLogic, void> | undefined;

  constructor(observer: Observer<T>) {
    /* eslint-disable @typescript-eslint/no-deprecated -- RxJS 7 has no other way, and its operators use this one */
    super();
    this.destination = observer;
    /* eslint-enable @typescript-eslint/no-deprecated */
  }

  override add(teardown: TeardownLogic): void {
    const takes = this.teardown === undefined && teardown !== undefined && !(teardown instanceof Subscription);
    if (takes && !this.closed) this.teardown = teardown;
    else super.add(teardown);
  }

  override unsubscribe(): void {
    const { teardown } = this;
    this.teardown = undefined;
    super.unsubscribe();
    if (typeof teardown === 'function') teardown();
    else teardown?.unsubscribe();
  }
}
