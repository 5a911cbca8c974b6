import { type Subscriber, Subscription, type TeardownLogic } from 'rxjs';
import { onAbort } from '../options/abort-signal.js';
import type { Address } from '../address/address.js';
import { DialAttempt } from './dial-attempt.js';
import { Channel } from '../channel/channel.js';
import type { Carrier, ChannelHost, StreamEndListener } from '../channel/channel-host.js';
import { type ConnectionState, endAll, StateFeed } from './connection-state.js';
import type { Closed } from '../connection/connection.js';
import { SocketError } from '../errors/socket-error.js';
import { handlerError, systemError } from '../errors/node-errors.js';
import type { Inbound, Reader } from '../io/inbound.js';
import { Outbound, type OutboundOwner, type SendLane } from '../io/outbound.js';
import { abortError } from '../options/abort-signal.js';
import type { ConnectSettings } from '../options/connect-options.js';
import { originate, originOf } from '../errors/error-origin.js';
import { prepared } from './prepare.js';
import { isFinal, ReconnectState } from '../reconnect/reconnect-state.js';
import { type ConnectionOwner, SocketConnection } from '../connection/socket-connection.js';
import { ReadHandover } from './read-handover.js';
import type { Transport, TransportSocket } from '../transport/transport.js';

type Phase<In, Out> =
  | { readonly name: 'idle' }
  | { readonly name: 'connecting'; readonly work: Subscription }
  | { readonly name: 'connected'; readonly connection: SocketConnection<In, Out> }
  | { readonly name: 'waiting'; readonly work: Subscription };

const idle = { name: 'idle' } as const;

/**
 * What a Client does: it dials for as long as somebody is subscribed to its states or to its data (K1), and gives its
 * one channel the connection of the day.
 */
export class Session<In, Out> implements ChannelHost, OutboundOwner, ConnectionOwner<In, Out> {
  readonly data: Channel<In, Out>;
  readonly reusable = true;
  readonly streamEnds: Set<StreamEndListener> = new Set();
  readonly reports = false;
  /** What its channel sends on; a new one each time the client has ended (K8). */
  lane: SendLane;
  /** What it has sent on since it was started last; another one than `lane` once its readers know of the end. */
  private started: SendLane | undefined;
  /** The connection whose end its readers were given last. */
  private concludedWith: SocketConnection<In, Out> | undefined;

  private readonly address: Address;
  private readonly settings: ConnectSettings<In, Out>;
  private readonly transport: Transport;
  private readonly states = new StateFeed<In, Out>();
  private readonly succession = new ReadHandover<In, Out>();
  /** The connection of the last attempt that had one. */
  private connection: SocketConnection<In, Out> | undefined;
  private phase: Phase<In, Out> = idle;
  private redial: ReconnectState;
  private ignoreSignal: (() => void) | undefined;
  /** What went wrong before anybody had subscribed. */
  private early: SocketError | undefined;

  constructor(address: Address, settings: ConnectSettings<In, Out>, transport: Transport) {
    this.address = address;
    this.settings = settings;
    this.transport = transport;
    this.redial = new ReconnectState(settings.reconnect);
    this.lane = new Outbound(settings, this).lane;
    this.data = new Channel(this, settings.codec);
  }

  get inbound(): Inbound | undefined {
    return this.succession.inbound;
  }

  get carrier(): Carrier | undefined {
    return this.dialled;
  }

  /** Whether its connections speak TLS from the first byte. */
  get isSecure(): boolean {
    return this.settings.tls !== undefined || (this.address.transport === 'tcp' && this.address.tls === true);
  }

  /** Whether the readers go on to another connection, once what is read now has ended, however it does (K4). */
  get continues(): boolean {
    const { connection, isLast } = this.succession;
    if (connection === undefined || isLast) return false;
    return connection !== this.dialled || this.outlives(connection);
  }

  /** Somebody wants the states: the current one comes first. */
  watch(subscriber: Subscriber<ConnectionState<In, Out>>): TeardownLogic {
    this.states.add(subscriber);
    if (this.phase.name === 'idle') this.start();
    return () => {
      if (this.states.delete(subscriber)) this.leave();
    };
  }

