import { asyncScheduler, Subscription } from 'rxjs';
import type { Channel } from '../channel/channel.js';
import type { Carrier, ChannelHost } from '../channel/channel-host.js';
import { host, track } from '../channel/internal-access.js';
import { SocketError } from '../errors/socket-error.js';
import { handlerError } from '../errors/handler-error.js';
import { InternalSubscriber } from '../flow/internal-subscriber.js';
import type { Flow } from '../flow/flow.js';
import { pacingHold, type ReacquirableHold } from '../flow/hold.js';
import type { Inbound } from '../io/inbound.js';
import { Timer } from '../scheduling/timer.js';
import type { RequestSettings } from './request-settings.js';
import { handled, noteOrigin } from '../errors/error-origin.js';
import { EventQueue } from './event-queue.js';
import { IdMatcher } from './id-matcher.js';
import type { Matcher } from './matcher.js';
import { OrderMatcher } from './order-matcher.js';
import { PendingRequest } from './pending-request.js';

/**
 * The requests and the events of one channel. A Conversation subscribes to its channel while a request is pending or
 * the events have a subscriber. While the events are held, the channel is held as well, unless a request is pending and
 * the event queue has room.
 */
export class Conversation<In, Out, Id> {
  private readonly channel: Channel<In, Out>;
  private readonly host: ChannelHost;
  private readonly settings: RequestSettings<In, Id>;
  private readonly matcher: Matcher<In, Id>;
  private readonly eventQueue: EventQueue<In>;
  private subscriber: InternalSubscriber<In> | undefined;
  private channelHold: ReacquirableHold | undefined;
  private timer: Timer | undefined;
  /** The connections on which requests were sent. */
  private readonly watched = new Map<Carrier, Subscription>();
  /** The Inbound that delivered the previous message, and the position of that Inbound after the message. */
  private inbound: Inbound | undefined;
  private position = 0;
  private readonly finished = new WeakSet<Carrier>();

  constructor(channel: Channel<In, Out>, settings: RequestSettings<In, Id>) {
    const { answers, maxPending } = settings;
    this.channel = channel;
    this.host = channel[host];
    this.settings = settings;
    this.matcher = answers === undefined ? new OrderMatcher() : new IdMatcher(answers, maxPending);
    this.eventQueue = new EventQueue({
      eventsChanged: () => this.update(),
      defer: (work) => this.host.defer(work),
    });
  }

  get events(): Flow<In> {
    return this.eventQueue.flow;
  }

  get pending(): number {
    return this.matcher.pending;
  }

  ask(message: Out, id?: Id): Promise<In> {
    const refusal = this.refusal(id);
    if (refusal !== undefined) return handled(Promise.reject(refusal));
    const request = new PendingRequest<In, Id>(id, asyncScheduler.now() + this.settings.timeout, this.current);
    this.matcher.add(request);
    // Subscribe before sending. If a client has ended, the subscription starts the client's next run, and the request
    // belongs to that run.
    this.update();
    // If the channel has ended, `update` has already rejected the request.
    if (request.state === 'pending') this.send(message, request);
    return request.answer;
  }

  private receive(message: In): void {
    const { inbound } = this.host;
    const size = this.measure(inbound);
    let match: PendingRequest<In, Id> | 'discard' | undefined;
    try {
      const { current } = this;
      match = this.matcher.match(message, (request) => request.canBeAnswered(inbound, current));
    } catch (cause) {
      this.failReading(inbound, handlerError(cause, undefined, 'the option answers of requests'));
      return;
    }
    if (match === undefined) this.addEvent(message, size);
    else if (match !== 'discard') {
      match.resolve(message);
      this.update();
    }
  }

  /** The connection on which values are sent now, if there is a connection. */
  private get current(): Carrier | undefined {
    const { carrier, lane } = this.host;
    return lane.isOn(carrier) ? carrier : undefined;
  }

