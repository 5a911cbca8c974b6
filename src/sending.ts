import { type ObservableInput, type Observer, Subscription } from 'rxjs';
import type { Channel } from './channel.js';
import { Feed } from './feed.js';
import { Flow } from './flow.js';
import type { Grip } from './hold.js';
import { closedError, type Outbound } from './io/outbound.js';
import type { Watcher, Watermark } from './io/watermark.js';
import { pacedFrom } from './pulled-flow.js';

/**
 * Has a Channel send what comes from a source that is held while the Channel is not writable.
 */
export const give: unique symbol = Symbol('rxjs-sockets.give');

/** Whether a Channel sends bytes as they are: then it keeps none of those that are only lent. */
export const unframed: unique symbol = Symbol('rxjs-sockets.unframed');

/** Told how a Sending ends, unless it is unsubscribed from. */
export type SendingListener = Pick<Observer<never>, 'complete' | 'error'>;

/** One `sendFrom` under way: the source is held, or not pulled, while the channel is not writable (C5). */
export class Sending<T> extends Subscription implements Observer<T>, Watcher {
  private readonly channel: Channel<any, T>;
  private readonly port: { readonly outbound: Outbound };
  private readonly listener: SendingListener | undefined;
  private grip: Grip | undefined;
  private readonly feed: Feed<T> | undefined;
  private watermark: Watermark | undefined;
  private state: 'sending' | 'flushing' | 'stopped' = 'sending';

  /** @param listener - is told how it ends; without one the end of the source is passed on to the channel (F7) */
  constructor(
    channel: Channel<any, T>,
    port: { readonly outbound: Outbound },
    source: ObservableInput<T>,
    listener?: SendingListener,
  ) {
    super();
    this.channel = channel;
    this.port = port;
    this.listener = listener;
    if (port.outbound.closed) {
      this.fail(closedError(port.outbound));
      return;
    }
    const values = pacedFrom(source);
    this.feed = new Feed(this, channel[unframed]);
    if (values instanceof Flow) {
      // It is held until the channel is known to be writable: nothing comes before it is there to be stopped.
      this.grip = values.hold() as Grip;
      values.subscribe(this.feed);
      this.watchChannel();
    } else {
      this.watchChannel();
      values.subscribe(this.feed);
    }
    if (this.stopped) this.release();
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
    this.port.outbound.whenFlushed(
      () => {
        if (this.stopped) return;
        (this.listener ?? this.channel).complete();
        this.unsubscribe();
      },
      (error) => {
        this.fail(error);
      },
    );
  }

  override unsubscribe(): void {
    this.state = 'stopped';
    this.release();
    super.unsubscribe();
  }

  changed(writable: boolean): void {
    if (this.stopped) return;
    if (writable) this.grip?.release();
    else this.grip?.take();
  }

  /** Nothing more can be sent. */
  ended(): void {
    if (this.state === 'sending') this.fail(closedError(this.port.outbound));
  }

  private watchChannel(): void {
    this.watermark = this.port.outbound.watermark;
    this.watermark.watch(this);
  }

  private get stopped(): boolean {
    return this.state === 'stopped';
  }

  /** Lets go of the source and of the channel. */
  private release(): void {
    this.watermark?.unwatch(this);
    this.feed?.unsubscribe();
    this.grip?.release();
  }

  private fail(reason: unknown): void {
    if (this.stopped) return;
    if (this.listener !== undefined) this.listener.error(reason);
    // Where the channel itself was what ended, there is nobody to tell.
    else if (!this.channel.closed) this.channel.error(reason);
    this.unsubscribe();
  }
}