  /** What the client has ended with comes before another connection (K8). */
  observed(reader: Reader): void {
    this.succession.readers.add(reader);
    const { connection } = this.succession;
    if (this.phase.name === 'idle' && !this.succession.hasUnread) this.start();
    // Whoever comes after the end of a connection that is still going away waits for the one that follows (K8).
    else if (connection !== undefined && connection !== this.concludedWith) this.succession.observed(reader);
  }

  unobserved(reader: Reader): void {
    this.succession.unobserved(reader);
    this.leave();
  }

  /** The reader has emitted all that the first source had: the next one follows, if there is one, or will be (K4). */
  ended(reader: Reader, end: 'fin' | SocketError): void {
    const { connection } = this.succession;
    if (!this.continues) connection?.ended(reader, end);
    else if (connection === this.dialled) {
      this.succession.dropRest(reader);
      this.tellStreamEnd(connection, end);
    } else this.succession.advance();
  }

  /** It has not left but come to the end, after which the sending side may go on (C7); whoever comes now dials anew. */
  concluded(reader: Reader): void {
    const { connection, readers } = this.succession;
    readers.delete(reader);
    const isOwnEnd = connection !== undefined && connection === this.dialled;
    this.succession.readOn();
    if (!isOwnEnd) {
      this.leave();
      return;
    }
    this.concludedWith = connection;
    // What waited for another connection waits in vain: nothing follows this one.
    if (connection !== this.current) this.supersede()?.fail(connection.outbound.error ?? this.endedError());
    else if (this.lane.closed) this.renew();
    if (this.isDeserted) this.rest();
  }

  told(): void {
    this.succession.connection?.told();
  }

  ready(): void {
    this.succession.connection?.ready();
  }

  corrupted(error: SocketError): void {
    const { connection } = this.succession;
    connection?.corrupted(error);
    if (this.continues && connection === this.dialled) this.tellStreamEnd(connection, error);
    // One that is gone already is not told of its end again.
    if (this.continues && connection !== this.dialled) this.succession.advance();
  }

  fail(error: SocketError): void {
    if (this.addressee === undefined) this.giveUp(error);
    else this.addressee.fail(error);
  }

  failedBy(cause: unknown): void {
    if (this.addressee !== undefined) this.addressee.failedBy(cause);
    else if (!this.owns(cause)) this.giveUp(handlerError(cause, this.address));
  }

  owns(error: unknown): boolean {
    const origin = originOf(error);
    return origin === this || (origin instanceof SocketConnection && origin.owner === this);
  }

  complete(): void {
    this.lane.outbound.complete();
  }

  destroy(reason: unknown): void {
    const { address, addressee } = this;
    const error = new SocketError('ERR_CLOSED', 'the client was destroyed', { address, cause: reason });
    if (addressee === undefined) {
      this.giveUp(error);
      return;
    }
    this.redial.stop();
    // Whoever ends it finds it closed, until the connection is gone or its readers have been told.
    this.concludedWith = undefined;
    const { outbound } = this.lane;
    // What waits for another connection has none to wait for.
    if (outbound !== addressee.outbound) {
      this.renew();
      outbound.fail(originate(error, this));
    }
    addressee.destroy(reason);
  }

  close(): Promise<void> {
    if (this.addressee !== undefined) return this.addressee.close();
    this.complete();
    return Promise.resolve();
  }

  defer(work: () => void): void {
    const connection = this.succession.connection ?? this.connection;
    if (connection === undefined) queueMicrotask(work);
    else connection.defer(work);
  }

  /** No connection is there to fail: the client does. */
  overflowed(error: SocketError): void {
    this.giveUp(error);
  }

  /** What waits is kept for the next connection, if there is to be one (K4). */
  finishing(connection: SocketConnection<In, Out>, error?: SocketError): void {
    if (connection !== this.current) return;
    if (!this.outlives(connection) || isFinal(error)) {
      // Its readers have been given its end, and what is sent after that waits for a connection that follows (K8).
      if (connection === this.concludedWith) this.renew();
      return;
    }
    connection.outbound.retire(this, (heir) => {
      this.lane.connecting();
      heir.park(this.settings.whileDisconnected);
    });
  }

