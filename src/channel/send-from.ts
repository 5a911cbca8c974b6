import {
  type Observable,
  type ObservableInput,
  type Observer,
  type Subscriber,
  Subscription,
  type TeardownLogic,
} from 'rxjs';
import { InternalSubscriber } from '../flow/internal-subscriber.js';
import { Flow } from '../flow/flow.js';
import { pacingHold, type ReacquirableHold } from '../flow/hold.js';
import { closedError, type SendLane } from '../io/send-lane.js';
import type { WatermarkWatcher } from '../io/write-watermark.js';
import { borrowed, nextPaced, unframed } from './internal-access.js';
import { pacedFrom } from '../flow/pulled-flow.js';
import { ReportedObservable } from '../flow/reported-errors.js';

interface Lender<T> {
  readonly [borrowed]?: Observable<T> | undefined;
}

/** The members of a Channel that `sendFrom` uses. */
export interface SourceSink<T> {
  next(value: T): void;
  complete(): void;
  [nextPaced](value: T): void;
  readonly [unframed]: boolean;
}

/** Is notified of the end of a SendFromSubscription, unless the subscription is unsubscribed first. */
export type SendFromListener = Pick<Observer<never>, 'complete' | 'error'>;

export interface SendFromHost {
  readonly lane: SendLane;
  failedBy(cause: unknown): void;
}

/** A cold Observable that sends the values of a source and emits nothing. */
export class SendFrom<T> extends ReportedObservable<never> {
  private readonly channel: SourceSink<T>;
  private readonly host: SendFromHost;
  private readonly input: ObservableInput<T>;
  private readonly fails: boolean;

  /** @param fails - whether an error from the source also fails the connection (C8) */
  constructor(channel: SourceSink<T>, host: SendFromHost, input: ObservableInput<T>, fails: boolean) {
    super();
    this.channel = channel;
    this.host = host;
    this.input = input;
    this.fails = fails;
  }

  /** @internal */
  protected _subscribe(subscriber: Subscriber<never>): TeardownLogic {
    return new SendFromSubscription(this.channel, this.host, this.input, this.fails, subscriber);
  }
}

/**
 * One subscription to `sendFrom`. While the channel is not writable, a source that is a Flow is held, and an iterable
 * is not pulled (C5).
 */
export class SendFromSubscription<T> extends Subscription implements Observer<T>, WatermarkWatcher {
  private readonly channel: SourceSink<T>;
  private readonly host: SendFromHost;
  /** The host's lane when this subscription began. A client that has ended gets a new lane. */
  private readonly lane: SendLane;
  private readonly fails: boolean;
  private readonly listener: SendFromListener | undefined;
  private hold: ReacquirableHold | undefined;
  private readonly subscriber: InternalSubscriber<T> | undefined;
  private isWatching = false;
  private state: 'idle' | 'sending' | 'flushing' | 'stopped' = 'idle';

  /**
   * @param fails - whether an error from the source also fails the connection (C8)
   * @param listener - notified of the end of this subscription. If there is no listener, the completion of the source
   * completes the channel (F7)
   */
  constructor(
    channel: SourceSink<T>,
    host: SendFromHost,
    source: ObservableInput<T>,
    fails: boolean,
    listener?: SendFromListener,
  ) {
    super();
    this.channel = channel;
    this.host = host;
    this.lane = host.lane;
    this.fails = fails;
    this.listener = listener;
    if (this.lane.closed) {
      this.fail(closedError(this.lane));
      return;
    }
    const values = pacedFrom(source);
    this.state = 'sending';
    this.lane.begin();
    this.subscriber = new InternalSubscriber(this);
    if (values instanceof Flow) {
      // The source is held first, and is released when `changed` reports that the channel is writable.
      this.hold = pacingHold(values);
      this.lane.beginPaced();
      const borrowing = channel[unframed] ? (values as Lender<T>)[borrowed] : undefined;
      (borrowing ?? values).subscribe(this.subscriber);
      this.watchChannel();
    } else {
      this.watchChannel();
      values.subscribe(this.subscriber);
    }
    if (this.stopped) this.release();
  }

  next(value: T): void {
    if (this.hold === undefined) this.channel.next(value);
    else this.channel[nextPaced](value);
  }

  error(reason: unknown): void {
    if (this.stopped) return;
    this.fail(reason);
    if (this.fails) this.host.failedBy(reason);
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
    if (this.hold !== undefined) lane.finishPaced();
    lane.finish();
  }

  changed(writable: boolean): void {
    if (this.stopped) return;
    if (writable) this.hold?.release();
    else this.hold?.acquire();
  }

  ended(): void {
    if (this.state === 'sending') this.fail(closedError(this.lane));
  }

  private watchChannel(): void {
    // The source or the lane may have ended within the call of `subscribe`.
    if (this.stopped) return;
    this.isWatching = true;
    this.lane.watermark.watch(this);
  }

  private get stopped(): boolean {
    return this.state === 'stopped';
  }

  private release(): void {
    if (this.isWatching) this.lane.watermark.unwatch(this);
    this.subscriber?.unsubscribe();
    this.hold?.release();
  }

  private fail(reason: unknown): void {
    if (this.stopped) return;
    this.listener?.error(reason);
    this.unsubscribe();
  }
}
