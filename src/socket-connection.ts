import { AsyncSubject, ignoreElements, lastValueFrom, type Observable, of } from 'rxjs';
import type { Address } from './address.js';
import { bytes } from './bytes.js';
import { Channel, type Port } from './channel.js';
import type { Closed, Connection, ConnectionStats } from './connection.js';
import { SocketError } from './errors.js';
import { Inbound, type Reader } from './io/inbound.js';
import { Outbound } from './io/outbound.js';
import type { OutboundOwner } from './io/outbound-owner.js';
import type { ConnectionSettings } from './options.js';
import type { Listed } from './roster.js';
import { Timeouts } from './timeouts.js';
import type { TlsInfo } from './transport/tls.js';
import type { SocketEvents, TransportSocket } from './transport/transport.js';

let lastId = 0;

/** Why this side ended a connection. */
interface Cut {
  readonly reason: 'destroyed' | 'failed';
  readonly error: SocketError;
}

/** Who keeps a connection: a server or a client. */
export interface ConnectionKeeper<In, Out> {
  /** The sending side is about to end, because of `error` or in order, not because the user has completed it. */
  finishing(connection: SocketConnection<In, Out>, error?: SocketError): void;
  /** Whether what is sent from now on has another connection to go to. */
  outlives(connection: SocketConnection<In, Out>): boolean;
  /** It has ended; `closed` tells it afterwards. */
  gone(connection: SocketConnection<In, Out>, outcome: Closed): void;
}