  /** Whether another connection will follow this one, as far as one can know while it is still there. */
  outlives(connection: SocketConnection<In, Out>): boolean {
    if (this.dialled !== connection || this.lane !== this.started || !this.redial.willing) return false;
    const { outbound } = this.lane;
    return connection.outbound !== outbound || !outbound.closed || outbound.bufferedBytes > 0;
  }

  gone(connection: SocketConnection<In, Out>, outcome: Closed): void {
    const { phase } = this;
    if (phase.name === 'connected' && phase.connection === connection) {
      this.lost(outcome.error, this.outlives(connection) && !isFinal(outcome.error));
    } else if (connection === this.current) this.renew();
  }

  private tellStreamEnd(connection: Carrier | undefined, end: 'fin' | SocketError): void {
    if (connection !== undefined) for (const listener of [...this.streamEnds]) listener(connection, end);
  }

  /** The connection that the attempt under way has. */
  private get dialled(): SocketConnection<In, Out> | undefined {
    return this.phase.name === 'connected' ? this.phase.connection : undefined;
  }

  /** The connection that what is sent goes to, which may have ended. */
  private get current(): SocketConnection<In, Out> | undefined {
    return this.connection?.outbound === this.lane.outbound ? this.connection : undefined;
  }

  /** The connection that ends when this side ends the client. */
  private get addressee(): SocketConnection<In, Out> | undefined {
    return this.dialled ?? this.current;
  }

  private get isDeserted(): boolean {
    return this.states.size === 0 && this.succession.readers.size === 0;
  }

  private start(): void {
    // What is left to be sent on an earlier connection stays its own, and nobody can add to it any more.
    void this.current?.close();
    if (this.current !== undefined || this.lane.outbound.ended) this.renew();
    this.succession.dropEmpty();
    const { signal } = this.settings;
    if (signal !== undefined) this.ignoreSignal = onAbort(signal, () => this.destroy(signal.reason));
    if (signal?.aborted === true) this.early ??= originate(abortError(signal, this.address), this);
    this.redial = new ReconnectState(this.settings.reconnect);
    this.started = this.lane;
    this.lane.connecting();
    this.dial(this.early);
  }

  /** What went wrong beforehand is told as the end of an attempt that is not made. */
  private dial(early?: SocketError): void {
    this.early = undefined;
    const work = new Subscription();
    const phase = (this.phase = { name: 'connecting', work });
    if (early === undefined) {
      const attempt: DialAttempt = new DialAttempt(this.address, this.settings, this.transport, {
        onConnect: (socket) => this.connected(socket, attempt, work),
        onError: (error) => {
          work.unsubscribe();
          this.lost(error, true);
        },
      });
      work.add(attempt);
    }
    this.states.emit({ status: 'connecting', attempt: this.redial.attempt, address: this.address });
    if (early !== undefined && this.phase === phase) this.lost(early, false);
  }

  /** The connection is prepared, where that is asked for; until that is done, the attempt goes on (K18). */
  private connected(socket: TransportSocket, attempt: DialAttempt, work: Subscription): void {
    const connection = new SocketConnection<In, Out>(socket, this.settings, this);
    const { prepare } = this.settings;
    if (prepare === undefined) {
      attempt.established();
      this.succession.limit(connection);
      connection.open();
      this.established(connection);
      return;
    }
    connection.open();
    const preparation = prepared(connection, prepare, (error) => {
      if (error === undefined) {
        attempt.established();
        this.succession.limit(connection);
        this.established(connection);
        return;
      }
      work.unsubscribe();
      this.lost(error, true);
    });
    work.add(preparation);
  }

  private established(connection: SocketConnection<In, Out>): void {
    this.connection = connection;
    this.concludedWith = undefined;
    this.phase = { name: 'connected', connection };
    this.redial.connected();
    this.succession.append(connection);
    // What waits is on its way before anybody can add to it (C2); the first bytes come in a later turn.
    connection.outbound.adopt(this.lane);
    connection.expectClaim();
    this.states.emit({ status: 'connected', attempt: this.redial.attempt, connection });
  }

