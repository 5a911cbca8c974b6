import { AsyncSubject, ignoreElements, lastValueFrom, type Observable, of } from 'rxjs';
import type { Address } from '../address/address.js';
import { bytes } from '../codecs/raw-bytes.js';
import { Channel } from '../channel/channel.js';
import type { ChannelHost } from '../channel/channel-host.js';
import { type CloseAction, CloseState } from './close-state.js';
import type { Closed, Connection, ConnectionStats } from './connection.js';
import { SocketError } from '../errors/socket-error.js';
import { handlerError } from '../errors/node-errors.js';
import { Inbound, type Reader } from '../io/inbound.js';
import { Outbound, type OutboundOwner } from '../io/outbound.js';
import type { SendLane } from '../io/send-lane.js';
import type { ConnectionSettings } from './connection-settings.js';
import { originate, originOf } from '../errors/error-origin.js';
import type { Listed } from './connection-list.js';
import { Timeouts } from './timeouts.js';
import { TlsUpgrade } from './tls-upgrade.js';
import type { StartTlsOptions, TlsInfo } from '../transport/tls.js';
import type { SocketControls, SocketEvents, StreamCutOff, TransportSocket } from '../transport/transport.js';

let lastId = 0;

/** Times are kept relative to this: a small number takes no memory besides the field. */
const loaded = Date.now();

/** How a connection ended. `connection` is a getter, so that the outcome can be logged as JSON. */
class Outcome implements Closed {
  readonly reason: Closed['reason'];
  declare readonly error?: SocketError;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly #connection: Connection<any, any>;

  constructor(
    connection: Connection<any, any>,
    reason: Closed['reason'],
    error: SocketError | undefined,
    bytesRead: number,
    bytesWritten: number,
  ) {
    this.reason = reason;
    if (error !== undefined) this.error = error;
    this.bytesRead = bytesRead;
    this.bytesWritten = bytesWritten;
    this.#connection = connection;
  }

  get connection(): Connection<any, any> {
    return this.#connection;
  }
}

/** Those who wait for the end of a connection. */
class Ending extends AsyncSubject<Closed> {
  private promise: Promise<void> | undefined;

  /** Always the same one. */
  get reached(): Promise<void> {
    this.promise ??= lastValueFrom(this.pipe(ignoreElements()), { defaultValue: undefined });
    return this.promise;
  }

  reach(outcome: Closed): void {
    this.next(outcome);
    this.complete();
  }
}

/** The server or the client that a connection belongs to. */
export interface ConnectionOwner<In, Out> {
  /** Whether it reports why its connections fail (S4). */
  readonly reports: boolean;
  /** The sending side is about to end: because of `error`, or in order. */
  finishing(connection: SocketConnection<In, Out>, error?: SocketError): void;
  /** Whether the values that are sent from now on go to another connection. */
  outlives(connection: SocketConnection<In, Out>): boolean;
  /** A handler has failed after its connection had. */
  failedAfter?(error: SocketError): void;
  /** The connection has closed; `closed` emits afterwards. */
  connectionClosed(connection: SocketConnection<In, Out>, outcome: Closed): void;
}

/**
 * The one implementation of Connection: a transport's socket, its two directions and its timers. `CloseState` decides how
 * it ends; `perform` does what that returns.
 */
