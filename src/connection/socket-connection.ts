import { AsyncSubject, ignoreElements, lastValueFrom, type Observable, of } from 'rxjs';
import type { Address } from '../address/address.js';
import { bytes } from '../codecs/raw-bytes.js';
import { Channel } from '../channel/channel.js';
import type { ChannelHost } from '../channel/channel-host.js';
import type { Closed, Connection, ConnectionStats } from './connection.js';
import { SocketError } from '../errors/socket-error.js';
import { handlerError } from '../errors/node-errors.js';
import { Inbound, type Reader } from '../io/inbound.js';
import { Outbound, type OutboundOwner, type SendLane } from '../io/outbound.js';
import type { ConnectionSettings } from './connection-settings.js';
import { originate, originOf } from '../errors/error-origin.js';
import type { Listed } from './connection-list.js';
import { Timeouts } from './timeouts.js';
import { TlsUpgrade } from './tls-upgrade.js';
import type { StartTlsOptions, TlsInfo } from '../transport/tls.js';
import type { SocketControls, SocketEvents, TransportSocket } from '../transport/transport.js';

let lastId = 0;

/** Why a connection does not end in order. */
interface Failure {
  readonly reason: 'destroyed' | 'failed';
  readonly error: SocketError;
}

/** How a connection ended. The connection is no member of its own, so that it can be logged as JSON. */
class Outcome implements Closed {
  readonly reason: Closed['reason'];
  declare readonly error?: SocketError;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly #connection: Connection<any, any>;

  constructor(connection: Connection<any, any>, failure: Failure | undefined, bytesRead: number, bytesWritten: number) {
    this.reason = failure?.reason ?? 'finished';
    if (failure !== undefined) this.error = failure.error;
    this.bytesRead = bytesRead;
    this.bytesWritten = bytesWritten;
    this.#connection = connection;
  }

  get connection(): Connection<any, any> {
    return this.#connection;
  }
}

/** Who keeps a connection: a server or a client. */
export interface ConnectionOwner<In, Out> {
  /** Whether it reports why its connections fail (S4). */
  readonly reports: boolean;
  /** The sending side is about to end, because of `error` or in order, not because the user has completed it. */
  finishing(connection: SocketConnection<In, Out>, error?: SocketError): void;
  /** Whether what is sent from now on has another connection to go to. */
  outlives(connection: SocketConnection<In, Out>): boolean;
  /** A handler has failed after its connection had. */
  failedAfter?(error: SocketError): void;
  /** It has ended; `closed` tells it afterwards. */
  gone(connection: SocketConnection<In, Out>, outcome: Closed): void;
}

