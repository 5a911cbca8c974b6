import type { Subscriber, TeardownLogic, Unsubscribable } from 'rxjs';
import { CountedHold, type ReacquirableHold } from './hold.js';

/** The source of a hot Flow. */
export interface FlowSource<T> {
  /** Returns the next value, or undefined if no value is available. */
  take(): T | undefined;
  /** Called when the first subscriber has subscribed. */
  started(): void;
  /** Called when the last subscriber has unsubscribed before the end of the Flow. */
  stopped(): void;
  /** Called when the first Hold has been acquired, and when the last Hold has been released. */
  heldChanged(isHeld: boolean): void;
  /** Called when the subscribers have been notified of the end. */
  ended(): void;
  /** Runs `work` soon, but not within this call. */
  defer(work: () => void): void;
}

type Outcome = { readonly kind: 'complete' } | { readonly kind: 'error'; readonly error: unknown };

type State =
  | { readonly is: 'idle' }
  | { readonly is: 'emitting' }
  | { readonly is: 'ending'; readonly outcome: Outcome; readonly isFinal: boolean }
  | { readonly is: 'ended'; readonly outcome: Outcome };

const idle: State = { is: 'idle' };
const emitting: State = { is: 'emitting' };

const noSubscribers: readonly never[] = [];

/**
 * The subscribers and Holds of one hot Flow, and the loop that emits its values one at a time (F1, F2, F4, F8). If a
 * subscriber's `next` calls `drain`, this call does nothing, because the loop that called `next` continues.
 *
 * | state      | `drain`                     | `end`           | `interrupt`          | a new subscriber       |
 * | ---------- | --------------------------- | --------------- | -------------------- | ---------------------- |
 * | `idle`     | `emitting`, and then `idle` | `ended`         | notifies subscribers | joins                  |
 * | `emitting` | -                           | `ending`, final | `ending`             | joins                  |
 * | `ending`   | -                           | becomes final   | -, if it is final    | joins                  |
 * | `ended`    | -                           | -               | -                    | is notified of the end |
 *
 * `ending` lasts until the current value has reached all subscribers. The subscribers are then notified of the end. The
 * state becomes `ended` if the end is final, and otherwise `idle`.
 */
export class Multicast<T> {
  private readonly source: FlowSource<T>;
  private subscribers: readonly Subscriber<T>[] = noSubscribers;
  private holds = 0;
  private state = idle;

  constructor(source: FlowSource<T>) {
    this.source = source;
  }

  get flowing(): boolean {
    return this.holds === 0 && this.subscribers.length > 0 && (this.state === emitting || this.state === idle);
  }

  isOnly(subscriber: Subscriber<T>): boolean {
    return this.subscribers.length === 1 && this.subscribers[0] === subscriber;
  }

  get held(): boolean {
    return this.holds > 0;
  }

  /** Emits the available values while the Flow has a subscriber and is not held. */
  drain(): void {
    if (this.state !== idle) return;
    this.state = emitting;
    try {
      while (this.flowing) {
        const value = this.source.take();
        if (value === undefined) break;
        const subscribers = this.subscribers;
        if (subscribers.length === 1) subscribers[0]?.next(value);
        else for (const subscriber of subscribers) subscriber.next(value);
      }
    } finally {
      this.emitted();
    }
  }

  /** Ends the Flow permanently. If a value is being emitted, the terminal notification follows that value. */
  end(error?: unknown): void {
    this.conclude(outcomeOf(error), true);
  }

  /** Ends the Flow for its current subscribers. Later subscribers start the Flow again. */
  interrupt(error?: unknown): void {
    this.conclude(outcomeOf(error), false);
  }

  add(subscriber: Subscriber<T>): TeardownLogic {
    if (this.state.is === 'ended') {
      notify(subscriber, this.state.outcome);
      return undefined;
    }
    // Most Flows have only one subscriber. The method `push` would reserve spare capacity in the array, so it is not
    // used.
    this.subscribers = this.subscribers.length === 0 ? [subscriber] : [...this.subscribers, subscriber];
    if (this.subscribers.length === 1) {
      this.source.started();
      // `drain` is deferred, so that everyone who subscribes in the same turn gets the same values (F4).
      this.source.defer(() => {
        this.drain();
      });
    }
    return new Membership(this, subscriber);
  }

  hold(): ReacquirableHold {
    return new CountedHold(this);
  }

  acquire(): void {
    if (this.holds++ === 0) this.source.heldChanged(true);
  }

  release(): void {
    if (--this.holds > 0) return;
    this.source.heldChanged(false);
    this.drain();
  }

  private emitted(): void {
    const { state } = this;
    if (state.is === 'ending') this.dismiss(state.outcome, state.isFinal);
    else this.state = idle;
  }

  private conclude(outcome: Outcome, isFinal: boolean): void {
    const { state } = this;
    switch (state.is) {
      case 'idle':
        this.dismiss(outcome, isFinal);
        break;
      case 'emitting':
        this.state = { is: 'ending', outcome, isFinal };
        break;
      case 'ending':
        if (!state.isFinal) this.state = { is: 'ending', outcome, isFinal };
        break;
      case 'ended':
        break;
    }
  }

  /** Removes all subscribers, and notifies them of the end. */
  private dismiss(outcome: Outcome, isFinal: boolean): void {
    this.state = isFinal ? { is: 'ended', outcome } : idle;
    const subscribers = this.subscribers;
    this.subscribers = noSubscribers;
    for (const subscriber of subscribers) notify(subscriber, outcome);
    this.source.ended();
  }

  remove(subscriber: Subscriber<T>): void {
    // If the Flow has ended, all subscribers have already been removed.
    if (this.subscribers.length === 0) return;
    const left = this.subscribers.filter((other) => other !== subscriber);
    if (left.length === this.subscribers.length) return;
    this.subscribers = left.length === 0 ? noSubscribers : left;
    const { state } = this;
    if (left.length === 0 && !(state.is === 'ending' && state.isFinal)) this.source.stopped();
  }
}

/** The teardown of one subscriber. */
class Membership<T> implements Unsubscribable {
  private readonly multicast: Multicast<T>;
  private readonly subscriber: Subscriber<T>;

  constructor(multicast: Multicast<T>, subscriber: Subscriber<T>) {
    this.multicast = multicast;
    this.subscriber = subscriber;
  }

  unsubscribe(): void {
    this.multicast.remove(this.subscriber);
  }
}

function outcomeOf(error: unknown): Outcome {
  return error === undefined ? { kind: 'complete' } : { kind: 'error', error };
}

function notify(subscriber: Subscriber<never>, outcome: Outcome): void {
  if (outcome.kind === 'complete') subscriber.complete();
  else subscriber.error(outcome.error);
}
