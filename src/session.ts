import { asyncScheduler, type Subscriber, type Subscription, take, type TeardownLogic } from 'rxjs';
import { type Address, formatAddress } from './address.js';
import { noteUptime } from './backoff.js';
import { Channel, type Port } from './channel.js';
import type { ConnectionState } from './client-state.js';
import type { Closed } from './connection.js';
import { SocketError, systemError } from './errors.js';
import { type Inbound, readAhead, type Reader } from './io/inbound.js';
import { Outbound, type OutboundOwner } from './io/outbound.js';
import { Timer } from './io/timer.js';
import type { ConnectSettings } from './options.js';
import { Redial } from './redial.js';
import { type ConnectionKeeper, SocketConnection } from './socket-connection.js';
import type { Dial, DialEvents, Transport, TransportSocket } from './transport/transport.js';

type Phase<In, Out> =
  | { readonly name: 'idle' }
  | { readonly name: 'connecting'; readonly dial: Dial; readonly timer: Timer | undefined }
  | { readonly name: 'connected'; readonly connection: SocketConnection<In, Out>; readonly since: number }
  | { readonly name: 'waiting'; over: Subscription | undefined };

/** A connection of which not all bytes were emitted yet. */
interface Source<In, Out> {
  readonly connection: SocketConnection<In, Out>;
  /** Whether the client ended with it: its end is theirs who read it, whatever has begun since then. */
  isLast: boolean;
}

const idle = { name: 'idle' } as const;

/**
 * What a Client does: it dials for as long as somebody is subscribed to its states or to its data (K1), and gives its
 * one channel the connection of the day.
 */
export class Session<In, Out> implements Port, OutboundOwner, ConnectionKeeper<In, Out> {
  readonly data: Channel<In, Out>;
  readonly reusable = true;
  outbound: Outbound;

  private readonly address: Address;
  private readonly settings: ConnectSettings<In, Out>;
  private readonly transport: Transport;
  private readonly watchers = new Set<Subscriber<ConnectionState<In, Out>>>();
  private readonly readers = new Set<Reader>();
  /** Oldest first; the readers read the first one, or wait for their turn. */
  private sources: Source<In, Out>[] = [];
  /** The connection of the last attempt that had one. */
  private connection: SocketConnection<In, Out> | undefined;
  private phase: Phase<In, Out> = idle;
  private state: ConnectionState<In, Out> | undefined;
  private redial: Redial;
  /** What went wrong before anybody had subscribed. */
  private early: SocketError | undefined;

  constructor(address: Address, settings: ConnectSettings<In, Out>, transport: Transport) {
    this.address = address;
    this.settings = settings;
    this.transport = transport;
    this.redial = new Redial(settings.reconnect);
    this.outbound = new Outbound(settings, this);
    this.data = new Channel(this, settings.codec);
  }

  get inbound(): Inbound | undefined {
    return this.sources[0]?.connection.inbound;
  }

  /** Somebody wants the states: the current one comes first. */
  watch(subscriber: Subscriber<ConnectionState<In, Out>>): TeardownLogic {
    this.watchers.add(subscriber);
    if (this.phase.name === 'idle') this.start();
    else if (this.state !== undefined) subscriber.next(this.state);
    return () => {
      if (this.watchers.delete(subscriber)) this.leave();
    };
  }

  observed(reader: Reader): void {
    this.readers.add(reader);
    if (this.phase.name === 'idle') {
      this.start();
      return;
    }
    // What a connection that is gone has left behind comes first; only what the client had ended with is not theirs.
    const [source] = this.sources;
    if (source?.isLast === false) source.connection.observed(reader);
  }

  unobserved(reader: Reader): void {
    this.readers.delete(reader);
    this.sources[0]?.connection.unobserved(reader);
    this.readOn();
    this.leave();
  }