/** The one implementation of Connection: a transport's socket, its two directions, its timers and its end. */
export class SocketConnection<In, Out>
  implements Connection<In, Out>, Port, SocketEvents, OutboundOwner, Listed<SocketConnection<In, Out>>
{
  readonly id: number = ++lastId;
  readonly inbound: Inbound;
  readonly outbound: Outbound;
  readonly reusable = false;
  readonly continues = false;
  earlier: SocketConnection<In, Out> | undefined;
  later: SocketConnection<In, Out> | undefined;

  private readonly socket: TransportSocket;
  private readonly settings: ConnectionSettings<In, Out>;
  private readonly opened: number = Date.now();
  /** Made for the first timer that is needed: most connections need none. */
  private timers: Timeouts | undefined;
  private dataChannel: Channel<In, Out> | undefined;
  private bytesChannel: Channel<Buffer, Uint8Array | string> | undefined;
  private readonly keeper: ConnectionKeeper<In, Out>;
  private finishes = false;
  private closing: Promise<void> | undefined;
  private cut: Cut | undefined;
  private outcome: Closed | undefined;
  private ending: AsyncSubject<Closed> | undefined;

  /** @param outbound - where the client's channel has already been sending */
  constructor(
    socket: TransportSocket,
    settings: ConnectionSettings<In, Out>,
    keeper: ConnectionKeeper<In, Out>,
    outbound?: Outbound,
  ) {
    this.keeper = keeper;
    this.socket = socket;
    this.settings = settings;
    this.inbound = new Inbound(socket);
    this.outbound = outbound ?? new Outbound(settings, this);
    this.outbound.owner = this;
  }

  get local(): Address {
    return this.socket.local;
  }

  get remote(): Address {
    return this.socket.remote;
  }

  get tls(): TlsInfo | undefined {
    return this.socket.tls;
  }

  get data(): Channel<In, Out> {
    this.dataChannel ??= new Channel(this, this.settings.codec);
    return this.dataChannel;
  }

  get bytes(): Channel<Buffer, Uint8Array | string> {
    this.bytesChannel ??= new Channel(this, bytes);
    return this.bytesChannel;
  }

  get stats(): ConnectionStats {
    return { bytesRead: this.inbound.received, bytesWritten: this.outbound.written, opened: new Date(this.opened) };
  }

  get closed(): Observable<Closed> {
    if (this.outcome !== undefined) return of(this.outcome);
    this.ending ??= new AsyncSubject<Closed>();
    return this.ending;
  }

  /** Begins to read and to write. */
  open(): this {
    this.socket.open(this);
    this.outbound.attach(this.socket);
    if (this.settings.idleTimeout > 0) this.timeouts.start();
    return this;
  }

  /** Somebody has to read it by the end of this turn, or within `claimTimeout`. Most are read by now. */
  expectClaim(): void {
    if (!this.inbound.unread) return;
    this.defer(() => {
      this.awaitClaim();
    });
  }

  close(): Promise<void> {
    return this.closeWithin(this.settings.closeTimeout);
  }

  /** As `close`, forced after `limit` ms; 0 means never. */
  closeWithin(limit: number): Promise<void> {
    this.closing ??= this.startClosing();
    if (this.cut === undefined && this.outcome === undefined) this.timeouts.forceWithin(limit);
    return this.closing;
  }

  destroy(reason?: unknown): void {
    const details = reason === undefined ? { address: this.remote } : { address: this.remote, cause: reason };
    const error = new SocketError('ERR_CLOSED', 'the connection was destroyed', details);
    this.cutOff('destroyed', error);
    if (this.cut?.error === error) this.inbound.abort(error);
  }

  fail(error: SocketError): void {
    this.cutOff('failed', error);
    this.inbound.finish(error);
  }

  defer(work: () => void): void {
    this.socket.turn.defer(work);
  }

  observed(channel: Reader): void {
    this.timers?.claimed();
    this.inbound.attach(channel);
  }

  /** Ends the sending side; once nobody reads any more the rest is discarded, and the connection closed (S6). */
  finishUnread(): void {
    this.finishes = true;
    this.outbound.complete();
    this.closeUnread();
  }

  unobserved(channel: Reader): void {
    this.inbound.detach(channel);
    this.closeUnread();
    this.endWithPeer();
    this.awaitClaim();
  }

  ended(channel: Reader, end: 'fin' | SocketError): void {
    // A stream that was cut off is told before the connection is: a frame that it breaks off is what is wrong (T5).
    if ((end === 'fin' || this.cut === undefined) && this.inbound.queue.length > 0) {
      this.corrupted(new SocketError('ERR_FRAME_TRUNCATED', 'the stream has ended inside a frame'));
      return;
    }
    this.inbound.detach(channel);
    channel.conclude(end);
  }

  told(): void {
    this.closeUnread();
    this.endWithPeer();
  }

  concluded(): void {
    // A connection's channels have no second stream.
  }

  corrupted(error: SocketError): void {
    this.cutOff('failed', error);
    this.inbound.abort(error);
  }

  overflowed(error: SocketError): void {
    this.fail(error);
  }

  progressed(): void {
    this.timers?.written();
  }

  finishedSending(): void {
    this.awaitClaim();
  }

  /** Whether what is received should lie in memory that can be given away. */
  get keeps(): boolean {
    return this.inbound.keeps;
  }

  get room(): Buffer | undefined {
    return this.inbound.room;
  }

  received(chunk: Buffer): void {
    this.timers?.received();
    this.inbound.data(chunk);
  }

  finished(truncated?: SocketError): void {
    const { discarding, unread } = this.inbound;
    // What is discarded can't be missed.
    const failure = discarding ? undefined : truncated;
    this.inbound.finish(failure ?? 'fin');
    if (failure !== undefined) this.fail(failure);
    // A client that dials again does not wait for a reader that holds what is left (K4).
    else if (unread || this.keeper.outlives(this)) this.endWithPeer();
    if (!this.outbound.ended && this.outcome === undefined) this.timeouts.awaitEnd();
  }

  taken(): void {
    this.outbound.taken();
  }

  gone(error: SocketError | undefined): void {
    if (this.outcome !== undefined) return;
    this.timers?.stop();
    const inOrder = this.inbound.end === 'fin' && this.outbound.ended && this.outbound.error === undefined;
    if (this.cut === undefined && (error !== undefined || !inOrder)) {
      this.fail(error ?? new SocketError('ECONNABORTED', 'the socket was closed before both sides had ended'));
    }
    const { inbound, outbound, cut } = this;
    this.outcome = { reason: 'finished', ...cut, bytesRead: inbound.received, bytesWritten: outbound.written };
    this.keeper.gone(this, this.outcome);
    this.ending?.next(this.outcome);
    this.ending?.complete();
  }

  /** This side, or a failure, ends it now: nothing is sent any more. */
  private cutOff(reason: Cut['reason'], error: SocketError): void {
    if (this.cut !== undefined || this.outcome !== undefined) return;
    this.cut = { reason, error };
    this.timers?.stop();
    this.keeper.finishing(this, error);
    this.outbound.fail(error);
    this.socket.reset();
  }

  /** Without `halfOpen` the sending side ends once all that the peer has sent was emitted, or nobody reads it (C7). */
  private endWithPeer(): void {
    if (this.settings.halfOpen || this.inbound.end !== 'fin') return;
    if (this.inbound.unread || this.keeper.outlives(this)) this.finishSending();
  }

  private get timeouts(): Timeouts {
    this.timers ??= new Timeouts(this.settings, this);
    return this.timers;
  }

  /** One that is ending has other limits. */
  private awaitClaim(): void {
    const { inbound, outbound } = this;
    // Where both sides have ended, it is about to be gone.
    if (!inbound.unread || (outbound.ended && inbound.end !== 'open')) return;
    if (this.cut === undefined && this.outcome === undefined && this.closing === undefined) this.timeouts.awaitClaim();
  }

  private closeUnread(): void {
    if (this.finishes && this.inbound.unread) void this.close();
  }

  private finishSending(): void {
    this.keeper.finishing(this);
    this.outbound.complete();
  }

  private startClosing(): Promise<void> {
    const gone = lastValueFrom(this.closed.pipe(ignoreElements()), { defaultValue: undefined });
    if (this.cut !== undefined || this.outcome !== undefined) return gone;
    this.finishSending();
    this.timers?.claimed();
    this.inbound.linger();
    return gone;
  }
}