/** The one implementation of Connection: a transport's socket, its two directions, its timers and its end. */
export class SocketConnection<In, Out>
  implements Connection<In, Out>, ChannelHost, SocketEvents, OutboundOwner, Listed<SocketConnection<In, Out>>
{
  readonly id: number = ++lastId;
  readonly inbound: Inbound;
  readonly outbound: Outbound;
  readonly reusable = false;
  readonly continues = false;
  earlier: SocketConnection<In, Out> | undefined;
  later: SocketConnection<In, Out> | undefined;

  /** Who keeps it. */
  readonly owner: ConnectionOwner<In, Out>;
  private readonly socket: TransportSocket;
  private readonly settings: ConnectionSettings<In, Out>;
  private readonly opened: number = Date.now();
  /** Made for the first timer that is needed: most connections need none. */
  private timers: Timeouts | undefined;
  private dataChannel: Channel<In, Out> | undefined;
  private bytesChannel: Channel<Buffer, Uint8Array | string> | undefined;
  private finishes = false;
  /** Whether the sending side stays open after the peer's FIN, whatever the option `halfOpen` says (I2). */
  private outlastsPeer = false;
  /** Whether the receiving side has ended, and the sending side ends once no work is in progress (D3, S7). */
  private isDraining = false;
  private closing: Promise<void> | undefined;
  /** What went wrong first: it stands, whatever goes wrong after it (C12). */
  private failure: Failure | undefined;
  /** Why the peer's stream was cut off, until it is known whether that broke off a frame (T5). */
  private truncation: SocketError | undefined;
  /** Whether the socket was reset. */
  private isCut = false;
  private outcome: Closed | undefined;
  private ending: AsyncSubject<Closed> | undefined;
  /** While the connection changes to TLS. */
  private upgrade: TlsUpgrade | undefined;

  constructor(socket: TransportSocket, settings: ConnectionSettings<In, Out>, keeper: ConnectionOwner<In, Out>) {
    this.owner = keeper;
    this.socket = socket;
    this.settings = settings;
    this.inbound = new Inbound(socket);
    this.outbound = new Outbound(settings, this);
  }

  get reports(): boolean {
    return this.owner.reports;
  }

  /** Whether it does not end in order. */
  get hasFailed(): boolean {
    return this.failure !== undefined;
  }

  get lane(): SendLane {
    return this.outbound.lane;
  }

  get carrier(): this {
    return this;
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

  /** What Node can set on the socket below. */
  get controls(): SocketControls | undefined {
    return this.socket.controls;
  }

  /** Leaves it to a Node stream to end the sending side; gives whether that is to go on after the peer's FIN (I2). */
  handToStream(): boolean {
    this.outlastsPeer = true;
    return this.settings.endsStreams !== true;
  }

  get isUpgrading(): boolean {
    return this.upgrade !== undefined;
  }

  /** Begins to read and to write. */
  open(): this {
    this.socket.open(this);
    this.outbound.attach(this.socket);
    if (this.settings.idleTimeout + this.settings.receiveTimeout > 0) this.timeouts.start();
    return this;
  }

  /** Somebody has to read it by the end of this turn, or within `claimTimeout`. Most are read by now. */
  expectClaim(): void {
    if (!this.inbound.unread) return;
    this.defer(() => {
      this.awaitClaim();
    });
  }

  startTls(options: StartTlsOptions): Promise<TlsInfo> {
    try {
      if (this.upgrade !== undefined && !this.outbound.closed) {
        throw new SocketError('ERR_OPTION_INVALID', 'startTls: the TLS handshake of this connection is under way');
      }
      const upgrade = new TlsUpgrade(this, this.socket, options, this.settings.handshakeTimeout, () => {
        this.upgrade = undefined;
        this.timers?.ready();
      });
      this.upgrade = upgrade;
      if (this.inbound.queue.length > 0) upgrade.clearTextArrived();
      return upgrade.done;
    } catch (error) {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- it is a SocketError
      return Promise.reject(error);
    }
  }

  close(): Promise<void> {
    return this.closeWithin(this.settings.closeTimeout);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** As `close`, forced after `limit` ms; 0 means never. */
  closeWithin(limit: number): Promise<void> {
    this.closing ??= this.startClosing();
    this.forceWithin(limit);
    return this.closing;
  }

  /**
   * Ends the receiving side after what was received, as if the peer had finished, and closes once the work in progress
   * is done; what is left after `limit` ms is aborted (S7). 0 means never.
   */
  drain(limit: number): void {
    if (this.isOver || this.closing !== undefined) {
      void this.closeWithin(limit);
      return;
    }
    this.timers?.claimed();
    this.forceWithin(limit);
    this.isDraining = true;
    this.inbound.stop();
    this.settled();
  }

  /** As `drain`, without waiting: a paced send that is not finished is aborted, so that it does not look complete (S7). */
  closeNow(limit: number): void {
    this.drain(limit);
    const finish = (): void => {
      if (this.lane.pacedTasks === 0) void this.closeWithin(limit);
      else this.fail(new SocketError('ERR_TIMEOUT_CLOSE', 'the server was shut down before all was sent'));
    };
    this.defer(() => {
      // A generator that was told of the end of its input has ended when the event loop has gone round.
      if (this.lane.pacedTasks > 0) this.socket.scheduler.rest(finish);
      else finish();
    });
  }

  complete(): void {
    // The client's channel goes on to another connection, but what it has sent so far goes before the FIN.
    if (this.owner.outlives(this)) this.outbound.flush();
    this.finishSending();
  }

  destroy(reason?: unknown): void {
    if (this.isOver) return;
    const details = reason === undefined ? { address: this.remote } : { address: this.remote, cause: reason };
    const error = originate(new SocketError('ERR_CLOSED', 'the connection was destroyed', details), this);
    this.cutOff('destroyed', error);
    this.inbound.abort(error);
  }

  fail(error: SocketError): void {
    if (this.isOver) return;
    this.inbound.finish(this.cutOff('failed', error));
  }

  failedBy(cause: unknown): void {
    // A handler that fails because its connection has failed is not to blame.
    if (this.owns(cause)) return;
    const error = handlerError(cause, this.remote);
    // The first failure stands in `closed`; the handler's own fault is not lost either.
    if (this.failure === undefined && !this.isOver) this.fail(error);
    else this.owner.failedAfter?.(error);
  }

  owns(error: unknown): boolean {
    return originOf(error) === this;
  }

  defer(work: () => void): void {
    this.socket.scheduler.defer(work);
  }

  observed(channel: Reader): void {
    this.timers?.claimed();
    this.timers?.ready();
    this.inbound.attach(channel);
  }

  /** Ends the sending side; once nobody reads any more the rest is discarded, and the connection closed (S6). */
  finishUnread(): void {
    this.finishes = true;
    this.finishSending();
    this.closeUnread();
  }

  ready(): void {
    this.timers?.ready();
  }

  unobserved(channel: Reader): void {
    this.inbound.detach(channel);
    this.closeUnread();
    this.endWithPeer();
    this.awaitClaim();
    this.settled();
  }

  ended(channel: Reader, end: 'fin' | SocketError): void {
    const { inbound } = this;
    const isTruncated = end === 'fin' ? !inbound.isStopped : end === this.truncation && !this.isCut;
    if (inbound.queue.length > 0 && isTruncated) {
      this.corrupted(new SocketError('ERR_FRAME_TRUNCATED', 'the stream has ended inside a frame'));
      return;
    }
    // A frame that this side does not wait for is dropped, and not taken for a whole one.
    if (inbound.isStopped) inbound.queue.clear();
    inbound.isRead = true;
    inbound.detach(channel);
    channel.conclude(end);
  }

  told(): void {
    this.closeUnread();
    this.endWithPeer();
    this.settled();
  }

  concluded(): void {
    // A connection's channels have no second stream.
  }

  /** Ends the receiving side; what was sent, and what is sent in reply to the error, is still flushed (D3). */
  corrupted(error: SocketError): void {
    const isFirst = !this.isOver && (this.failure === undefined || this.failure.error === this.truncation);
    if (isFirst) {
      this.failure = { reason: 'failed', error: originate(error, this) };
      this.isDraining = true;
      this.timers?.claimed();
      this.forceWithin(this.settings.closeTimeout);
      this.owner.finishing(this, error);
    }
    this.inbound.abort(error);
    this.inbound.linger();
    this.settled();
  }

  /** No paced send and no handler is in progress, or no reader is left: that may be the end of a drain. */
  settled(): void {
    // A function that was busy may read again.
    this.timers?.ready();
    if (!this.isDraining) return;
    // A reader that was just given the end may still send something, in promises too.
    this.socket.scheduler.rest(() => {
      if (this.lane.tasks > 0 || !this.inbound.unread || this.isOver) return;
      this.closing ??= this.startClosing();
    });
  }

  /** Fails, and drops what was received and not emitted. */
  abort(error: SocketError): void {
    if (!this.isOver) this.inbound.abort(this.cutOff('failed', error));
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

  onData(chunk: Buffer): void {
    if (this.upgrade !== undefined) {
      this.upgrade.clearTextArrived();
      return;
    }
    this.timers?.received();
    this.inbound.data(chunk);
  }

  onEnd(truncated?: SocketError, allowed = false): void {
    if (this.upgrade !== undefined) {
      this.upgrade.peerFinished();
      return;
    }
    const { discarding, unread } = this.inbound;
    this.timers?.heardAll();
    // What is discarded can't be missed.
    if (truncated !== undefined && !discarding && !allowed) {
      this.truncation = truncated;
      this.failure ??= { reason: 'failed', error: originate(truncated, this) };
      this.inbound.finish(truncated);
      if (this.failure.error === truncated) this.fail(truncated);
      return;
    }
    this.inbound.truncated = truncated !== undefined;
    this.inbound.finish('fin');
    // A client that dials again does not wait for a reader that holds what is left (K4).
    if (unread || this.owner.outlives(this)) this.endWithPeer();
    if (!this.outbound.ended && this.outcome === undefined) this.timeouts.awaitEnd();
  }

  onDrain(): void {
    this.outbound.taken();
  }

  onClose(error: SocketError | undefined): void {
    if (this.outcome !== undefined) return;
    this.timers?.stop();
    const { inbound, outbound } = this;
    const isInOrder = inbound.peerFinished && outbound.ended && outbound.error === undefined;
    if (!this.isCut) {
      if (error !== undefined || !isInOrder) {
        this.fail(error ?? new SocketError('ECONNABORTED', 'the socket was closed before both sides had ended'));
      }
    } else if (error !== undefined && this.failure?.reason === 'destroyed') this.failure = { reason: 'failed', error };
    // After a bad frame the sending side has ended in order (D3): who sends still learns what ended the connection.
    if (this.failure !== undefined) this.lane.end(outbound.written, this.failure.error);
    this.outcome = new Outcome(this, this.failure, inbound.received, outbound.written);
    this.owner.gone(this, this.outcome);
    this.ending?.next(this.outcome);
    this.ending?.complete();
  }

  private get isOver(): boolean {
    return this.isCut || this.outcome !== undefined;
  }

  /** Nothing is sent any more, because of `error` or of what went wrong before it, which it gives. */
  private cutOff(reason: Failure['reason'], error: SocketError): SocketError {
    this.failure ??= { reason, error: originate(error, this) };
    this.isCut = true;
    this.timers?.stop();
    this.owner.finishing(this, this.failure.error);
    const hasEnded = this.outbound.ended;
    this.outbound.fail(this.failure.error);
    // A peer that is slow to read what it was sent, and how it ended, still gets it.
    if (hasEnded && error.code === 'ERR_TIMEOUT_CLOSE' && this.socket.drop !== undefined) this.socket.drop();
    else this.socket.reset();
    return this.failure.error;
  }

  /** Without `halfOpen` the sending side ends once all that the peer has sent was emitted, or nobody reads it (C7). */
  private endWithPeer(): void {
    if (this.settings.halfOpen || this.outlastsPeer || !this.inbound.peerFinished || this.isDraining) return;
    if (this.inbound.unread || this.owner.outlives(this)) this.finishSending();
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
    if (!this.isOver && this.closing === undefined && !this.isDraining) this.timeouts.awaitClaim();
  }

  /** The time begins once the running code has ended: what is sent, the FIN too, leaves no earlier (C23). */
  private forceWithin(limit: number): void {
    this.defer(() => {
      if (!this.isOver) this.timeouts.forceWithin(limit);
    });
  }

  private closeUnread(): void {
    if (this.finishes && this.inbound.unread) void this.close();
  }

  private finishSending(): void {
    this.owner.finishing(this);
    this.outbound.complete();
  }

  private startClosing(): Promise<void> {
    const gone = lastValueFrom(this.closed.pipe(ignoreElements()), { defaultValue: undefined });
    if (this.isOver) return gone;
    this.finishSending();
    this.timers?.claimed();
    this.inbound.linger();
    return gone;
  }
}