  /** The reader has emitted all that the first source had: the next one follows, if there is one, or will be (K4). */
  ended(reader: Reader, end: 'fin' | SocketError): void {
    const [source] = this.sources;
    if (source === undefined) return;
    const { connection, isLast } = source;
    const isCurrent = this.dialled === connection;
    if (isLast || (isCurrent && !this.outlives(connection))) {
      connection.ended(reader, end);
    } else if (isCurrent) {
      connection.inbound.queue.clear();
      connection.unobserved(reader);
    } else this.advance();
  }

  /** It has not left but come to the end, after which the sending side may go on (C7); whoever comes now dials anew. */
  concluded(reader: Reader): void {
    this.readers.delete(reader);
    const [source] = this.sources;
    const isOwnEnd = source !== undefined && source.connection === this.dialled;
    this.readOn();
    if (!isOwnEnd) this.leave();
    else if (this.isDeserted) {
      this.phase = idle;
      this.state = undefined;
    }
  }

  told(): void {
    this.sources[0]?.connection.told();
  }

  corrupted(error: SocketError): void {
    this.sources[0]?.connection.corrupted(error);
  }

  fail(error: SocketError): void {
    if (this.addressee === undefined) this.giveUp(error);
    else this.addressee.fail(error);
  }

  destroy(reason: unknown): void {
    if (this.addressee === undefined) {
      this.giveUp(new SocketError('ERR_CLOSED', 'the client was destroyed', { address: this.address, cause: reason }));
      return;
    }
    this.redial.stop();
    this.addressee.destroy(reason);
  }

  close(): Promise<void> {
    if (this.addressee !== undefined) return this.addressee.close();
    this.outbound.complete();
    return Promise.resolve();
  }

  defer(work: () => void): void {
    const connection = this.sources[0]?.connection ?? this.connection;
    if (connection === undefined) queueMicrotask(work);
    else connection.defer(work);
  }

  /** No connection is there to fail: the client does. */
  overflowed(error: SocketError): void {
    this.giveUp(error);
  }

  progressed(): void {
    // Only a connection has timers that this would concern.
  }

  /** What waits is kept for the next connection, if there is to be one (K4). */
  finishing(connection: SocketConnection<In, Out>, error?: SocketError): void {
    if (connection.outbound !== this.outbound || !this.outlives(connection) || isFinal(error)) return;
    connection.outbound.retire(this, (heir) => {
      heir.expecting = true;
      heir.parking = this.settings.whileDisconnected;
      this.outbound = heir;
    });
  }

  /** Whether another connection will follow this one, as far as one can know while it is still there. */
  outlives(connection: SocketConnection<In, Out>): boolean {
    if (this.dialled !== connection || !this.redial.willing) return false;
    const { outbound } = this;
    return connection.outbound !== outbound || !outbound.closed || outbound.bufferedBytes > 0;
  }

  gone(connection: SocketConnection<In, Out>, outcome: Closed): void {
    const { phase } = this;
    if (phase.name !== 'connected' || phase.connection !== connection) return;
    const uptime = asyncScheduler.now() - phase.since;
    if (outcome.error !== undefined) noteUptime(outcome.error, uptime);
    const redials = this.outlives(connection) && !isFinal(outcome.error);
    this.lost(outcome.error, uptime, redials);
  }

  /** The connection that the attempt under way has. */
  private get dialled(): SocketConnection<In, Out> | undefined {
    return this.phase.name === 'connected' ? this.phase.connection : undefined;
  }

  /** The connection that what is sent goes to, which may have ended. */
  private get current(): SocketConnection<In, Out> | undefined {
    return this.connection?.outbound === this.outbound ? this.connection : undefined;
  }

  /** The connection that ends when this side ends the client. */
  private get addressee(): SocketConnection<In, Out> | undefined {
    return this.dialled ?? this.current;
  }

  private get isDeserted(): boolean {
    return this.watchers.size === 0 && this.readers.size === 0;
  }