  /** An attempt has ended: it is tried again, or the client ends. */
  private lost(error: SocketError | undefined, redials: boolean): void {
    const { attempt } = this.redial;
    if (error !== undefined) originate(error, this);
    const disconnected = { status: 'disconnected', attempt, ...(error === undefined ? {} : { error }) } as const;
    const verdict = this.redial.judge(error, redials);
    if (verdict.kind === 'end') {
      this.finish(error, disconnected);
      return;
    }
    const work = new Subscription();
    const phase = (this.phase = { name: 'waiting', work });
    const { outbound } = this.lane;
    outbound.park(this.settings.whileDisconnected);
    if (this.settings.whileDisconnected === 'drop') this.lane.watermark.update(Infinity);
    this.states.emit(disconnected);
    if (this.phase !== phase) return;
    this.succession.advanceIfRead();
    this.succession.dropEmpty();
    const waits = (): void => this.states.emit({ ...disconnected, status: 'waiting', delay: verdict.delay });
    work.add(
      verdict.over(waits).subscribe({
        next: () => {
          if (this.phase === phase) this.dial();
        },
        error: (cause: unknown) => this.finish(systemError(cause, 'reconnect', this.address)),
        complete: () => {
          if (this.phase === phase) this.finish(undefined);
        },
      }),
    );
  }

  /** The attempt, or the wait for the next, is given up from this side: that ends the client. */
  private giveUp(error: SocketError): void {
    // What was sent after the end does not concern the connection that is going away.
    const phase = this.lane === this.started ? this.phase : idle;
    originate(error, this);
    switch (phase.name) {
      case 'connecting':
        phase.work.unsubscribe();
        this.lost(error, false);
        return;
      case 'waiting':
        phase.work.unsubscribe();
        this.finish(error);
        return;
      case 'connected':
        this.redial.stop();
        this.lane.outbound.fail(error);
        phase.connection.fail(error);
        return;
      case 'idle':
        if (this.lane.outbound.ended) return;
        this.early = error;
        this.lane.outbound.fail(error);
    }
  }

  /** Nobody belongs to it any more when the first is told: whoever then subscribes, or sends, begins anew (K8). */
  private finish(error: SocketError | undefined, disconnected?: ConnectionState<In, Out>): void {
    const watchers = this.states.release();
    const isConcluded = this.dialled !== undefined && this.dialled === this.concludedWith;
    const readers = this.succession.end(isConcluded);
    const outbound = this.supersede();
    this.rest();
    if (outbound?.ended === false) outbound.fail(error ?? this.endedError());
    for (const reader of readers) reader.conclude(error ?? 'fin');
    endAll(watchers, error, disconnected);
    if (isConcluded && this.phase === idle && this.succession.readers.size > 0) this.start();
  }

  private endedError(): SocketError {
    return originate(new SocketError('ERR_CLOSED', 'the client has ended', { address: this.address }), this);
  }

  /** Nobody is left: an attempt is aborted (K7), a connection closed gracefully (K1). */
  private leave(): void {
    if (!this.isDeserted) return;
    const { phase } = this;
    this.rest();
    if (phase.name === 'idle') return;
    this.succession.leave(phase.name === 'connected' ? phase.connection : undefined);
    const outbound = this.supersede();
    if (phase.name === 'connected') {
      void phase.connection.close();
      if (phase.connection.outbound === outbound) return;
    } else phase.work.unsubscribe();
    outbound?.fail(originate(new SocketError('ERR_CLOSED', 'the client was left', { address: this.address }), this));
  }

  /** Nothing is under way: whoever subscribes now begins anew. */
  private rest(): void {
    this.ignoreSignal?.();
    this.ignoreSignal = undefined;
    this.phase = idle;
    this.states.forget();
  }

  /** What is sent from now on waits for the next connection; gives what it was sent on before, unless that is so already. */
  private supersede(): Outbound | undefined {
    if (this.lane !== this.started) return undefined;
    const { outbound } = this.lane;
    this.renew();
    return outbound;
  }

  /** What is sent from now on waits for the next connection. */
  private renew(): void {
    this.lane = new Outbound(this.settings, this).lane;
  }
}
