import type { Observable } from 'rxjs';
import type { Address } from '../address/address.js';
import { bytes } from '../codecs/raw-bytes.js';
import { Channel } from '../channel/channel.js';
import type { ChannelHost } from '../channel/channel-host.js';
import { type CloseAction, CloseState } from './close-state.js';
import type { Closed, Connection, ConnectionStats } from './connection.js';
import { ConnectionEnd, Outcome } from './connection-end.js';
import type { Listed } from './connection-list.js';
import type { ConnectionOwner } from './connection-owner.js';
import type { ConnectionSettings } from './connection-settings.js';
import { SocketError } from '../errors/socket-error.js';
import { handlerError } from '../errors/handler-error.js';
import { noteOrigin, originOf } from '../errors/error-origin.js';
import { Inbound, type Reader } from '../io/inbound.js';
import { Outbound, type OutboundOwner } from '../io/outbound.js';
import type { SendLane } from '../io/send-lane.js';
import { Timeouts } from './timeouts.js';
import { TlsUpgrade } from './tls-upgrade.js';
import type { StartTlsOptions, TlsInfo } from '../transport/tls.js';
import type { BorrowingSocketEvents, SocketControls, StreamCutOff, TransportSocket } from '../transport/transport.js';

let lastId = 0;

/**
 * `opened` counts the milliseconds from this time. So the value of `opened` is small enough for V8 to store it in the
 * field itself.
 */
const loaded = Date.now();

/**
 * The only implementation of Connection. `CloseState` decides how the connection ends, and `perform` carries out these
 * decisions.
 */
