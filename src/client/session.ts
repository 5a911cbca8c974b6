import { asyncScheduler, type Subscriber, Subscription, type TeardownLogic } from 'rxjs';
import type { Address } from '../address/address.js';
import type { Carrier, ChannelHost, StreamEndListener } from '../channel/channel-host.js';
import { Channel } from '../channel/channel.js';
import type { Closed } from '../connection/connection.js';
import type { ConnectionOwner } from '../connection/connection-owner.js';
import { SocketConnection } from '../connection/socket-connection.js';
import { noteOrigin, originOf } from '../errors/error-origin.js';
import { systemError } from '../errors/node-errors.js';
import { handlerError } from '../errors/handler-error.js';
import { SocketError } from '../errors/socket-error.js';
import type { Inbound, Reader } from '../io/inbound.js';
import { Outbound, type OutboundOwner } from '../io/outbound.js';
import type { SendLane } from '../io/send-lane.js';
import { abortError, onAbort } from '../options/abort-signal.js';
import type { ConnectSettings } from '../options/connect-options.js';
import { noteUptime, retryLimits } from '../reconnect/backoff.js';
import { waitForRetry } from '../reconnect/retry-wait.js';
import type { Transport, TransportSocket } from '../transport/transport.js';
import type { ConnectionState } from './connection-state.js';
import { DialAttempt } from './dial-attempt.js';
import { prepareConnection } from './prepare.js';
import type { Leftover } from './connections-to-read.js';
import type { OutputFailure, SessionAction, SessionEvent } from './session-events.js';
import { isOvertaken, reduce } from './session-reducer.js';
import {
  connectionOf,
  connectionToEnd,
  initialState,
  isFollowed,
  readsOn,
  type SessionState,
  type Surroundings,
} from './session-phases.js';

type Watcher<In, Out> = Subscriber<ConnectionState<In, Out>>;
type Event<In, Out> = SessionEvent<SocketConnection<In, Out>, Reader, Watcher<In, Out>>;
type Action<In, Out> = SessionAction<SocketConnection<In, Out>, Reader, Watcher<In, Out>>;

/**
 * Runs the state machine in `session-reducer.ts`. `Session` turns calls from the client's channel, connections and
 * timers into events, and performs the resulting actions.
 *
 * The state changes before the first action is performed. If an action calls a subscriber, and the subscriber
 * subscribes, leaves or sends, the resulting event is handled within that call, in the new state.
 */
