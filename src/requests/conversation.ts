import { asyncScheduler, Subscription } from 'rxjs';
import type { Channel } from '../channel/channel.js';
import { type Carrier, type ChannelHost, host, track } from '../channel/channel-host.js';
import { SocketError } from '../errors/socket-error.js';
import { handlerError } from '../errors/node-errors.js';
import { InternalSubscriber } from '../flow/internal-subscriber.js';
import type { Flow } from '../flow/flow.js';
import type { ReacquirableHold } from '../flow/hold.js';
import type { Inbound } from '../io/inbound.js';
import { handled } from '../io/outbound.js';
import { Timer } from '../scheduling/timer.js';
import type { RequestSettings } from './request-settings.js';
import { originate } from '../errors/error-origin.js';
import { Events } from './events.js';
import { IdMatcher } from './id-matcher.js';
import type { Matcher } from './matcher.js';
import { OrderMatcher } from './order-matcher.js';
import { PendingRequest } from './pending-request.js';

/**
 * The requests and the events of one channel. It is subscribed to the channel while a request is pending or somebody
 * wants the events, and holds it while the events are held and no answer is awaited.
 */
export class Conversation<In, Out, Id> {
  private readonly channel: Channel<In, Out>;
  private readonly port: ChannelHost;
  private readonly settings: RequestSettings<In, Id>;
  private readonly matcher: Matcher<In, Id>;
  private readonly inbox: Events<In>;
  /** The subscription to the channel. */
  private feed: InternalSubscriber<In> | undefined;
  private grip: ReacquirableHold | undefined;
  private timer: Timer | undefined;
  /** The connections with requests that were sent on them. */
  private readonly watched = new Map<Carrier, Subscription>();
  /** Where the message before this one came from, and where it ended. */
  private inbound: Inbound | undefined;
  private position = 0;
  /** The connections that have nothing more to be read. */
  private readonly finished = new WeakSet<Carrier>();

  constructor(channel: Channel<In, Out>, settings: RequestSettings<In, Id>) {
    const { answers, maxPending } = settings;
    this.channel = channel;
    this.port = channel[host];
    this.settings = settings;
    this.matcher = answers === undefined ? new OrderMatcher() : new IdMatcher(answers, maxPending);
    this.inbox = new Events({
      eventsChanged: () => this.update(),
      defer: (work) => this.port.defer(work),
    });
  }

  get events(): Flow<In> {
    return this.inbox.flow;
  }

  get pending(): number {
    return this.matcher.pending;
  }

  ask(message: Out, id?: Id): Promise<In> {
    const refusal = this.refusal(id);
    if (refusal !== undefined) return handled(Promise.reject(refusal));
    const request = new PendingRequest<In, Id>(id, asyncScheduler.now() + this.settings.timeout, this.current);
    this.matcher.add(request);
    // A client that has ended begins anew before anything is sent.
    this.update();
    // Where the channel has ended, the subscription has rejected it already.
    if (request.state === 'pending') this.send(message, request);
    return request.answer;
  }

  private receive(message: In): void {
    const { inbound } = this.port;
    const size = this.measure(inbound);
    let match: PendingRequest<In, Id> | 'nobody' | undefined;
    try {
      const { current } = this;
      match = this.matcher.match(message, (request) => request.canBeAnswered(inbound, current));
    } catch (cause) {
      this.failReading(inbound, handlerError(cause, undefined, 'answers of requests'));
      return;
    }
    if (match === undefined) this.addEvent(message, size);
    else if (match !== 'nobody') {
      match.resolve(message);
      this.update();
    }
  }

  /** The connection that takes what is sent now. */
  private get current(): Carrier | undefined {
    const { carrier, lane } = this.port;
    return (lane.outbound.owner as unknown) === carrier ? carrier : undefined;
  }

  private refusal(id: Id | undefined): SocketError | undefined {
    const { maxPending } = this.settings;
    if (this.pending < maxPending) return this.matcher.refusal(id);
    return this.causedByPeer(
      new SocketError('ERR_OVERFLOW', `ask: maxPending (${maxPending}) requests are pending already`),
    );
  }

  private send(message: Out, request: PendingRequest<In, Id>): void {
    request.lane = this.port.lane;
    const refusal = this.channel[track](
      message,
      () => this.sent(request),
      (error) => this.lost(request, error),
    );
    if (refusal !== undefined) this.drop(request, refusal);
  }

  private sent(request: PendingRequest<In, Id>): void {
    const { carrier, lane } = this.port;
    if (request.state === 'over' || carrier === undefined) return;
    // A client that was left has flushed it on an earlier connection, whose answers nobody reads; or none can come any more.
    if (request.lane !== lane || this.finished.has(carrier)) {
      this.drop(request, this.unanswered());
      return;
    }
    request.sentOn = carrier;
    this.watch(carrier);
  }

