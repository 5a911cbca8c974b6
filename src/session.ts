import type { Subscriber, TeardownLogic } from 'rxjs';
import { type Address, formatAddress } from './address.js';
import { Channel, type Port } from './channel.js';
import type { ConnectionState } from './client-state.js';
import { type Closed, SocketConnection } from './connection.js';
import { SocketError } from './errors.js';
import type { Inbound, Reader } from './io/inbound.js';
import { Outbound, type OutboundOwner } from './io/outbound.js';
import { Timer } from './io/timer.js';
import type { ConnectSettings } from './options.js';
import type { Dial, DialEvents, Transport, TransportSocket } from './transport/transport.js';

type Phase =
  | { readonly name: 'idle' }
  | { readonly name: 'connecting'; readonly dial: Dial; readonly timer: Timer | undefined }
  | { readonly name: 'connected' };

const idle = { name: 'idle' } as const;

/**
 * What a Client does: it dials for as long as somebody is subscribed to its states or to its data (K1), and gives its
 * one channel the connection of the day.
 */
export class Session<In, Out> implements Port, OutboundOwner {
  readonly data: Channel<In, Out>;
  readonly reusable = true;
  outbound: Outbound;

  private readonly address: Address;
  private readonly settings: ConnectSettings<In, Out>;
  private readonly transport: Transport;
  private readonly watchers = new Set<Subscriber<ConnectionState<In, Out>>>();
  private readonly readers = new Set<Reader>();
  private phase: Phase = idle;
  /** The connection of the last attempt that had one. */
  private connection: SocketConnection<In, Out> | undefined;
  /** The connection that is read: an earlier one, for as long as a reader has not been given all that it received. */
  private source: SocketConnection<In, Out> | undefined;
  private state: ConnectionState<In, Out> | undefined;
  private attempt = 0;
  /** What went wrong before anybody had subscribed. */
  private early: SocketError | undefined;

  constructor(address: Address, settings: ConnectSettings<In, Out>, transport: Transport) {
    this.address = address;
    this.settings = settings;
    this.transport = transport;
    this.outbound = new Outbound(settings, this);
    this.data = new Channel(this, settings.codec);
  }

  get inbound(): Inbound | undefined {
    return this.source?.inbound;
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
    if (this.phase.name === 'idle') this.start();
    else if (this.phase.name === 'connected' && this.source === this.connection) this.source?.observed(reader);
  }

  unobserved(reader: Reader): void {
    this.source?.unobserved(reader);
    this.readers.delete(reader);
    this.readOn();
    this.leave();
  }

  ended(reader: Reader, end: 'fin' | SocketError): void {
    this.source?.ended(reader, end);
  }

  /** It has not left but come to the end, after which the sending side may go on (C7); whoever comes now dials anew. */
  concluded(reader: Reader): void {
    this.readers.delete(reader);
    this.readOn();
    if (this.phase.name === 'connected' && this.isDeserted) this.phase = idle;
  }

  told(): void {
    this.source?.told();
  }

  corrupted(error: SocketError): void {
    this.source?.corrupted(error);
  }

  fail(error: SocketError): void {
    if (this.current === undefined) this.giveUp(error);
    else this.current.fail(error);
  }

  destroy(reason: unknown): void {
    if (this.current === undefined) {
      this.giveUp(new SocketError('ERR_CLOSED', 'the client was destroyed', { address: this.address, cause: reason }));
    } else this.current.destroy(reason);
  }

  close(): Promise<void> {
    if (this.current !== undefined) return this.current.close();
    this.outbound.complete();
    return Promise.resolve();
  }

  defer(work: () => void): void {
    if (this.connection === undefined) queueMicrotask(work);
    else this.connection.defer(work);
  }

  overflowed(error: SocketError): void {
    this.fail(error);
  }

  progressed(): void {
    // Only a connection has timers that this would concern.
  }

  /** The connection that what is sent goes to, which may have ended. */
  private get current(): SocketConnection<In, Out> | undefined {
    return this.connection?.outbound === this.outbound ? this.connection : undefined;
  }

  private get isDeserted(): boolean {
    return this.watchers.size === 0 && this.readers.size === 0;
  }

