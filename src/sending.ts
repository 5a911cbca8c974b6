import { type ObservableInput, type Observer, type Subscriber, Subscription, type TeardownLogic } from 'rxjs';
import type { Channel } from './channel.js';
import { Feed } from './feed.js';
import { Flow } from './flow.js';
import type { Grip } from './hold.js';
import { closedError } from './io/outbound.js';
import type { SendLane } from './io/send-lane.js';
import type { Watcher } from './io/watermark.js';
import { pacedFrom } from './pulled-flow.js';
import { ReportedObservable } from './reported.js';

/**
 * Has a Channel send what comes from a source that is held while the Channel is not writable.
 */
export const give: unique symbol = Symbol('rxjs-sockets.give');

/** Whether a Channel sends bytes as they are: then it keeps none of those that are only lent. */
export const unframed: unique symbol = Symbol('rxjs-sockets.unframed');

/** Told how a Sending ends, unless it is unsubscribed from. */
export type SendingListener = Pick<Observer<never>, 'complete' | 'error'>;

/** What a Sending has to do with a connection, or a client. */
export interface SendingPort {
  readonly lane: SendLane;
  failedBy(cause: unknown): void;
}

/** A cold Observable that sends a source and gives no value. */
export class SendFrom<T> extends ReportedObservable<never> {
  private readonly channel: Channel<any, T>;
  private readonly port: SendingPort;
  private readonly input: ObservableInput<T>;
  private readonly fails: boolean;

  /** @param fails - whether a failure of the source is one of the connection, too (C8) */
  constructor(channel: Channel<any, T>, port: SendingPort, input: ObservableInput<T>, fails: boolean) {
    super();
    this.channel = channel;
    this.port = port;
    this.input = input;
    this.fails = fails;
  }

  /** @internal */
  protected _subscribe(subscriber: Subscriber<never>): TeardownLogic {
    return new Sending(this.channel, this.port, this.input, this.fails, subscriber);
  }
}

/** One `sendFrom` under way: the source is held, or not pulled, while the channel is not writable (C5). */
export class Sending<T> extends Subscription implements Observer<T>, Watcher {
  private readonly channel: Channel<any, T>;
  private readonly port: SendingPort;
  /** Where it sends: for a client, until that has ended. */
  private readonly lane: SendLane;
  private readonly fails: boolean;
  private readonly listener: SendingListener | undefined;
  private grip: Grip | undefined;
  private readonly feed: Feed<T> | undefined;
  private isWatching = false;
  private state: 'idle' | 'sending' | 'flushing' | 'stopped' = 'idle';

  /**
   * @param fails - whether a failure of the source is one of the connection, too
   * @param listener - is told how it ends; without one the end of the source is passed on to the channel (F7)
   */
  constructor(
    channel: Channel<any, T>,
    port: SendingPort,
    source: ObservableInput<T>,
    fails: boolean,
    listener?: SendingListener,
  ) {
    super();
    this.channel = channel;
    this.port = port;
    this.lane = port.lane;
    this.fails = fails;
    this.listener = listener;
    if (this.lane.closed) {
      this.fail(closedError(this.lane));
      return;
    }
    const values = pacedFrom(source);
    this.state = 'sending';
    this.lane.begin();
    this.feed = new Feed(this, channel[unframed]);
    if (values instanceof Flow) {
      // It is held until the channel is known to be writable: nothing comes before it is there to be stopped.
      this.grip = values.hold() as Grip;
      this.lane.pacedTasks++;
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
    if (this.stopped) return;
    this.fail(reason);
    if (this.fails) this.port.failedBy(reason);
  }

  complete(): void {
    if (this.stopped) return;
    this.state = 'flushing';
    this.lane.whenFlushed(
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
    const { lane, state } = this;
    this.state = 'stopped';
    this.release();
    super.unsubscribe();
    if (state !== 'sending' && state !== 'flushing') return;
    if (this.grip !== undefined) lane.pacedTasks--;
    lane.finish();
  }

  changed(writable: boolean): void {
    if (this.stopped) return;
    if (writable) this.grip?.release();
    else this.grip?.take();
  }

  /** Nothing more can be sent. */
  ended(): void {
    if (this.state === 'sending') this.fail(closedError(this.lane));
  }

  private watchChannel(): void {
    // The source may have ended, and the lane with it, within the call of `subscribe`.
    if (this.stopped) return;
    this.isWatching = true;
    this.lane.watermark.watch(this);
  }

  private get stopped(): boolean {
    return this.state === 'stopped';
  }

  /** Lets go of the source and of the channel. */
  private release(): void {
    if (this.isWatching) this.lane.watermark.unwatch(this);
    this.feed?.unsubscribe();
    this.grip?.release();
  }

  /** Without a listener there is nobody to tell. */
  private fail(reason: unknown): void {
    if (this.stopped) return;
    this.listener?.error(reason);
    this.unsubscribe();
  }
}