  /** What was cut off in the middle ends with its connection, as what was sent on it does. */
  private lost(request: PendingRequest<In, Id>, error: SocketError): void {
    if (this.port.carrier === undefined || request.lane !== this.port.lane) this.drop(request, error);
    else this.sent(request);
  }

  private drop(request: PendingRequest<In, Id>, error: SocketError): void {
    this.matcher.remove(request);
    request.reject(error);
    this.update();
  }

  private addEvent(message: In, size: number): void {
    const { inbox } = this;
    inbox.push(message, size);
    if (!inbox.areFull || this.pending === 0) return;
    // Nothing else would end the wait of an answer that lies behind them.
    if (this.settings.timeout === 0) {
      const text = 'requests: too many events wait while an answer is awaited: read `events` faster, or set a timeout';
      this.failReading(this.port.inbound, new SocketError('ERR_OVERFLOW', text));
    }
    this.update();
  }

  /** How many bytes the message had that was decoded last, as far as that is known. */
  private measure(inbound: Inbound | undefined): number {
    const position = inbound?.queue.position ?? 0;
    const size = inbound === this.inbound ? position - this.position : 0;
    this.inbound = inbound;
    this.position = position;
    return size;
  }

  /** Subscribes, holds and waits for as long as there is a reason to. */
  private update(): void {
    const isWanted = this.pending > 0 || this.inbox.areWanted;
    if (isWanted && this.feed === undefined) {
      this.feed = this.newFeed();
      this.port.streamEnds?.add(this.streamEnded);
      this.channel.subscribe(this.feed);
    } else if (!isWanted && this.feed !== undefined) {
      const { feed } = this;
      this.feed = undefined;
      this.port.streamEnds?.delete(this.streamEnded);
      feed.unsubscribe();
    }
    this.setTimer();
    if (this.matcher.isEmpty) this.unwatch();
    this.regulate();
  }

  private newFeed(): InternalSubscriber<In> {
    const observer = {
      next: (message: In) => this.receive(message),
      error: (error: unknown) => this.end(error),
      complete: () => this.end(undefined),
    };
    return new InternalSubscriber(observer, false);
  }

  /** Holds the channel where the events are held, but for an answer that is awaited; then as many as may wait do. */
  private regulate(): void {
    const { inbox } = this;
    const holds = this.feed !== undefined && inbox.areHeld && inbox.areWanted && (this.pending === 0 || inbox.areFull);
    if (!holds) this.grip?.release();
    else if (this.grip === undefined) this.grip = this.channel.hold() as ReacquirableHold;
    else this.grip.take();
  }

  /** One timer serves all requests, which time out in the order in which they were made. */
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
      matcher.abandon(oldest);
      oldest.abandon(error);
      // Whose answer the next message is can't be known any more.
      if (settings.answers === undefined) connection?.fail(error);
      this.causedByPeer(error);
    }
  }

  private timeoutError(): SocketError {
    const behind = this.inbox.areFull ? ', or lies behind the events, which are held and wait' : '';
    return new SocketError('ERR_TIMEOUT_REQUEST', `no answer came within ${this.settings.timeout} ms${behind}`);
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

  /** The stream has ended: no answer can come on it any more. A client may have another one, for what still waits (K8). */
  private end(error: unknown): void {
    this.feed = undefined;
    this.port.streamEnds?.delete(this.streamEnded);
    this.rejectAll(
      error,
      this.matcher.clear((request) => this.waitsForConnection(request)),
    );
    this.inbox.end(error);
    this.update();
  }

  /** One connection of a client has ended, or soon will have: no answer comes on it any more. */
  private readonly streamEnded = (connection: Carrier, end: 'fin' | SocketError): void => {
    this.finished.add(connection);
    this.rejectAll(end === 'fin' ? undefined : end, this.matcher.endConnection(connection));
    this.update();
  };

  private waitsForConnection({ lane, sentOn }: PendingRequest<In, Id>): boolean {
    const { port } = this;
    if (!port.reusable || lane !== port.lane || sentOn !== undefined) return false;
    return !lane.closed && (lane.outbound.owner as unknown) === port;
  }

  private rejectAll(error: unknown, requests: readonly PendingRequest<In, Id>[]): void {
    if (requests.length === 0) return;
    const reason = error ?? this.unanswered();
    for (const request of requests) request.reject(reason);
  }

  /** What is left of a connection that has ended has nothing to fail. */
  private failReading(inbound: Inbound | undefined, error: SocketError): void {
    const { carrier } = this.port;
    if (carrier?.inbound === inbound) carrier?.fail(error);
  }

  /** The connection has ended in order, which is no failure of a handler that waits for the answer. */
  private unanswered(): SocketError {
    return originate(new SocketError('ERR_CLOSED', 'the connection ended before the answer came'), this.port);
  }

  /** A peer that is slow or silent must not end a server, where nobody handles the rejection (S19). */
  private causedByPeer(error: SocketError): SocketError {
    return originate(error, { reports: this.port.reports });
  }
}