  private start(): void {
    // What is left to be sent on an earlier connection stays its own, and nobody can add to it any more.
    void this.current?.close();
    if (this.current !== undefined || this.outbound.ended) this.outbound = new Outbound(this.settings, this);
    this.attempt = 1;
    this.outbound.expecting = true;
    const { early } = this;
    this.early = undefined;
    if (early === undefined) this.dial();
    else this.failEarly(early);
  }

  /** What went wrong beforehand is told as the end of an attempt that is not made. */
  private failEarly(error: SocketError): void {
    const phase: Phase = { name: 'connecting', dial: { abort: () => undefined }, timer: undefined };
    this.phase = phase;
    this.emit({ status: 'connecting', attempt: this.attempt, address: this.address });
    if (this.phase === phase) this.failed(error);
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
            const where = formatAddress(this.address);
            const message = `no connection to ${where} within ${connectTimeout} ms`;
            this.giveUp(new SocketError('ERR_TIMEOUT_CONNECT', message, { address: this.address }));
          });
    const phase: Phase = { name: 'connecting', dial, timer };
    this.phase = phase;
    this.emit({ status: 'connecting', attempt: this.attempt, address: this.address });
  }

  private connected(socket: TransportSocket): void {
    this.stopDialling();
    const connection = new SocketConnection<In, Out>(
      socket,
      this.settings,
      (outcome) => {
        this.gone(connection, outcome);
      },
      this.outbound,
    );
    this.connection = connection;
    this.phase = { name: 'connected' };
    this.readOn();
    // What waits is on its way before anybody can add to it (C2); the first bytes come in a later turn.
    connection.open();
    this.emit({ status: 'connected', attempt: this.attempt, connection });
  }

  private gone(connection: SocketConnection<In, Out>, outcome: Closed): void {
    if (this.connection === connection && this.phase.name === 'connected') this.finish(outcome.error);
  }

  /** The attempt is given up from this side. */
  private giveUp(error: SocketError): void {
    if (this.phase.name === 'connecting') {
      this.phase.dial.abort();
      this.failed(error);
    } else if (!this.outbound.ended) {
      this.early = error;
      this.outbound.fail(error);
    }
  }

  /** There was no connection. */
  private failed(error: SocketError): void {
    this.stopDialling();
    this.outbound.fail(error);
    // Whoever still reads an earlier connection did not wait for this one.
    const readers = [...this.readers].filter((reader) => this.source?.inbound.has(reader) !== true);
    this.finish(error, readers);
  }

  /** Nobody belongs to it any more when the first is told: whoever then subscribes again begins anew. */
  private finish(error: SocketError | undefined, readers: readonly Reader[] = []): void {
    const { attempt } = this;
    const watchers = [...this.watchers];
    this.watchers.clear();
    this.phase = idle;
    this.state = undefined;
    for (const reader of readers) this.readers.delete(reader);
    for (const reader of readers) reader.conclude(error ?? 'fin');
    for (const watcher of watchers) {
      watcher.next({ status: 'disconnected', attempt, ...(error === undefined ? {} : { error }) });
    }
    for (const watcher of watchers) {
      if (error === undefined) watcher.complete();
      else watcher.error(error);
    }
  }

  /** Nobody is left: an attempt is aborted (K7), a connection closed gracefully (K1). */
  private leave(): void {
    if (!this.isDeserted) return;
    const { phase } = this;
    this.phase = idle;
    this.state = undefined;
    if (phase.name === 'connecting') {
      phase.dial.abort();
      phase.timer?.unsubscribe();
      this.outbound.fail(
        new SocketError('ERR_CLOSED', 'the client was left while it was connecting', { address: this.address }),
      );
    } else if (phase.name === 'connected') void this.connection?.close();
  }

  /** Has the readers read the connection, once all that an earlier one received has been emitted. */
  private readOn(): void {
    const { connection, source } = this;
    if (this.phase.name !== 'connected' || connection === undefined || source === connection) return;
    if (source !== undefined && !source.inbound.unread) return;
    this.source = connection;
    for (const reader of this.readers) connection.observed(reader);
  }

  private stopDialling(): void {
    if (this.phase.name === 'connecting') this.phase.timer?.unsubscribe();
  }

  private emit(state: ConnectionState<In, Out>): void {
    this.state = state;
    for (const watcher of [...this.watchers]) watcher.next(state);
  }
}
