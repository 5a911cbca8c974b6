import { type ObservableInput, type Observer, Subject, type Subscription, takeUntil, type Unsubscribable } from 'rxjs';
import type { Channel } from './channel.js';
import { Flow } from './flow.js';
import type { Grip } from './hold.js';
import { closedError, type Outbound } from './io/outbound.js';
import type { Watcher, Watermark } from './io/watermark.js';
import { pacedFrom } from './pulled-flow.js';

/**
 * Has a Channel send what comes from a source that is held while the Channel is not writable.
 */
export const give: unique symbol = Symbol('rxjs-sockets.give');

/** Told how a Sending ends, unless it is unsubscribed from. */
export type SendingListener = Pick<Observer<never>, 'complete' | 'error'>;

/** One `sendFrom` under way: the source is held, or not pulled, while the channel is not writable (C5). */
export class Sending<T> implements Observer<T>, Unsubscribable, Watcher {
  private readonly channel: Channel<any, T>;
  private readonly outbound: () => Outbound;
  private readonly listener: SendingListener;
  private readonly grip: Grip | undefined;
  private readonly feed: Subscription | undefined;
  /** Stops what gives values without end within the call of `subscribe`; only a plain Observable does. */
  private end: Subject<void> | undefined;
  private watermark: Watermark | undefined;
  private state: 'sending' | 'flushing' | 'stopped' = 'sending';

  constructor(
    channel: Channel<any, T>,
    outbound: () => Outbound,
    source: ObservableInput<T>,
    listener: SendingListener,
  ) {
    this.channel = channel;
    this.outbound = outbound;
    this.listener = listener;
    if (outbound().closed) {
      this.fail(closedError(outbound()));
      return;
    }
    const values = pacedFrom(source);
    if (values instanceof Flow) {
      // It is held until the channel is known to be writable: nothing comes before `feed` is there to be stopped.
      this.grip = values.hold() as Grip;
      this.feed = values.subscribe(this);
      this.watchChannel();
    } else {
      this.end = new Subject<void>();
      this.watchChannel();
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
        if (this.stopped) return;
        this.listener.complete();
        this.unsubscribe();
      },
      (error) => {
        this.fail(error);
      },
    );
  }

  unsubscribe(): void {
    this.state = 'stopped';
    this.end?.next();
    this.watermark?.unwatch(this);
    this.feed?.unsubscribe();
    this.grip?.release();
  }

  changed(writable: boolean): void {
    if (this.stopped) return;
    if (writable) this.grip?.release();
    else this.grip?.take();
  }

  closed(): void {
    if (this.state === 'sending') this.fail(closedError(this.outbound()));
  }

  private watchChannel(): void {
    this.watermark = this.outbound().watermark;
    this.watermark.watch(this);
  }

  private get stopped(): boolean {
    return this.state === 'stopped';
  }

  private fail(reason: unknown): void {
    if (this.stopped) return;
    this.listener.error(reason);
    this.unsubscribe();
  }
}