export class Session<In, Out>
  implements
    ChannelHost,
    OutboundOwner,
    ConnectionOwner<SocketConnection<In, Out>>,
    Surroundings<SocketConnection<In, Out>, Reader>
{
  readonly data: Channel<In, Out>;
  readonly reusable = true;
  readonly streamEnds: Set<StreamEndListener> = new Set();
  readonly hasIncidents = false;
  /** The lane of the values sent on `data`. The lane is replaced whenever later values belong to the next run (K8). */
  lane: SendLane;
  /** The sending side of the connection, or a queue of values for the next connection. */
  outbound: Outbound;

  private readonly address: Address;
  private readonly settings: ConnectSettings<In, Out>;
  private readonly transport: Transport;
  private state: SessionState<SocketConnection<In, Out>, Reader, Watcher<In, Out>>;
  /** The current attempt, or the wait for the next attempt. */
  private work = new Subscription();
  private attempt: DialAttempt | undefined;
  /** The latest connection. */
  private connection: SocketConnection<In, Out> | undefined;
  /** The time at which the client became `connected` on `connection`. */
  private since = 0;
  private ignoreSignal: (() => void) | undefined;
  /** The states that are not delivered yet, because a watcher is still being notified of an earlier state. */
  private readonly unpublished: (readonly [Watcher<In, Out>, ConnectionState<In, Out>])[] = [];

  constructor(address: Address, settings: ConnectSettings<In, Out>, transport: Transport) {
    this.address = address;
    this.settings = settings;
    this.transport = transport;
    const { reconnect } = settings;
    this.state = initialState(address, reconnect === undefined ? undefined : retryLimits(reconnect));
    this.outbound = new Outbound(settings, this);
    this.lane = this.outbound.lane;
    this.data = new Channel(this, settings.codec);
  }

  /** Whether connections use TLS from the first byte. */
  get isSecure(): boolean {
    return this.settings.tls !== undefined || (this.address.transport === 'tcp' && this.address.tls === true);
  }

  watch(watcher: Watcher<In, Out>): TeardownLogic {
    this.dispatch({ type: 'watch', watcher });
    return () => {
      if (this.state.watchers.includes(watcher)) this.dispatch({ type: 'unwatch', watcher });
    };
  }

  // Surroundings: the members that the state machine reads.

  readonly leftover = ({ inbound }: SocketConnection<In, Out>): Leftover => ({
    bytes: inbound.queue.length,
    isRead: inbound.isRead,
    hasReaders: inbound.hasReader,
  });

  isAttached(connection: SocketConnection<In, Out>, reader: Reader): boolean {
    return connection.inbound.has(reader);
  }

  get isCompleted(): boolean {
    return this.lane.closed;
  }

  get hasQueued(): boolean {
    return this.outbound.bufferedBytes > 0;
  }

  get aborted(): SocketError | undefined {
    const { signal } = this.settings;
    return signal?.aborted === true ? noteOrigin(abortError(signal, this.address), this) : undefined;
  }

  // ChannelHost: the members that the channel uses.

  get inbound(): Inbound | undefined {
    return this.reading?.inbound;
  }

  get carrier(): Carrier | undefined {
    return connectionOf(this.state);
  }

  get continues(): boolean {
    return readsOn(this.state, this);
  }

  observed(reader: Reader): void {
    this.dispatch({ type: 'observed', reader });
  }

  unobserved(reader: Reader): void {
    this.dispatch({ type: 'unobserved', reader });
  }

  readerDrained(reader: Reader, end: 'fin' | SocketError): void {
    this.dispatch({ type: 'readerDrained', reader, end });
  }

  readerEnding(reader: Reader): void {
    this.dispatch({ type: 'readerEnding', reader, error: this.reading?.outbound.error });
  }

  badFrame(error: SocketError): void {
    this.dispatch({ type: 'badFrame', error });
  }

  readerEnded(): void {
    this.reading?.readerEnded();
  }

  ready(): void {
    this.reading?.ready();
  }

  fail(error: SocketError): void {
    const connection = connectionToEnd(this.state);
    if (connection === undefined) this.failClient(error);
    else connection.fail(error);
  }

  failedBy(cause: unknown): void {
    const connection = connectionToEnd(this.state);
    if (connection !== undefined) connection.failedBy(cause);
    else if (!this.owns(cause)) this.failClient(handlerError(cause, this.address));
  }

  owns(error: unknown): boolean {
    const origin = originOf(error);
    return origin === this || (origin instanceof SocketConnection && origin.owner === this);
  }

  complete(): void {
    this.outbound.complete();
  }

  destroy(reason: unknown): void {
    const error = new SocketError('ERR_CLOSED', 'the client was destroyed', { address: this.address, cause: reason });
    this.dispatch({ type: 'destroyed', error: noteOrigin(error, this), reason });
  }

  close(): Promise<void> {
    const connection = connectionToEnd(this.state);
    if (connection !== undefined) return connection.close();
    this.complete();
    return Promise.resolve();
  }

  defer(work: () => void): void {
    const connection = this.reading ?? this.connection;
    if (connection === undefined) queueMicrotask(work);
    else connection.defer(work);
  }

  // OutboundOwner: an Outbound without a connection calls `sendFailed` if it refuses a value and the client has to
  // fail.

  sendFailed(error: SocketError): void {
    this.failClient(error);
  }

  private failClient(error: SocketError): void {
    this.dispatch({ type: 'failed', error: noteOrigin(error, this) });
  }

  // ConnectionOwner: the methods that the connections call.

  finishing(connection: SocketConnection<In, Out>, error?: SocketError): void {
    this.dispatch({ type: 'finishing', connection, error });
  }

  outlives(connection: SocketConnection<In, Out>): boolean {
    return isFollowed(this.state, connection, this);
  }

  connectionClosed(connection: SocketConnection<In, Out>, { error }: Closed): void {
    const uptime = asyncScheduler.now() - this.since;
    if (error !== undefined && connection === connectionOf(this.state)) {
      noteOrigin(error, this);
      noteUptime(error, uptime);
    }
    this.dispatch({ type: 'closed', connection, error, uptime });
  }

  private get reading(): SocketConnection<In, Out> | undefined {
    return this.state.toRead[0]?.connection;
  }

  private dispatch(event: Event<In, Out>): void {
    const { state, actions } = reduce(this.state, event, this);
    this.state = state;
    for (const action of actions) if (!isOvertaken(this.state, action)) this.perform(action);
  }

  private perform(action: Action<In, Out>): void {
    switch (action.do) {
      case 'dial':
        this.dial(action.dial);
        break;
      case 'endAttempt':
        this.attempt?.established();
        break;
      case 'wait':
        this.wait(action.dial, action.error, action.retries);
        break;
      case 'watchSignal': {
        const { signal } = this.settings;
        if (signal !== undefined) this.ignoreSignal = onAbort(signal, () => this.destroy(signal.reason));
        break;
      }
      case 'ignoreSignal':
        this.ignoreSignal?.();
        this.ignoreSignal = undefined;
        break;
      case 'publish':
        this.publish(action.watchers, action.shown);
        break;
      case 'endWatchers':
        // All watchers get the last state before the first watcher is notified of the end.
        if (action.last !== undefined) this.publish(action.watchers, action.last);
        for (const watcher of action.watchers) {
          if (action.error === undefined) watcher.complete();
          else watcher.error(action.error);
        }
        break;
      case 'endReaders':
        for (const reader of action.readers) reader.end(action.error ?? 'fin');
        break;
      case 'replaceOutput':
        this.failOutput(this.renewOutput(), action.failure);
        break;
      case 'abandonAttempt': {
        // The teardown of `prepare` may send values, which belong to the next run. So replace the output first.
        const replaced = this.renewOutput();
        this.work.unsubscribe();
        this.failOutput(replaced, action.failure);
        break;
      }
      case 'failOutput':
        this.outbound.fail(action.error);
        break;
      case 'expectConnection':
        this.lane.connecting();
        break;
      case 'parkOutput':
        this.outbound.park(this.settings.whileDisconnected);
        break;
      case 'adopt': {
        this.connection = action.connection;
        this.since = asyncScheduler.now();
        const earlier = this.outbound;
        this.outbound = action.connection.outbound;
        // Flush the queued values before a subscriber can send more values (C2). No reader has sent an answer yet,
        // because the readers get their first bytes in a later turn.
        this.outbound.adopt(earlier);
        action.connection.expectClaim();
        break;
      }
      case 'retire':
        action.connection.outbound.retire(this, (next) => {
          this.outbound = next;
          this.lane.connecting();
          next.park(this.settings.whileDisconnected);
        });
        break;
      case 'open':
        action.connection.open();
        break;
      case 'block':
        action.connection.inbound.block();
        break;
      case 'close':
        void action.connection.close();
        break;
      case 'fail':
        action.connection.fail(action.error);
        break;
      case 'forwardBadFrame':
        action.connection.badFrame(action.error);
        break;
      case 'destroy':
        action.connection.destroy(action.reason);
        break;
      case 'attach':
        attach(action.connection, action.readers);
        break;
      case 'detach':
        action.connection.unobserved(action.reader);
        break;
      case 'readNext':
        for (const reader of action.readers) action.from.inbound.detach(reader);
        if (action.to !== undefined) attach(action.to, action.readers);
        break;
      case 'forwardDrained':
        action.connection.readerDrained(action.reader, action.end);
        break;
      case 'dropRest':
        action.connection.inbound.dropRest();
        action.connection.unobserved(action.reader);
        break;
      case 'reportStreamEnd':
        for (const listener of [...this.streamEnds]) listener(action.connection, action.end);
        break;
      case 'continue':
        this.dispatch(action.event);
    }
  }

  /**
   * Publishes a state. If a notified watcher causes the next state, the other watchers still get this state first (K2).
   */
  private publish(watchers: readonly Watcher<In, Out>[], shown: ConnectionState<In, Out>): void {
    for (const watcher of watchers) this.unpublished.push([watcher, shown]);
    for (let next = this.unpublished.shift(); next !== undefined; next = this.unpublished.shift())
      next[0].next(next[1]);
  }

  /** Replaces the output with a new output, which queues values for the next run. Returns the old output. */
  private renewOutput(): Outbound {
    const replaced = this.outbound;
    this.outbound = new Outbound(this.settings, this);
    this.lane = this.outbound.lane;
    return replaced;
  }

  private failOutput(output: Outbound, failure: OutputFailure | undefined): void {
    if (failure === undefined || output.ended) return;
    if (typeof failure !== 'string') output.fail(failure);
    else {
      const message = failure === 'ended' ? 'the client has ended' : 'the last subscriber of the client has left';
      output.fail(noteOrigin(new SocketError('ERR_CLOSED', message, { address: this.address }), this));
    }
  }

  private dial(dial: number): void {
    const work = (this.work = new Subscription());
    const attempt = new DialAttempt(this.address, this.settings, this.transport, {
      onConnect: (socket) => work.add(this.connected(socket, dial)),
      onError: (error) => this.attemptFailed(dial, error),
    });
    this.attempt = attempt;
    work.add(attempt);
  }

  /** Runs `prepare`, if it is set, on a new connection. The attempt continues until `prepare` has completed (K18). */
  private connected(socket: TransportSocket, dial: number): TeardownLogic {
    const connection = new SocketConnection<In, Out>(socket, this.settings, this);
    const { prepare } = this.settings;
    if (prepare === undefined) {
      this.dispatch({ type: 'ready', dial, connection });
      return undefined;
    }
    this.dispatch({ type: 'opened', dial });
    connection.open();
    return prepareConnection(connection, prepare, (error) => {
      if (error === undefined) this.dispatch({ type: 'ready', dial, connection });
      else this.attemptFailed(dial, error);
    });
  }

  private attemptFailed(dial: number, error: SocketError): void {
    if (dial === this.state.dials) this.work.unsubscribe();
    this.dispatch({ type: 'attemptFailed', dial, error: noteOrigin(error, this), isFinal: false });
  }

  private wait(dial: number, error: SocketError | undefined, retries: number): void {
    const { reconnect } = this.settings;
    if (reconnect === undefined) return;
    const work = (this.work = new Subscription());
    work.add(
      waitForRetry(reconnect, error, retries, {
        waits: (delay) => this.dispatch({ type: 'waits', dial, delay }),
        due: () => this.dispatch({ type: 'due', dial }),
        gaveUp: () => this.dispatch({ type: 'policyEnded', dial }),
        failed: (cause) =>
          this.dispatch({ type: 'policyFailed', dial, error: systemError(cause, 'reconnect', this.address) }),
      }),
    );
  }
}

function attach<In, Out>(connection: SocketConnection<In, Out>, readers: readonly Reader[]): void {
  for (const reader of readers) connection.observed(reader);
  if (readers.length > 0) connection.inbound.wakeSoon();
}
