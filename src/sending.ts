import type { ObservableInput, Observer, Subscriber, Subscription, Unsubscribable } from 'rxjs';
import type { Channel } from './channel.js';
import { Flow } from './flow.js';
import type { Grip } from './hold.js';
import { closedError, type Outbound } from './io/outbound.js';
import { pacedFrom } from './pulled-flow.js';

/** One `sendFrom` under way: the source is held, or not pulled, while the channel is not writable (C5). */
export class Sending<T> implements Observer<T>, Unsubscribable {
  private readonly channel: Channel<any, T>;
  private readonly outbound: () => Outbound;
  private readonly subscriber: Subscriber<never>;
  private readonly grip: Grip | undefined;
  private readonly watch: Subscription | undefined;
  private readonly feed: Subscription | undefined;
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
    const flow = pacedFrom(source);
    if (flow instanceof Flow) this.grip = flow.hold() as Grip;
    this.watch = channel.writable.subscribe({
      next: (writable) => {
        if (writable) this.grip?.release();
        else this.grip?.take();
      },
      error: (error: unknown) => {
        this.fail(error);
      },
      complete: () => {
        if (this.state === 'sending') this.fail(closedError(outbound()));
      },
    });
    this.feed = flow.subscribe(this);
    if (this.stopped) this.unsubscribe();
  }

  next(value: T): void {
    this.channel.next(value);
  }

  error(reason: unknown): void {
    this.fail(reason);
  }

  complete(): void {
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
    this.watch?.unsubscribe();
    this.feed?.unsubscribe();
    this.grip?.release();
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
