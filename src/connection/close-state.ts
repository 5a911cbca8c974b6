import { SocketError } from '../errors/socket-error.js';
import type { ConnectionSettings } from './connection-settings.js';

/**
 * The stages of a connection, up to its end:
 * - `open`: no close, shutdown or failure has begun. One side, or both, may already have finished.
 * - `draining`: a shutdown or a bad frame has ended the receiving side. The connection closes when it has no reader and
 *   no work in progress (a handler or a paced send).
 * - `closing`: the FIN has been sent or is queued. Until the peer's FIN arrives, input that no reader takes is
 *   discarded.
 * - `aborted`: this side has reset or released the socket, but the socket has not called `onClose` yet.
 * - `closed`: the socket is closed, and the outcome is final.
 */
type Phase = 'open' | 'draining' | 'closing' | 'aborted' | 'closed';

/**
 * The reason why a connection fails. `cutOff` means that the peer's stream stopped without the end that TLS requires.
 * If the last frame is incomplete, that frame's error replaces the cut-off (T5).
 */
export interface Failure {
  readonly kind: 'destroyed' | 'failed' | 'cutOff';
  readonly error: SocketError;
}

export type CloseAction =
  /** Send the FIN, after everything that is already queued. */
  | { readonly do: 'finishSending' }
  /** Report the failure to the owner while the connection can still send. */
  | { readonly do: 'announceFailure'; readonly error: SocketError }
  /** Drop everything unsent, and reset the socket. */
  | { readonly do: 'reset'; readonly error: SocketError }
  /** Close the socket without a reset, so that the kernel still sends everything that it has, including the FIN. */
  | { readonly do: 'release'; readonly error: SocketError }
  /** The peer has finished: complete the readers when they have got everything that was received. */
  | { readonly do: 'finishInput' }
  /** Complete the readers when they have got everything received so far. Discard what the peer sends from now on. */
  | { readonly do: 'stopInput' }
  /** Fail the readers when they have got everything that was received. */
  | { readonly do: 'failInput'; readonly error: SocketError }
  /** Fail the readers at once, and drop everything received. */
  | { readonly do: 'abortInput'; readonly error: SocketError }
  /** Read until the peer's FIN, and discard all input that no reader takes. */
  | { readonly do: 'lingerInput' }
  /**
   * Call `checkDrained` after the event loop has handled other events. Until then, a reader that was notified of the
   * end can still reply.
   */
  | { readonly do: 'scheduleDrainCheck' }
  | { readonly do: 'startClaimTimer' | 'stopClaimTimer' | 'startHalfOpenTimer' }
  /** Force the connection to close after `limit` ms; 0 means no limit. */
  | { readonly do: 'startCloseTimer'; readonly limit: number }
  | { readonly do: 'reportOutcome' };

type Actions = readonly CloseAction[];

/** Returned for every input that needs no action, so that such an input allocates no array. */
const nothing: Actions = [];

