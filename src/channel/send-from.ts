import { type ObservableInput, type Observer, type Subscriber, Subscription, type TeardownLogic } from 'rxjs';
import { InternalSubscriber } from '../flow/internal-subscriber.js';
import { Flow } from '../flow/flow.js';
import type { ReacquirableHold } from '../flow/hold.js';
import { closedError, type SendLane } from '../io/outbound.js';
import type { Watcher } from '../io/watermark.js';
import { pacedFrom } from '../flow/pulled-flow.js';
import { ReportedObservable } from '../flow/reported-errors.js';

/**
 * Has a Channel send what comes from a source that is held while the Channel is not writable.
 */
export const give: unique symbol = Symbol('rxjs-sockets.give');

/** Whether a Channel sends bytes as they are: then it keeps none of those that are only lent. */
export const unframed: unique symbol = Symbol('rxjs-sockets.unframed');

/** Where the values of a source are sent: a Channel. */
export interface SourceSink<T> {
  next(value: T): void;
  complete(): void;
  /** Sends a value of a source that is held while the channel is not writable. */
  [give](value: T): void;
  readonly [unframed]: boolean;
}

/** Told how a Sending ends, unless it is unsubscribed from. */
export type SendFromListener = Pick<Observer<never>, 'complete' | 'error'>;

/** What a Sending has to do with a connection, or a client. */
export interface SendFromHost {
  readonly lane: SendLane;
  failedBy(cause: unknown): void;
}

/** A cold Observable that sends a source and gives no value. */
export class SendFrom<T> extends ReportedObservable<never> {
  private readonly channel: SourceSink<T>;
  private readonly port: SendFromHost;
  private readonly input: ObservableInput<T>;
  private readonly fails: boolean;

  /** @param fails - whether a failure of the source is one of the connection, too (C8) */
  constructor(channel: SourceSink<T>, port: SendFromHost, input: ObservableInput<T>, fails: boolean) {
    super();
    this.channel = channel;
    this.port = port;
    this.input = input;
    this.fails = fails;
  }

  /** @internal */
  protected _subscribe(subscriber: Subscriber<never>): TeardownLogic {
    return new SendFromSubscription(this.channel, this.port, this.input, this.fails, subscriber);
  }
}

/** One `sendFrom` under way: the source is held, or not pulled, while the channel is not writable (C5). */
export class SendFromSubscription<T> extends Subscription implements Observer<T>, Watcher {
  private readonly channel: SourceSink<T>;
  private readonly port: SendFromHost;
  /** Where it sends: for a client, until that has ended. */
  private readonly lane: SendLane;
  private readonly fails: boolean;
  private readonly listener: SendFromListener | undefined;
  private grip: ReacquirableHold | undefined;
  private readonly feed: InternalSubscriber<T> | undefined;
  private isWatching = false;
  private state: 'idle' | 'sending' | 'flushing' | 'stopped' = 'idle';

  /**
   * @param fails - whether a failure of the source is one of the connection, too
   * @param listener - is told how it ends; without one the end of the source is passed on to the channel (F7)
   */
  constructor(
    channel: SourceSink<T>,
    port: SendFromHost,
    source: ObservableInput<T>,
    fails: boolean,
    listener?: SendFromListener,
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
    this.feed = new InternalSubscriber(this, channel[unframed]);
    if (values instanceof Flow) {
      // It is held until the channel is known to be writable: nothing comes before it is there to be stopped.
      this.grip = values.hold() as ReacquirableHold;
      this.lane.beginPaced();
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
    if (this.grip !== undefined) lane.finishPaced();
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
