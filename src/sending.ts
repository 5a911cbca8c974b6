import {
  type ObservableInput,
  type Observer,
  Subject,
  type Subscriber,
  type Subscription,
  takeUntil,
  type Unsubscribable,
} from 'rxjs';
import type { Channel } from './channel.js';
import { Flow } from './flow.js';
import type { Grip } from './hold.js';
import { closedError, type Outbound } from './io/outbound.js';
import { pacedFrom } from './pulled-flow.js';

/**
 * Has a Channel send what comes from a source that is held while the Channel is not writable.
 */
export const give: unique symbol = Symbol('rxjs-sockets.give');

/** One `sendFrom` under way: the source is held, or not pulled, while the channel is not writable (C5). */
export class Sending<T> implements Observer<T>, Unsubscribable {
  private readonly channel: Channel<any, T>;
  private readonly outbound: () => Outbound;
  private readonly subscriber: Subscriber<never>;
  private readonly grip: Grip | undefined;
  private readonly watch: Subscription | undefined;
  private readonly feed: Subscription | undefined;
  private readonly end = new Subject<void>();
  private state: 'sending' | 'flushing' | 'stopped' = 'sending';

  constructor(
    channel: Channel<any, T>,
    outbound: () => Outbound,
    source: ObservableInput<T>,
    subscriber: Subscriber<never>,
  ) {
    this.channel = channel;
    this.outbound = outbound;
    this.subscriber = subscriber;
    if (outbound().closed) {
      this.fail(closedError(outbound()));
      return;
    }
    const values = pacedFrom(source);
    if (values instanceof Flow) {
      // It is held until the channel is known to be writable: nothing comes before `feed` is there to be stopped.
      this.grip = values.hold() as Grip;
      this.feed = values.subscribe(this);
      this.watch = this.watchChannel();
    } else {
      this.watch = this.watchChannel();
      // What gives values without end within the call of `subscribe` can be stopped from within them by `end` alone.
      this.feed = values.pipe(takeUntil(this.end)).subscribe(this);
    }
    if (this.stopped) this.unsubscribe();
  }

  next(value: T): void {
    if (this.grip === undefined) this.channel.next(value);
    else this.channel[give](value);
  }

  error(reason: unknown): void {
    this.fail(reason);
  }

  complete(): void {
    if (this.stopped) return;
    this.state = 'flushing';
    this.outbound().whenFlushed(
      () => {
        this.subscriber.complete();
        this.unsubscribe();
      },
      (error) => {
        this.fail(error);
      },
    );
  }

  unsubscribe(): void {
    this.state = 'stopped';
    this.end.next();
    this.watch?.unsubscribe();
    this.feed?.unsubscribe();
    this.grip?.release();
  }

  private watchChannel(): Subscription {
    return this.channel.writable.subscribe({
      next: (writable) => {
        if (writable) this.grip?.release();
        else this.grip?.take();
      },
      error: (error: unknown) => {
        this.fail(error);
      },
      complete: () => {
        if (this.state === 'sending') this.fail(closedError(this.outbound()));
      },
    });
  }

  private get stopped(): boolean {
    return this.state === 'stopped';
  }

  private fail(reason: unknown): void {
    if (this.stopped) return;
    this.subscriber.error(reason);
    this.unsubscribe();
  }
}
