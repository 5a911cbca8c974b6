import { type Observer, Subscriber, Subscription, type TeardownLogic } from 'rxjs';

/**
 * Subscribes one of the library's own observers, which throws nothing: without the two objects and the list that RxJS
 * has for each observer of a user's, and without a step for each value.
 */
export class InternalSubscriber<T> extends Subscriber<T> {
  /** What its source wants to have back: for most that is one thing, and a list has room for many. */
  private teardown: Exclude<TeardownLogic, void> | undefined;

  /** Whether it copies what is only lent, or sends it at once. */
  readonly relays: boolean;

  constructor(observer: Observer<T>, relays: boolean) {
    /* eslint-disable @typescript-eslint/no-deprecated -- RxJS 7 has no other way, and it is the one that its operators take */
    super();
    this.relays = relays;
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