/**
 * Decides how one connection ends. `CloseState` has no socket and no timers. Each input changes the state, and returns
 * the actions that the connection has to perform, in order.
 *
 * Each line of the table is a transition. The first line that matches the input and the phase, and whose condition is
 * true, applies. If no line applies, nothing happens. `test/connection/close-state-table.test.ts` compares the table
 * with the code.
 *
 * ```text
 * input                 phase           condition                     actions → next phase
 *
 * complete              open, draining                                finishSending
 * completeAndClose      not over        no reader                     as close
 *                       open, draining                                finishSending
 * close                 open, draining                                finishSending, stopClaimTimer, lingerInput,
 *                                                                     startCloseTimer → closing
 *                       closing                                       startCloseTimer
 * drain                 open, draining                                stopClaimTimer, startCloseTimer, stopInput,
 *                                                                     scheduleDrainCheck → draining
 *                       closing                                       startCloseTimer
 * readersChanged        not over        no reader, completeAndClose   as close
 *                                       was called
 *                       draining                                      scheduleDrainCheck
 *                       open            both sides have finished      nothing
 *                       open            the end is due, no reader     finishSending, startClaimTimer
 *                       open            the end is due                finishSending
 *                       open            no reader                     startClaimTimer
 * awaitReader           open            both sides have finished      nothing
 *                       open            no reader                     startClaimTimer
 * workEnded             draining                                      scheduleDrainCheck
 * checkDrained          draining        no work, no reader            finishSending, stopClaimTimer, lingerInput
 *                                                                     → closing
 * finSent               open            the peer has finished         nothing
 *                       open            no reader                     startClaimTimer
 * keepSendingAfterPeer  any                                           nothing
 * peerFinished          not over                                      finishInput
 * peerCutOff            not over                                      failInput
 * peerEndDelivered      not over        the cut-off stands            as fail
 *                       not over        the FIN was sent              nothing
 *                       open            the end is due                finishSending, startHalfOpenTimer
 *                       not over        the peer has finished         startHalfOpenTimer
 * badFrame              open, draining  the first failure             stopClaimTimer, startCloseTimer, announceFailure,
 *                                                                     abortInput, lingerInput, scheduleDrainCheck
 *                                                                     → draining
 *                       open, draining                                abortInput, lingerInput, scheduleDrainCheck
 *                                                                     → draining
 *                       closing         the first failure             stopClaimTimer, startCloseTimer, announceFailure,
 *                                                                     abortInput, lingerInput
 *                       any                                           abortInput, lingerInput
 * destroy               not over                                      reset, abortInput → aborted
 * fail                  not over        closeTimeout after the FIN    release, failInput → aborted
 *                       not over                                      reset, failInput → aborted
 * failAtOnce            not over                                      reset, abortInput → aborted
 * socketClosed          aborted                                       reportOutcome → closed
 *                       not over        no error, both sides have     reportOutcome → closed
 *                                       finished
 *                       not over                                      reset, failInput, reportOutcome → closed
 * ```
 *
 * - *not over*: `open`, `draining` or `closing`.
 * - `finishSending` is returned at most once. Later inputs leave it out, although the table lists it.
 * - *the end is due*: the peer has finished, `halfOpen` is off, and `keepSendingAfterPeer` was not called. In addition,
 *   there is no reader, or another connection follows this one.
 * - *the cut-off stands*: the peer's stream was cut off, and no other failure came first or has replaced the cut-off.
 * - *the first failure*: the connection has not failed before. A cut-off does not count as a failure until the readers
 *   have been notified of it.
 * - The first failure is final, and is the `error` that the actions carry (C12). There are two exceptions: a bad frame
 *   replaces a cut-off, and a reset that the transport reports replaces `destroyed`. For the inputs `destroy` and
 *   `badFrame`, `abortInput` always carries the error that was passed with the input.
 * - `startCloseTimer` carries the limit given to `close` or `drain`, otherwise `closeTimeout`.
 */
export class CloseState {
  private phase: Phase = 'open';
  private receiving: 'open' | 'finished' = 'open';
  private sending: 'open' | 'finishing' | 'finished' = 'open';
  private reason: Failure | undefined;
  /**
   * Whether the sending side ends after the peer's FIN. False with `halfOpen`, and after a call of
   * `keepSendingAfterPeer`.
   */
  private endsWithPeer: boolean;
  private closesWithoutReader = false;
  private readonly closeTimeout: number;

  constructor({ halfOpen, closeTimeout }: Pick<ConnectionSettings<any, any>, 'halfOpen' | 'closeTimeout'>) {
    this.endsWithPeer = !halfOpen;
    this.closeTimeout = closeTimeout;
  }

  get failure(): Failure | undefined {
    return this.reason;
  }

  /** Whether the connection can no longer be used. */
  get isOver(): boolean {
    return this.phase === 'aborted' || this.phase === 'closed';
  }

  get isCutOff(): boolean {
    return this.reason?.kind === 'cutOff' && !this.isOver;
  }

  /** Keeps the sending side open after the peer's FIN, even without `halfOpen` (I2). */
  keepSendingAfterPeer(): void {
    this.endsWithPeer = false;
  }

  complete(): Actions {
    return this.isOver ? nothing : this.finishSending();
  }

  /**
   * Ends the sending side, and closes the connection as soon as it has no reader (S6). Call when a handler has ended.
   */
  completeAndClose(hasReader: boolean): Actions {
    this.closesWithoutReader = true;
    return hasReader ? this.complete() : this.close();
  }

