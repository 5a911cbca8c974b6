import { asyncScheduler, type Subscriber, type Subscription, take, type TeardownLogic } from 'rxjs';
import { type Address, formatAddress } from './address.js';
import { noteUptime } from './backoff.js';
import { Channel, type Port } from './channel.js';
import type { ConnectionState } from './client-state.js';
import { type Closed, type ConnectionKeeper, SocketConnection } from './connection.js';
import { SocketError, systemError } from './errors.js';
import { type Inbound, readAhead, type Reader } from './io/inbound.js';
import { Outbound, type OutboundOwner } from './io/outbound.js';
import type { ConnectSettings } from './options.js';
import { Redial } from './redial.js';
import type { Dial, DialEvents, Transport, TransportSocket } from './transport/transport.js';

type Phase<In, Out> =
  | { readonly name: 'idle' }
  | { readonly name: 'connecting'; readonly dial: Dial; readonly timer: Subscription | undefined }
  | { readonly name: 'connected'; readonly connection: SocketConnection<In, Out>; readonly since: number }
  | { readonly name: 'waiting'; over: Subscription | undefined };

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
  /** Connections whose bytes were not all emitted, oldest first; the readers read the first one. */
  private sources: SocketConnection<In, Out>[] = [];
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
    return this.sources[0]?.inbound;
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
    // What a connection that is gone has left behind comes first, and then its end.
    if (this.sources[0] !== undefined) this.sources[0].observed(reader);
    else if (this.phase.name === 'idle') this.start();
  }

  unobserved(reader: Reader): void {
    this.readers.delete(reader);
    this.sources[0]?.unobserved(reader);
    this.leave();
  }

  /** The reader has emitted all that the first source had: the next one follows, if there is one, or will be (K4). */
  ended(reader: Reader, end: 'fin' | SocketError): void {
    const source = this.sources[0];
    if (source === undefined) return;
    const { phase } = this;
    const isCurrent = phase.name === 'connected' && phase.connection === source;
    if (phase.name === 'idle' || (isCurrent && !this.outlives(source))) {
      source.ended(reader, end);
    } else if (isCurrent) {
      source.inbound.queue.clear();
      source.unobserved(reader);
    } else this.advance(source);
  }

  concluded(reader: Reader): void {
    if (this.readers.delete(reader)) this.leave();
  }

  fail(error: SocketError): void {
    if (this.phase.name === 'connected') this.phase.connection.fail(error);
    else this.giveUp(error);
  }

  destroy(reason: unknown): void {
    const error = new SocketError('ERR_CLOSED', 'the client was destroyed', { address: this.address, cause: reason });
    const { phase } = this;
    if (phase.name !== 'connected') {
      this.giveUp(error);
      return;
    }
    this.redial.stop();
    phase.connection.destroy(reason);
  }

  close(): Promise<void> {
    if (this.phase.name === 'connected') return this.phase.connection.close();
    this.outbound.complete();
    return Promise.resolve();
  }

  defer(work: () => void): void {
    const source = this.sources[0];
    if (source === undefined) queueMicrotask(work);
    else source.defer(work);
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
    if (this.settings.reconnect === undefined || this.phase.name === 'idle' || !this.redial.willing) return false;
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

  private start(): void {
    // One that has a connection is that connection's, which may still be closing.
    if (this.outbound.ended || this.outbound.attached) this.outbound = new Outbound(this.settings, this);
    if (this.readers.size === 0) this.sources = [];
    this.redial = new Redial(this.settings.reconnect);
    this.outbound.expecting = true;
    const { early } = this;
    this.early = undefined;
    this.dial();
    if (early !== undefined) this.giveUp(early);
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
        : asyncScheduler.schedule(() => {
            dial.abort();
            const where = formatAddress(this.address);
            const message = `no connection to ${where} within ${connectTimeout} ms`;
            this.failed(new SocketError('ERR_TIMEOUT_CONNECT', message, { address: this.address }));
          }, connectTimeout);
    const phase: Phase<In, Out> = { name: 'connecting', dial, timer };
    this.phase = phase;
    this.emit({ status: 'connecting', attempt: this.redial.attempt, address: this.address });
  }

  private connected(socket: TransportSocket): void {
    this.stopDialling();
    const connection = new SocketConnection<In, Out>(socket, this.settings, this, this.outbound);
    this.phase = { name: 'connected', connection, since: asyncScheduler.now() };
    this.sources.push(connection);
    if (this.sources[0] === connection) this.readFrom(connection);
    // What waits is on its way before anybody can add to it (C2); the first bytes come in a later turn.
    connection.open();
    // Where too much of earlier connections waits, the new one is not read, so that it does not come on top.
    const left = this.sources.reduce((sum, source) => sum + source.inbound.queue.length, 0);
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
    const phase: Phase<In, Out> = { name: 'waiting', over: undefined };
    this.phase = phase;
    const { attempt } = this.redial;
    const why = error === undefined ? {} : { error };
    this.emit({ status: 'disconnected', attempt, ...why });
    if (this.phase !== phase) return;
    const verdict = redials ? this.redial.judge(error, uptime) : ({ kind: 'end' } as const);
    if (verdict.kind === 'end') {
      this.finish(error);
      return;
    }
    const first = this.sources[0];
    if (first !== undefined && first.inbound.queue.length === 0) this.advance(first);
    this.emit({ status: 'waiting', attempt, delay: verdict.delay, ...why });
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
  private advance(source: SocketConnection<In, Out>): void {
    this.sources.shift();
    for (const reader of this.readers) source.inbound.detach(reader);
    if (this.sources[0] !== undefined) this.readFrom(this.sources[0]);
  }

  private readFrom(source: SocketConnection<In, Out>): void {
    for (const reader of this.readers) {
      reader.renew();
      source.observed(reader);
    }
    if (this.readers.size > 0) source.inbound.wakeSoon();
  }

  /** The attempt, or the wait for the next, is given up from this side: that ends the client. */
  private giveUp(error: SocketError): void {
    const { phase } = this;
    if (phase.name === 'connecting') {
      phase.dial.abort();
      this.stopDialling();
      this.lost(error, -1, false);
    } else if (phase.name === 'waiting') {
      phase.over?.unsubscribe();
      this.finish(error);
    } else if (!this.outbound.ended) {
      this.early = error;
      this.outbound.fail(error);
    }
  }

  private finish(error: SocketError | undefined): void {
    this.phase = idle;
    this.state = undefined;
    if (!this.outbound.ended) {
      this.outbound.fail(error ?? new SocketError('ERR_CLOSED', 'the client has ended', { address: this.address }));
    }
    const watchers = [...this.watchers];
    this.watchers.clear();
    const [source] = this.sources;
    // Whoever still reads what a connection has left is told of the end behind it.
    for (const reader of [...this.readers]) {
      if (source?.inbound.isReadBy(reader) !== true) reader.conclude(error ?? 'fin');
    }
    for (const watcher of watchers) {
      if (error === undefined) watcher.complete();
      else watcher.error(error);
    }
  }

  /** Nobody is left: an attempt is aborted (K7), a connection closed gracefully (K1). */
  private leave(): void {
    if (this.watchers.size > 0 || this.readers.size > 0) return;
    const { phase } = this;
    this.phase = idle;
    this.state = undefined;
    switch (phase.name) {
      case 'idle':
        this.sources = [];
        return;
      case 'connected':
        this.sources = [];
        void phase.connection.close();
        // What that connection can't take any more had to wait for another one, which will not come.
        if (phase.connection.outbound === this.outbound) return;
        break;
      case 'connecting':
        phase.dial.abort();
        phase.timer?.unsubscribe();
        break;
      case 'waiting':
        phase.over?.unsubscribe();
        break;
    }
    this.sources = [];
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