  private start(): void {
    // What is left to be sent on an earlier connection stays its own, and nobody can add to it any more.
    void this.current?.close();
    if (this.current !== undefined || this.outbound.ended) this.outbound = new Outbound(this.settings, this);
    if (this.sources[0]?.connection.inbound.unread === true) this.sources = [];
    this.redial = new Redial(this.settings.reconnect);
    this.outbound.expecting = true;
    const { early } = this;
    this.early = undefined;
    if (early === undefined) this.dial();
    else this.failEarly(early);
  }

  /** What went wrong beforehand is told as the end of an attempt that is not made. */
  private failEarly(error: SocketError): void {
    const phase: Phase<In, Out> = { name: 'connecting', dial: { abort: () => undefined }, timer: undefined };
    this.phase = phase;
    this.emit({ status: 'connecting', attempt: this.redial.attempt, address: this.address });
    if (this.phase === phase) this.lost(error, -1, false);
  }

  private dial(): void {
    const { connectTimeout } = this.settings;
    const isCurrent = (): boolean => this.phase === phase;
    const events: DialEvents = {
      connected: (socket) => {
        if (isCurrent()) this.connected(socket);
        else socket.reset();
      },
      failed: (error) => {
        if (isCurrent()) this.failed(error);
      },
    };
    const dial = this.transport.connect(this.address, this.settings, events);
    const timer =
      connectTimeout === 0
        ? undefined
        : new Timer(connectTimeout, () => {
            dial.abort();
            const where = formatAddress(this.address);
            const message = `no connection to ${where} within ${connectTimeout} ms`;
            this.failed(new SocketError('ERR_TIMEOUT_CONNECT', message, { address: this.address }));
          });
    const phase: Phase<In, Out> = { name: 'connecting', dial, timer };
    this.phase = phase;
    this.emit({ status: 'connecting', attempt: this.redial.attempt, address: this.address });
  }

  private connected(socket: TransportSocket): void {
    this.stopDialling();
    const connection = new SocketConnection<In, Out>(socket, this.settings, this, this.outbound);
    this.connection = connection;
    this.phase = { name: 'connected', connection, since: asyncScheduler.now() };
    this.sources.push({ connection, isLast: false });
    if (this.sources.length === 1) this.readFrom(connection);
    // What waits is on its way before anybody can add to it (C2); the first bytes come in a later turn.
    connection.open();
    // Where too much of earlier connections waits, the new one is not read, so that it does not come on top.
    const left = this.sources.reduce((sum, source) => sum + source.connection.inbound.queue.length, 0);
    if (left >= readAhead) connection.inbound.block();
    this.emit({ status: 'connected', attempt: this.redial.attempt, connection });
  }

  /** There was no connection. */
  private failed(error: SocketError): void {
    this.stopDialling();
    this.lost(error, -1, true);
  }

  /** An attempt has ended: it is tried again, or the client ends. */
  private lost(error: SocketError | undefined, uptime: number, redials: boolean): void {
    const { attempt } = this.redial;
    const disconnected = { status: 'disconnected', attempt, ...(error === undefined ? {} : { error }) } as const;
    const verdict = redials ? this.redial.judge(error, uptime) : ({ kind: 'end' } as const);
    if (verdict.kind === 'end') {
      this.finish(error, disconnected);
      return;
    }
    const phase: Phase<In, Out> = { name: 'waiting', over: undefined };
    this.phase = phase;
    this.emit(disconnected);
    if (this.phase !== phase) return;
    const [first] = this.sources;
    if (first?.isLast === false && first.connection.inbound.queue.length === 0) this.advance();
    this.emit({ ...disconnected, status: 'waiting', delay: verdict.delay });
    if (this.phase !== phase) return;
    phase.over = verdict.over.pipe(take(1)).subscribe({
      next: () => {
        this.redial.next();
        this.dial();
      },
      error: (cause: unknown) => {
        this.finish(systemError(cause, 'reconnect', this.address));
      },
      complete: () => {
        // A policy that completes without a value wants no further attempt, as with `retry`.
        if (this.phase === phase) this.finish(undefined);
      },
    });
  }