  /**
   * Closes gracefully (C11).
   *
   * @param limit - the time until the close is forced, in ms; 0 means no limit. A later call can shorten the
   * remaining time
   */
  close(limit: number = this.closeTimeout): Actions {
    switch (this.phase) {
      case 'open':
      case 'draining':
        this.phase = 'closing';
        return [
          ...this.finishSending(),
          { do: 'stopClaimTimer' },
          { do: 'lingerInput' },
          { do: 'startCloseTimer', limit },
        ];
      case 'closing':
        return [{ do: 'startCloseTimer', limit }];
      case 'aborted':
      case 'closed':
        return nothing;
    }
  }

  /**
   * Shuts down (S7). The readers get everything received. The connection closes when it has no reader, and no handler
   * or paced send is in progress.
   *
   * @param limit - the time until the connection is aborted, in ms; 0 means no limit
   */
  drain(limit: number): Actions {
    switch (this.phase) {
      case 'open':
      case 'draining':
        this.phase = 'draining';
        return [
          { do: 'stopClaimTimer' },
          { do: 'startCloseTimer', limit },
          { do: 'stopInput' },
          { do: 'scheduleDrainCheck' },
        ];
      case 'closing':
        return [{ do: 'startCloseTimer', limit }];
      case 'aborted':
      case 'closed':
        return nothing;
    }
  }

  /**
   * Call when a reader has left, or has been notified of the end. Without `halfOpen`, the sending side ends once the
   * peer has finished and no reader is left (C16).
   *
   * @param hasSuccessor - whether another connection follows this one. Readers must not delay that connection, so the
   * sending side ends even if there are readers (K4)
   */
  readersChanged(hasReader: boolean, hasSuccessor: boolean): Actions {
    if (this.closesWithoutReader && !hasReader) return this.close();
    switch (this.phase) {
      case 'open': {
        const finish = this.isEndDue(hasReader, hasSuccessor) ? this.finishSending() : nothing;
        const claim = this.awaitReader(hasReader);
        return finish.length === 0 ? claim : [...finish, ...claim];
      }
      case 'draining':
        return [{ do: 'scheduleDrainCheck' }];
      case 'closing':
      case 'aborted':
      case 'closed':
        return nothing;
    }
  }

  /**
   * Starts `claimTimeout` if there is no reader, because the program may never subscribe (C22). A connection that is
   * already closing needs no such limit.
   */
  awaitReader(hasReader: boolean): Actions {
    return hasReader || this.phase !== 'open' || this.haveBothFinished ? nothing : [{ do: 'startClaimTimer' }];
  }

  /** Call when the last paced send or handler has ended. */
  workEnded(): Actions {
    return this.phase === 'draining' ? [{ do: 'scheduleDrainCheck' }] : nothing;
  }

  /**
   * Begins to close a draining connection if it has no reader, and no handler or paced send is in progress. The action
   * `scheduleDrainCheck` asks for this call.
   */
  checkDrained(isBusy: boolean, hasReader: boolean): Actions {
    if (this.phase !== 'draining' || isBusy || hasReader) return nothing;
    this.phase = 'closing';
    return [...this.finishSending(), { do: 'stopClaimTimer' }, { do: 'lingerInput' }];
  }

  /** Call when the FIN has been passed to the socket. */
  finSent(hasReader: boolean): Actions {
    this.sending = 'finished';
    return this.awaitReader(hasReader);
  }

  peerFinished(): Actions {
    if (this.isOver) return nothing;
    this.receiving = 'finished';
    return [{ do: 'finishInput' }];
  }

  /** Call when the peer's stream has stopped without the end that TLS requires. */
  peerCutOff(error: SocketError): Actions {
    if (this.isOver) return nothing;
    this.reason ??= { kind: 'cutOff', error };
    return [{ do: 'failInput', error: this.reason.error }];
  }