export class SocketConnection<In, Out>
  implements Connection<In, Out>, ChannelHost, SocketEvents, OutboundOwner, Listed<SocketConnection<In, Out>>
{
  readonly id: number = ++lastId;
  readonly inbound: Inbound;
  readonly outbound: Outbound;
  earlier: SocketConnection<In, Out> | undefined;
  later: SocketConnection<In, Out> | undefined;

  readonly owner: ConnectionOwner<In, Out>;
  private readonly socket: TransportSocket;
  private readonly settings: ConnectionSettings<In, Out>;
  private readonly state: CloseState;
  private readonly opened: number = Date.now() - loaded;
  /** Made for the first timer that is needed: most connections need none. */
  private timers: Timeouts | undefined;
  private dataChannel: Channel<In, Out> | undefined;
  private bytesChannel: Channel<Buffer, Uint8Array | string> | undefined;
  private outcome: Closed | undefined;
  /** Made when somebody waits for the outcome. */
  private ending: Ending | undefined;
  /** While the connection changes to TLS. */
  private upgrade: TlsUpgrade | undefined;

  constructor(socket: TransportSocket, settings: ConnectionSettings<In, Out>, owner: ConnectionOwner<In, Out>) {
    this.owner = owner;
    this.socket = socket;
    this.settings = settings;
    this.state = new CloseState(settings);
    this.inbound = new Inbound(socket);
    this.outbound = new Outbound(settings, this);
  }

  get reports(): boolean {
    return this.owner.reports;
  }

  /** Whether it does not end in order. */
  get hasFailed(): boolean {
    return this.state.failure !== undefined;
  }

  get lane(): SendLane {
    return this.outbound.lane;
  }

  get carrier(): this {
    return this;
  }

  /** The channels of a connection end with it. */
  get reusable(): boolean {
    return false;
  }

  get continues(): boolean {
    return false;
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
    return {
      bytesRead: this.inbound.received,
      bytesWritten: this.outbound.written,
      opened: new Date(loaded + this.opened),
    };
  }

  get closed(): Observable<Closed> {
    if (this.outcome !== undefined) return of(this.outcome);
    this.ending ??= new Ending();
    return this.ending;
  }

  /** What only Node's sockets can set. */
  get controls(): SocketControls | undefined {
    return this.socket.controls;
  }

  /** Leaves it to a Node stream to end the sending side; gives whether that is to go on after the peer's FIN (I2). */
  handToStream(): boolean {
    this.state.keepSendingAfterPeer();
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

  /** Starts `claimTimeout`, unless the connection has a reader by the end of this turn. Most have one by now. */
  expectClaim(): void {
    if (!this.inbound.unread) return;
    this.defer(() => {
      this.perform(this.state.awaitReader(this.hasReader));
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

  /** Ends the sending side, and closes the connection as soon as nobody reads it (S6). */
  completeAndClose(): void {
    this.perform(this.state.completeAndClose(this.hasReader));
  }

  /**
   * Ends the receiving side after what was received, as if the peer had finished, and closes once the work in progress
   * is done; what is left after `limit` ms is aborted (S7). 0 means never.
   */
  drain(limit: number): void {
    this.perform(this.state.drain(limit));
  }

  /** As `drain`, without waiting: a paced send that is not finished is aborted, so that it does not look complete (S7). */
  closeNow(limit: number): void {
    this.drain(limit);
    const finish = (): void => {
      if (this.lane.pacedTasks === 0) void this.closeWithin(limit);
      else this.fail(new SocketError('ERR_TIMEOUT_CLOSE', 'the server was shut down before all was sent'));
    };
    this.defer(() => {
      // A generator whose input has just ended has returned when the event loop has gone round.
      if (this.lane.pacedTasks > 0) this.socket.scheduler.rest(finish);
      else finish();
    });
  }

  complete(): void {
    // The client's channel goes on to another connection, but what it has sent so far goes before the FIN.
    if (this.owner.outlives(this)) this.outbound.flush('haste');
    this.perform(this.state.complete());
  }

  destroy(reason?: unknown): void {
    if (this.state.isOver) return;
    const details = reason === undefined ? { address: this.remote } : { address: this.remote, cause: reason };
    const error = originate(new SocketError('ERR_CLOSED', 'the connection was destroyed', details), this);
    this.perform(this.state.destroy(error));
  }

  fail(error: SocketError): void {
    this.perform(this.state.fail(error));
  }

  /** Fails, and drops what was received and not emitted. */
  abort(error: SocketError): void {
    this.perform(this.state.failAtOnce(error));
  }

  failedBy(cause: unknown): void {
    // A handler that fails because its connection has failed is not to blame.
    if (this.owns(cause)) return;
    const error = handlerError(cause, this.remote);
    // The first failure stands in `closed`; the handler's own fault is not lost either.
    if (!this.hasFailed && !this.state.isOver) this.fail(error);
    else this.owner.failedAfter?.(error);
  }

  owns(error: unknown): boolean {
    return originOf(error) === this;
  }

  defer(work: () => void): void {
    this.socket.scheduler.defer(work);
  }

  observed(reader: Reader): void {
    this.timers?.claimed();
    this.timers?.ready();
    this.inbound.attach(reader);
  }

  unobserved(reader: Reader): void {
    this.inbound.detach(reader);
    this.readersChanged();
  }

  ready(): void {
    this.timers?.ready();
  }

  readerDrained(reader: Reader, end: 'fin' | SocketError): void {
    const { inbound, state } = this;
    const isCutOff = end === 'fin' ? !inbound.isStopped : state.isCutOff;
    if (isCutOff && inbound.queue.length > 0) {
      this.badFrame(new SocketError('ERR_FRAME_TRUNCATED', 'the stream has ended inside a frame'));
    } else inbound.endReader(reader, end);
  }

  readerEnding(): void {
    // The channels of a connection end with it: there is nothing to prepare.
  }

  readerEnded(): void {
    this.readersChanged();
  }

  /** Ends the receiving side; what was sent, and what is sent in reply to the error, is still flushed (D3). */
  badFrame(error: SocketError): void {
    this.perform(this.state.badFrame(error));
  }

  overflowed(error: SocketError): void {
    this.fail(error);
  }

  progressed(): void {
    this.timers?.written();
  }

  finishedSending(): void {
    this.perform(this.state.finSent(this.hasReader));
  }

  settled(): void {
    // A function that was busy may read again.
    this.timers?.ready();
    this.perform(this.state.workEnded());
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

  onEnd(cutOff?: StreamCutOff): void {
    if (this.upgrade !== undefined) {
      this.upgrade.peerFinished();
      return;
    }
    this.timers?.heardAll();
    // A stream that is discarded can't lack anything.
    if (cutOff === undefined || cutOff.mayBeComplete || this.inbound.discarding) {
      if (cutOff !== undefined) this.inbound.truncate();
      this.perform(this.state.peerFinished());
    } else this.perform(this.state.peerCutOff(cutOff.error));
    this.perform(this.state.peerEndDelivered(this.hasReader, this.owner.outlives(this)));
  }

  onDrain(): void {
    this.outbound.taken();
  }

  onClose(error: SocketError | undefined): void {
    this.timers?.stop();
    this.perform(this.state.socketClosed(error));
  }

  /** As `close`, forced after `limit` ms; 0 means never. The shortest limit holds. */
  private closeWithin(limit: number): Promise<void> {
    const ending = (this.ending ??= new Ending());
    if (this.outcome !== undefined) ending.reach(this.outcome);
    this.perform(this.state.close(limit));
    return ending.reached;
  }

  private readersChanged(): void {
    this.timers?.ready();
    this.perform(this.state.readersChanged(this.hasReader, this.owner.outlives(this)));
  }

  private get hasReader(): boolean {
    return !this.inbound.unread;
  }

  private perform(actions: readonly CloseAction[]): void {
    for (const action of actions) this.performOne(action);
  }

  private performOne(action: CloseAction): void {
    const { inbound, outbound, owner, socket, state } = this;
    switch (action.do) {
      case 'finishSending':
        owner.finishing(this);
        outbound.complete();
        return;
      case 'announceFailure':
        owner.finishing(this, originate(action.error, this));
        return;
      case 'reset':
        this.endSending(action.error);
        socket.reset();
        return;
      case 'release':
        this.endSending(action.error);
        if (socket.drop === undefined) socket.reset();
        else socket.drop();
        return;
      case 'finishInput':
        inbound.finish('fin');
        return;
      case 'stopInput':
        inbound.stop();
        return;
      case 'failInput':
        inbound.finish(originate(action.error, this));
        return;
      case 'abortInput':
        inbound.abort(action.error);
        return;
      case 'lingerInput':
        inbound.linger();
        return;
      case 'scheduleDrainCheck':
        socket.scheduler.rest(() => {
          this.perform(state.checkDrained(this.lane.tasks > 0, this.hasReader));
        });
        return;
      case 'startClaimTimer':
        this.timeouts.awaitClaim();
        return;
      case 'stopClaimTimer':
        this.timers?.claimed();
        return;
      case 'startCloseTimer':
        this.forceWithin(action.limit);
        return;
      case 'startHalfOpenTimer':
        this.timeouts.awaitEnd();
        return;
      case 'reportOutcome':
        this.reportOutcome();
    }
  }

  /** Drops everything unsent. */
  private endSending(failure: SocketError): void {
    const error = originate(failure, this);
    this.timers?.stop();
    this.owner.finishing(this, error);
    this.outbound.fail(error);
  }

  private reportOutcome(): void {
    const { inbound, outbound } = this;
    const { failure } = this.state;
    // After a bad frame the sending side has completed (D3); callers that wait for it still get the error.
    if (failure !== undefined) this.lane.end(outbound.written, failure.error);
    const reason = failure === undefined ? 'finished' : failure.kind === 'destroyed' ? 'destroyed' : 'failed';
    this.outcome = new Outcome(this, reason, failure?.error, inbound.received, outbound.written);
    this.owner.connectionClosed(this, this.outcome);
    this.ending?.reach(this.outcome);
  }

  private get timeouts(): Timeouts {
    this.timers ??= new Timeouts(this.settings, this);
    return this.timers;
  }

  /** The time begins once the running code has ended: what is sent, the FIN too, leaves no earlier (C23). */
  private forceWithin(limit: number): void {
    this.defer(() => {
      if (!this.state.isOver) this.timeouts.forceWithin(limit);
    });
  }
}