  /** The first source has nothing more: the readers go on to the next one. */
  private advance(): void {
    const { inbound } = (this.sources.shift() as Source<In, Out>).connection;
    for (const reader of this.readers) inbound.detach(reader);
    if (this.sources[0] !== undefined) this.readFrom(this.sources[0].connection);
  }

  /** What the client had ended with is read no more: it goes on with what came after it. */
  private readOn(): void {
    const [source] = this.sources;
    if (source?.isLast === true && source.connection.inbound.unread) this.advance();
  }

  private readFrom(source: SocketConnection<In, Out>): void {
    for (const reader of this.readers) source.observed(reader);
    if (this.readers.size > 0) source.inbound.wakeSoon();
  }

  /** The attempt, or the wait for the next, is given up from this side: that ends the client. */
  private giveUp(error: SocketError): void {
    const { phase } = this;
    switch (phase.name) {
      case 'connecting':
        phase.dial.abort();
        this.stopDialling();
        this.lost(error, -1, false);
        return;
      case 'waiting':
        phase.over?.unsubscribe();
        this.finish(error);
        return;
      case 'connected':
        this.redial.stop();
        this.outbound.fail(error);
        phase.connection.fail(error);
        return;
      case 'idle':
        if (this.outbound.ended) return;
        this.early = error;
        this.outbound.fail(error);
    }
  }

  /** Nobody belongs to it any more when the first is told: whoever then subscribes again begins anew. */
  private finish(error: SocketError | undefined, disconnected?: ConnectionState<In, Out>): void {
    const watchers = [...this.watchers];
    this.watchers.clear();
    const readers = this.stranded();
    for (const reader of readers) this.readers.delete(reader);
    this.phase = idle;
    this.state = undefined;
    if (!this.outbound.ended) {
      this.outbound.fail(error ?? new SocketError('ERR_CLOSED', 'the client has ended', { address: this.address }));
    }
    for (const reader of readers) reader.conclude(error ?? 'fin');
    for (const watcher of watchers) {
      if (disconnected !== undefined) watcher.next(disconnected);
    }
    for (const watcher of watchers) {
      if (error === undefined) watcher.complete();
      else watcher.error(error);
    }
  }

  /** The client ends: gives the readers that no connection will tell so. */
  private stranded(): readonly Reader[] {
    const [first] = this.sources;
    const newest = this.sources.at(-1);
    // Behind what an earlier end of the client has left they wait for what is there now.
    const isWaitedFor = first?.isLast === true && newest?.isLast === false;
    if (newest !== undefined) newest.isLast = true;
    if (isWaitedFor) return [];
    return [...this.readers].filter((reader) => first?.connection.inbound.has(reader) !== true);
  }

  /** Nobody is left: an attempt is aborted (K7), a connection closed gracefully (K1). */
  private leave(): void {
    if (!this.isDeserted) return;
    const { phase } = this;
    this.phase = idle;
    this.state = undefined;
    this.sources = [];
    switch (phase.name) {
      case 'idle':
        return;
      case 'connected':
        void phase.connection.close();
        if (phase.connection === this.current) return;
        break;
      case 'connecting':
        phase.dial.abort();
        phase.timer?.unsubscribe();
        break;
      case 'waiting':
        phase.over?.unsubscribe();
        break;
    }
    const message = 'the client was left before the value could be written';
    this.outbound.fail(new SocketError('ERR_CLOSED', message, { address: this.address }));
  }

  private stopDialling(): void {
    if (this.phase.name === 'connecting') this.phase.timer?.unsubscribe();
  }

  private emit(state: ConnectionState<In, Out>): void {
    this.state = state;
    for (const watcher of [...this.watchers]) watcher.next(state);
  }
}

/** Where more was sent than may wait, another connection would not help: the client ends (K4). */
function isFinal(error: SocketError | undefined): boolean {
  return error?.code === 'ERR_OVERFLOW';
}