  private refusal(id: Id | undefined): SocketError | undefined {
    const { maxPending } = this.settings;
    if (this.pending < maxPending) return this.matcher.refusal(id);
    return this.causedByPeer(
      new SocketError('ERR_OVERFLOW', `ask: maxPending (${maxPending}) requests are already pending`),
    );
  }

  private send(message: Out, request: PendingRequest<In, Id>): void {
    request.lane = this.host.lane;
    const refusal = this.channel[track](
      message,
      () => this.sent(request),
      (error) => this.lost(request, error),
    );
    if (refusal !== undefined) this.drop(request, refusal);
  }

  private sent(request: PendingRequest<In, Id>): void {
    const { carrier, lane } = this.host;
    if (request.state === 'over' || carrier === undefined) return;
    // If the request was sent on a connection that is no longer read, or that has been read to its end, no answer can
    // arrive.
    if (request.lane !== lane || this.finished.has(carrier)) {
      this.drop(request, this.unanswered());
      return;
    }
    request.sentOn = carrier;
    this.watch(carrier);
  }

  /**
   * Call when a request could not be sent completely. If a part of the request was written, the request counts as sent,
   * and is rejected when its connection ends.
   */
  private lost(request: PendingRequest<In, Id>, error: SocketError): void {
    if (this.host.carrier === undefined || request.lane !== this.host.lane) this.drop(request, error);
    else this.sent(request);
  }

  private drop(request: PendingRequest<In, Id>, error: SocketError): void {
    this.matcher.reject(request, error);
    this.update();
  }

  private addEvent(message: In, size: number): void {
    const { eventQueue } = this;
    eventQueue.push(message, size);
    if (!eventQueue.isFull || this.pending === 0) return;
    // The answer may be queued behind the buffered events, which nobody reads. A request without a timeout would wait
    // for the answer forever, so the connection fails.
    if (this.settings.timeout === 0) {
      const text =
        'requests: too many events are buffered while a request is pending; read `events` faster, or set a timeout';
      this.failReading(this.host.inbound, new SocketError('ERR_OVERFLOW', text));
    }
    this.update();
  }

  /** Returns the encoded size of the message just received, or 0 if the size is unknown. */
  private measure(inbound: Inbound | undefined): number {
    const position = inbound?.queue.position ?? 0;
    const size = inbound === this.inbound ? position - this.position : 0;
    this.inbound = inbound;
    this.position = position;
    return size;
  }

  private update(): void {
    const isWanted = this.pending > 0 || this.eventQueue.isWanted;
    if (isWanted && this.subscriber === undefined) {
      this.subscriber = this.newSubscriber();
      this.host.streamEnds?.add(this.streamEnded);
      this.channel.subscribe(this.subscriber);
    } else if (!isWanted && this.subscriber !== undefined) {
      const { subscriber } = this;
      this.subscriber = undefined;
      this.host.streamEnds?.delete(this.streamEnded);
      subscriber.unsubscribe();
    }
    this.setTimer();
    if (this.matcher.isEmpty) this.unwatch();
    this.regulate();
  }

  private newSubscriber(): InternalSubscriber<In> {
    const observer = {
      next: (message: In) => this.receive(message),
      error: (error: unknown) => this.end(error),
      complete: () => this.end(undefined),
    };
    return new InternalSubscriber(observer);
  }

  private regulate(): void {
    const { eventQueue } = this;
    const holds =
      this.subscriber !== undefined &&
      eventQueue.isHeld &&
      eventQueue.isWanted &&
      (this.pending === 0 || eventQueue.isFull);
    if (!holds) this.channelHold?.release();
    else if (this.channelHold === undefined) this.channelHold = pacingHold(this.channel);
    else this.channelHold.acquire();
  }

  /** Requests time out in the order in which they were made, so one timer is enough. */
  private setTimer(): void {
    if (this.pending === 0) {
      this.timer?.unsubscribe();
      this.timer = undefined;
    } else if (this.settings.timeout > 0) this.timer ??= this.startTimer();
  }