  /** Call after `peerFinished` or `peerCutOff`, when each reader without unread data has been notified of the end. */
  peerEndDelivered(hasReader: boolean, hasSuccessor: boolean): Actions {
    if (this.isOver) return nothing;
    if (this.reason?.kind === 'cutOff') return this.fail(this.reason.error);
    if (this.receiving !== 'finished' || this.sending === 'finished') return nothing;
    const isDue = this.phase === 'open' && this.isEndDue(hasReader, hasSuccessor);
    return [...(isDue ? this.finishSending() : nothing), { do: 'startHalfOpenTimer' }];
  }

  /** Call when the received bytes cannot be decoded. A reply that is sent afterwards is still flushed (D3). */
  badFrame(error: SocketError): Actions {
    const reject: Actions = [{ do: 'abortInput', error }, { do: 'lingerInput' }];
    if (this.isOver) return reject;
    const announce = this.announceFirst(error);
    if (this.phase === 'closing') return [...announce, ...reject];
    this.phase = 'draining';
    return [...announce, ...reject, { do: 'scheduleDrainCheck' }];
  }

  destroy(error: SocketError): Actions {
    const failure = this.abort('destroyed', error);
    return failure === undefined
      ? nothing
      : [
          { do: 'reset', error: failure.error },
          { do: 'abortInput', error },
        ];
  }

  /**
   * Call when the connection has failed. If `closeTimeout` expires after the FIN was sent, the socket is not reset, so
   * that a slow peer still gets everything that was sent (C11).
   */
  fail(error: SocketError): Actions {
    const failure = this.abort('failed', error);
    if (failure === undefined) return nothing;
    const isSlowPeer = this.sending === 'finished' && error.code === 'ERR_TIMEOUT_CLOSE';
    return [
      { do: isSlowPeer ? 'release' : 'reset', error: failure.error },
      { do: 'failInput', error: failure.error },
    ];
  }

  /** Like `fail`, but drops everything that was received but not yet emitted (T10). */
  failAtOnce(error: SocketError): Actions {
    const failure = this.abort('failed', error);
    if (failure === undefined) return nothing;
    return [
      { do: 'reset', error: failure.error },
      { do: 'abortInput', error: failure.error },
    ];
  }

  socketClosed(error: SocketError | undefined): Actions {
    const { phase } = this;
    this.phase = 'closed';
    switch (phase) {
      case 'closed':
        return nothing;
      case 'aborted':
        // The peer reset the connection before this side did.
        if (error !== undefined && this.reason?.kind === 'destroyed') this.reason = { kind: 'failed', error };
        return [{ do: 'reportOutcome' }];
      case 'open':
      case 'draining':
      case 'closing':
        if (error === undefined && this.haveBothFinished) return [{ do: 'reportOutcome' }];
        this.reason ??= { kind: 'failed', error: error ?? closedEarly() };
        return [
          { do: 'reset', error: this.reason.error },
          { do: 'failInput', error: this.reason.error },
          { do: 'reportOutcome' },
        ];
    }
  }

  private get haveBothFinished(): boolean {
    return this.sending === 'finished' && this.receiving === 'finished';
  }

  private isEndDue(hasReader: boolean, hasSuccessor: boolean): boolean {
    return this.endsWithPeer && this.receiving === 'finished' && (!hasReader || hasSuccessor);
  }

  private finishSending(): Actions {
    if (this.sending !== 'open') return nothing;
    this.sending = 'finishing';
    return [{ do: 'finishSending' }];
  }

  /** Makes `error` the failure and announces it, unless the connection has already failed. */
  private announceFirst(error: SocketError): Actions {
    if (this.reason !== undefined && this.reason.kind !== 'cutOff') return nothing;
    this.reason = { kind: 'failed', error };
    return [
      { do: 'stopClaimTimer' },
      { do: 'startCloseTimer', limit: this.closeTimeout },
      { do: 'announceFailure', error },
    ];
  }

  /** Aborts the connection and returns its first failure, or returns `undefined` if it was already over. */
  private abort(kind: 'destroyed' | 'failed', error: SocketError): Failure | undefined {
    if (this.isOver) return undefined;
    this.phase = 'aborted';
    this.reason ??= { kind, error };
    return this.reason;
  }
}

function closedEarly(): SocketError {
  return new SocketError('ECONNABORTED', 'the socket was closed before both sides had ended');
}