export class SocketConnection<In, Out>
  implements Connection<In, Out>, ChannelHost, OutboundOwner, BorrowingSocketEvents, Listed<SocketConnection<In, Out>>
{
  readonly id: number = ++lastId;
  readonly inbound: Inbound;
  readonly outbound: Outbound;
  readonly owner: ConnectionOwner<SocketConnection<In, Out>>;

  private readonly socket: TransportSocket;
  private readonly settings: ConnectionSettings<In, Out>;
  private readonly state: CloseState;
  private readonly end: ConnectionEnd = new ConnectionEnd();
  private readonly opened: number = Date.now() - loaded;
  /** Created with the first timer. Most connections need no timer. */
  private timers: Timeouts | undefined;
  private dataChannel: Channel<In, Out> | undefined;
  private bytesChannel: Channel<Buffer, Uint8Array | string> | undefined;
  private upgrade: TlsUpgrade | undefined;

  constructor(
    socket: TransportSocket,
    settings: ConnectionSettings<In, Out>,
    owner: ConnectionOwner<SocketConnection<In, Out>>,
  ) {
    this.owner = owner;
    this.socket = socket;
    this.settings = settings;
    this.state = new CloseState(settings);
    this.inbound = new Inbound(socket);
    this.outbound = new Outbound(settings, this);
  }

  // Connection: used by the program.

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
    return this.end.closed;
  }

  startTls(options: StartTlsOptions): Promise<TlsInfo> {
    try {
      this.upgrade = TlsUpgrade.prepare(this, this.socket, options, this.settings.handshakeTimeout);
      return this.upgrade.run(() => {
        this.upgrade = undefined;
        this.timers?.restartIdleTimers();
      });
    } catch (error) {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- it is a SocketError
      return Promise.reject(error);
    }
  }

  close(): Promise<void> {
    this.perform(this.state.close());
    return this.end.reached;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  destroy(reason?: unknown): void {
    if (this.state.isOver) return;
    const details = reason === undefined ? { address: this.remote } : { address: this.remote, cause: reason };
    const error = noteOrigin(new SocketError('ERR_CLOSED', 'the connection was destroyed', details), this);
    this.perform(this.state.destroy(error));
  }

  // Used by the connection's server or client, and by the adapters in `interop`.

  /** The neighbours of this connection in its server's list of connections. */
  earlier: SocketConnection<In, Out> | undefined;
  later: SocketConnection<In, Out> | undefined;

  /** Whether the connection has failed or was destroyed. */
  get hasFailed(): boolean {
    return this.state.failure !== undefined;
  }

  get controls(): SocketControls | undefined {
    return this.socket.controls;
  }

  open(): this {
    this.socket.open(this);
    this.outbound.attach(this.socket);
    if (this.settings.idleTimeout + this.settings.receiveTimeout > 0) this.makeTimers().startIdleTimers();
    return this;
  }

  /** Starts `claimTimeout` at the end of this turn, unless the connection has a reader by then. */
  expectClaim(): void {
    if (this.hasReader) return;
    this.defer(() => {
      this.perform(this.state.awaitReader(this.hasReader));
    });
  }

  get endsNodeStreamsAfterPeer(): boolean {
    return this.settings.endsNodeStreamsAfterPeer;
  }

  /**
   * After this call, the peer's FIN no longer ends the sending side. The stream of `toNodeStream` decides when the
   * sending side ends.
   */
  keepSendingAfterPeer(): void {
    this.state.keepSendingAfterPeer();
  }

  completeAndClose(): void {
    this.perform(this.state.completeAndClose(this.hasReader));
  }

  /**
   * Shuts down (S7). The readers get everything received. The connection closes when it has no reader, and no handler
   * or paced send is in progress.
   *
   * @param limit - the time until the connection is aborted, in ms; 0 means no limit
   */
  drain(limit: number): void {
    this.perform(this.state.drain(limit));
  }

  /**
   * Like `drain`, but closes at once. If a paced send is unfinished, the connection is aborted, so that the part that
   * was sent does not look complete (S7).
   */
  closeNow(limit: number): void {
    this.drain(limit);
    const finish = (): void => {
      if (this.lane.pacedTasks === 0) this.perform(this.state.close(limit));
      else this.fail(new SocketError('ERR_TIMEOUT_CLOSE', 'the server was shut down before all was sent'));
    };
    this.defer(() => {
      // The input of the paced sends has just ended. A generator that reads this input returns within a few microtasks,
      // so check again after other events.
      if (this.lane.pacedTasks > 0) this.socket.scheduler.afterOtherEvents(finish);
      else finish();
    });
  }

  // ChannelHost: used by the connection's channels.

  get lane(): SendLane {
    return this.outbound.lane;
  }

  get carrier(): this {
    return this;
  }

  /** False, because the channels end with their connection. */
  get reusable(): boolean {
    return false;
  }

  get continues(): boolean {
    return false;
  }

  get hasIncidents(): boolean {
    return this.owner.hasIncidents;
  }

  observed(reader: Reader): void {
    this.timers?.stopClaimTimer();
    this.timers?.restartIdleTimers();
    this.inbound.attach(reader);
  }

  unobserved(reader: Reader): void {
    this.inbound.detach(reader);
    this.readersChanged();
  }

  ready(): void {
    this.timers?.restartIdleTimers();
  }

  readerDrained(reader: Reader, end: 'fin' | SocketError): void {
    const { inbound, state } = this;
    // If bytes remain, the last frame is incomplete. An incomplete frame is an error, unless this side has stopped the
    // input, or an error other than a cut-off has ended the stream.
    const needsCompleteFrame = end === 'fin' ? !inbound.isStopped : state.isCutOff;
    if (needsCompleteFrame && inbound.queue.length > 0) {
      this.badFrame(new SocketError('ERR_FRAME_TRUNCATED', 'the stream has ended inside a frame'));
    } else inbound.endReader(reader, end);
  }

  readerEnding(): void {
    // Nothing to do: the channels end with their connection.
  }

  readerEnded(): void {
    this.readersChanged();
  }

  badFrame(error: SocketError): void {
    this.perform(this.state.badFrame(error));
  }

  failedBy(cause: unknown): void {
    // If the handler only passes on its connection's own error, there is nothing to report.
    if (this.owns(cause)) return;
    const error = handlerError(cause, this.remote);
    // `closed` reports only the first failure, so the owner has to report a later failure.
    if (!this.hasFailed && !this.state.isOver) this.fail(error);
    else this.owner.failedAfter?.(error);
  }

  owns(error: unknown): boolean {
    return originOf(error) === this;
  }

  complete(): void {
    // Values that the program has already sent on the client's channel have to go out before the FIN, so flush them
    // now. Values that the program sends later go to the next connection.
    if (this.owner.outlives(this)) this.outbound.flush('haste');
    this.perform(this.state.complete());
  }

  defer(work: () => void): void {
    this.socket.scheduler.defer(work);
  }

  // OutboundOwner: used by the sending side.

  sendFailed(error: SocketError): void {
    this.fail(error);
  }

  progressed(): void {
    this.timers?.written();
  }

  finishedSending(): void {
    this.perform(this.state.finSent(this.hasReader));
  }

  workEnded(): void {
    // The time during which a handler was working does not count as idle.
    this.timers?.restartIdleTimers();
    this.perform(this.state.workEnded());
  }

  // BorrowingSocketEvents: used by the socket.

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
    this.timers?.restartIdleTimers();
    this.inbound.data(chunk);
  }

  onEnd(cutOff?: StreamCutOff): void {
    if (this.upgrade !== undefined) {
      this.upgrade.peerFinished();
      return;
    }
    this.timers?.stopReceiveTimer();
    // If the input is discarded anyway, a cut-off does no harm.
    if (cutOff === undefined || cutOff.mayBeComplete || this.inbound.discarding) {
      if (cutOff !== undefined) this.inbound.allowCutOff();
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

  // Used by the connection's timers and by TlsUpgrade.

  get isUpgrading(): boolean {
    return this.upgrade !== undefined;
  }

  fail(error: SocketError): void {
    this.perform(this.state.fail(error));
  }

  failAtOnce(error: SocketError): void {
    this.perform(this.state.failAtOnce(error));
  }

  private get hasReader(): boolean {
    return this.inbound.hasReader;
  }

  private makeTimers(): Timeouts {
    this.timers ??= new Timeouts(this.settings, this);
    return this.timers;
  }

  private readersChanged(): void {
    this.timers?.restartIdleTimers();
    this.perform(this.state.readersChanged(this.hasReader, this.owner.outlives(this)));
  }

  // CloseState decides; these methods perform its actions.

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
        owner.finishing(this, noteOrigin(action.error, this));
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
        inbound.finish(noteOrigin(action.error, this));
        return;
      case 'abortInput':
        inbound.abort(action.error);
        return;
      case 'lingerInput':
        inbound.linger();
        return;
      case 'scheduleDrainCheck':
        socket.scheduler.afterOtherEvents(() => {
          this.perform(state.checkDrained(this.lane.tasks > 0, this.hasReader));
        });
        return;
      case 'startClaimTimer':
        this.makeTimers().startClaimTimer();
        return;
      case 'stopClaimTimer':
        this.timers?.stopClaimTimer();
        return;
      case 'startCloseTimer':
        this.startCloseTimer(action.limit);
        return;
      case 'startHalfOpenTimer':
        this.makeTimers().startHalfOpenTimer();
        return;
      case 'reportOutcome':
        this.reportOutcome();
    }
  }

  private endSending(failure: SocketError): void {
    const error = noteOrigin(failure, this);
    this.timers?.stop();
    this.owner.finishing(this, error);
    this.outbound.fail(error);
  }

  /** Starts the timer when the running code has returned, because the FIN is sent only then (C23). */
  private startCloseTimer(limit: number): void {
    this.defer(() => {
      if (!this.state.isOver) this.makeTimers().startCloseTimer(limit);
    });
  }

  private reportOutcome(): void {
    const { end, inbound, outbound } = this;
    const { failure } = this.state;
    // After a bad frame, the sending side has ended without an error (D3). Senders that still wait get the error now.
    if (failure !== undefined) this.lane.end(outbound.written, failure.error);
    const reason = failure === undefined ? 'finished' : failure.kind === 'destroyed' ? 'destroyed' : 'failed';
    const outcome = new Outcome(this, reason, failure?.error, inbound.received, outbound.written);
    end.reach(outcome);
    this.owner.connectionClosed(this, outcome);
    end.emit();
  }
}