  private startTimer(): Timer | undefined {
    const { oldest } = this.matcher;
    if (oldest === undefined) return undefined;
    return new Timer(Math.max(0, oldest.due - asyncScheduler.now()), () => {
      this.timer = undefined;
      this.expire();
      this.update();
    });
  }

  private expire(): void {
    const now = asyncScheduler.now();
    const { matcher, settings } = this;
    for (let { oldest } = matcher; oldest !== undefined && oldest.due <= now; { oldest } = matcher) {
      const error = this.timeoutError();
      const connection = oldest.sentOn ?? this.current;
      matcher.abandon(oldest, error);
      // If the messages have no ids, the next message can no longer be assigned to a request, so the connection fails.
      if (settings.answers === undefined) connection?.fail(error);
      this.causedByPeer(error);
    }
  }

  private timeoutError(): SocketError {
    const hint = this.eventQueue.isFull ? '; it may follow the buffered events, which are held' : '';
    return new SocketError('ERR_TIMEOUT_REQUEST', `no answer came within ${this.settings.timeout} ms${hint}`);
  }

  private watch(carrier: Carrier): void {
    if (this.watched.has(carrier)) return;
    const subscription = new Subscription();
    this.watched.set(carrier, subscription);
    const ended = (error: unknown): void => {
      this.watched.delete(carrier);
      this.rejectAll(error, this.matcher.endConnection(carrier));
      this.update();
    };
    subscription.add(carrier.closed.subscribe({ next: ({ error }) => ended(error), error: ended }));
  }

  private unwatch(): void {
    for (const subscription of this.watched.values()) subscription.unsubscribe();
    this.watched.clear();
  }

  /**
   * Call when the stream has ended, and so no answer can arrive any more. Unsent requests stay pending if the channel
   * belongs to a client, because a client can connect again (K8).
   */
  private end(error: unknown): void {
    this.subscriber = undefined;
    this.host.streamEnds?.delete(this.streamEnded);
    this.rejectAll(
      error,
      this.matcher.clear((request) => this.waitsForConnection(request)),
    );
    this.eventQueue.end(error);
    this.update();
  }

  /**
   * Rejects the requests that were sent on a client's connection. Call when nothing more can be read from that
   * connection.
   */
  private readonly streamEnded = (connection: Carrier, end: 'fin' | SocketError): void => {
    this.finished.add(connection);
    this.rejectAll(end === 'fin' ? undefined : end, this.matcher.endConnection(connection));
    this.update();
  };

  private waitsForConnection({ lane, sentOn }: PendingRequest<In, Id>): boolean {
    const { host } = this;
    if (!host.reusable || lane !== host.lane || sentOn !== undefined) return false;
    return !lane.closed && lane.isOn(host);
  }

  private rejectAll(error: unknown, requests: readonly PendingRequest<In, Id>[]): void {
    if (requests.length === 0) return;
    const reason = error ?? this.unanswered();
    for (const request of requests) request.reject(reason);
  }

  /** Fails the connection. Does nothing if the connection has already ended and only its unread data is being read. */
  private failReading(inbound: Inbound | undefined, error: SocketError): void {
    const { carrier } = this.host;
    if (carrier?.inbound === inbound) carrier?.fail(error);
  }

  /**
   * Makes the error for a request that is unanswered when the connection ends cleanly. If the connection is served by
   * `serve`, a handler that rethrows this error does not count as failed.
   */
  private unanswered(): SocketError {
    return noteOrigin(new SocketError('ERR_CLOSED', 'the connection ended before the answer came'), this.host);
  }

  /** Records that the peer caused the error, so that an unhandled rejection does not end a server (S19). */
  private causedByPeer(error: SocketError): SocketError {
    return noteOrigin(error, { hasIncidents: this.host.hasIncidents });
  }
}
