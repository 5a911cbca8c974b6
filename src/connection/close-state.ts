import { SocketError } from '../errors/socket-error.js';
import type { ConnectionSettings } from './connection-settings.js';

/**
 * How far a connection has come towards its end:
 * - `open`: both sides can be used.
 * - `draining`: a shutdown or a bad frame has ended the receiving side. The connection closes when no work is in progress
 *   and it has no reader.
 * - `closing`: the FIN follows the last byte that was sent. Until the peer's FIN arrives, input without a reader is
 *   discarded.
 * - `aborted`: this side has reset the socket, or given it up. The socket has not emitted `close` yet.
 * - `closed`: the socket is closed, and the outcome is final.
 */
type Phase = 'open' | 'draining' | 'closing' | 'aborted' | 'closed';

/**
 * Why a connection fails. After `cutOff` (the peer's stream stopped without an end) the last frame may turn out to be
 * incomplete. That is the better reason, and replaces it (T5).
 */
export interface Failure {
  readonly kind: 'destroyed' | 'failed' | 'cutOff';
  readonly error: SocketError;
}

/** A step that the connection has to perform. */
export type CloseAction =
  /** Send the FIN after everything that was sent before. */
  | { readonly do: 'finishSending' }
  /** Report the failure to the owner while the connection can still send. */
  | { readonly do: 'announceFailure'; readonly error: SocketError }
  /** Drop everything unsent, and reset the socket. */
  | { readonly do: 'reset'; readonly error: SocketError }
  /** Let go of the socket. The kernel still sends everything that it has, the FIN included. */
  | { readonly do: 'release'; readonly error: SocketError }
  /** The peer has finished: complete the readers after everything received. */
  | { readonly do: 'finishInput' }
  /** Complete the readers after everything received, and discard what the peer sends from now on. */
  | { readonly do: 'stopInput' }
  /** Fail the readers after everything received. */
  | { readonly do: 'failInput'; readonly error: SocketError }
  /** Fail the readers at once, and drop everything received. */
  | { readonly do: 'abortInput'; readonly error: SocketError }
  /** Read until the peer's FIN, and discard all input that no reader takes. */
  | { readonly do: 'lingerInput' }
  /** Call `checkDrained` after the event loop has handled other events: a reader may answer the end from a promise. */
  | { readonly do: 'scheduleDrainCheck' }
  | { readonly do: 'startClaimTimer' | 'stopClaimTimer' | 'startHalfOpenTimer' }
  /** Force the connection to close after `limit` ms; 0 means no limit. */
  | { readonly do: 'startCloseTimer'; readonly limit: number }
  /** Emit the outcome. */
  | { readonly do: 'reportOutcome' };

type Actions = readonly CloseAction[];

/** One array for all inputs without actions. */
const nothing: Actions = [];

/**
 * Decides how one connection ends. It has no socket and no timers: each input changes the state and returns the actions
 * that the connection performs, in this order.
 *
 * Each line of the table is a transition. The first line that matches the input, the phase and the condition applies. If
 * none does, nothing happens. `test/connection/close-state-table.test.ts` compares the table with the code.
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
 * - `finishSending` is returned at most once. The table does not repeat that later inputs leave it out.
 * - *the end is due*: the peer has finished, this side ends with it (no `halfOpen`, and `keepSendingAfterPeer` was not
 *   called), and there is no reader or another connection follows this one.
 * - *the first failure*: nothing else has failed. A cut-off that was not delivered yet does not count.
 * - The first failure stands, and is the `error` of the actions (C12). There are two exceptions: a bad frame replaces a
 *   cut-off, and a reset that the transport reports replaces `destroyed`. The `abortInput` of `destroy` and of `badFrame`
 *   carries the error of that input in any case.
 * - `startCloseTimer` carries the limit given to `close` or `drain`; otherwise it is `closeTimeout`.
 */
export class CloseState {
  private phase: Phase = 'open';
  private receiving: 'open' | 'finished' = 'open';
  private sending: 'open' | 'finishing' | 'finished' = 'open';
  private reason: Failure | undefined;
  /** Whether the sending side ends after the peer's: not with `halfOpen`. */
  private endsWithPeer: boolean;
  /** Whether the connection closes as soon as it has no reader. */
  private closesWithoutReader = false;
  private readonly closeTimeout: number;

  constructor({ halfOpen, closeTimeout }: Pick<ConnectionSettings<any, any>, 'halfOpen' | 'closeTimeout'>) {
    this.endsWithPeer = !halfOpen;
    this.closeTimeout = closeTimeout;
  }

  /** Why the connection fails; undefined while nothing has gone wrong. */
  get failure(): Failure | undefined {
    return this.reason;
  }

  /** Whether the connection can no longer be used at all. */
  get isOver(): boolean {
    return this.phase === 'aborted' || this.phase === 'closed';
  }

  /** Whether the peer's stream was cut off, and an incomplete frame would be the better reason to give. */
  get isCutOff(): boolean {
    return this.reason?.kind === 'cutOff' && !this.isOver;
  }

  /** The sending side stays open after the peer's FIN, even without `halfOpen` (I2). */
  keepSendingAfterPeer(): void {
    this.endsWithPeer = false;
  }

  /** The user completes the sending side. */
  complete(): Actions {
    return this.isOver ? nothing : this.finishSending();
  }

  /** A handler has ended: end the sending side, and close the connection as soon as it has no reader (S6). */
  completeAndClose(hasReader: boolean): Actions {
    this.closesWithoutReader = true;
    return hasReader ? this.complete() : this.close();
  }

  /**
   * Closes gracefully (C11).
   *
   * @param limit - a later call may bring a shorter one; in ms, 0 means no limit
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
   * Shuts down: the readers get everything received, and the connection closes when the work in progress has ended (S7).
   *
   * @param limit - in ms; 0 means no limit
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
   * A reader has left, or has received the end. Without `halfOpen` the sending side ends after the peer's, once
   * everything received has been emitted, or if there is no reader (C16).
   *
   * @param hasSuccessor - whether another connection follows this one: no reader may delay it (K4)
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
   * Starts `claimTimeout` if there is no reader, because none may ever come (C22). A connection that is ending has other
   * limits, and one whose sides have both finished is about to close.
   */
  awaitReader(hasReader: boolean): Actions {
    return hasReader || this.phase !== 'open' || this.haveBothFinished ? nothing : [{ do: 'startClaimTimer' }];
  }

  /** The last paced send or handler has ended. */
  workEnded(): Actions {
    return this.phase === 'draining' ? [{ do: 'scheduleDrainCheck' }] : nothing;
  }

  /** Ends a drain if no work is in progress and there is no reader. It is called as `scheduleDrainCheck` asks for. */
  checkDrained(isBusy: boolean, hasReader: boolean): Actions {
    if (this.phase !== 'draining' || isBusy || hasReader) return nothing;
    this.phase = 'closing';
    return [...this.finishSending(), { do: 'stopClaimTimer' }, { do: 'lingerInput' }];
  }

  /** The socket has been given the FIN. */
  finSent(hasReader: boolean): Actions {
    this.sending = 'finished';
    return this.awaitReader(hasReader);
  }

  /** The peer's FIN has arrived. */
  peerFinished(): Actions {
    if (this.isOver) return nothing;
    this.receiving = 'finished';
    return [{ do: 'finishInput' }];
  }

  /** The peer's stream has stopped without the end that TLS requires. */
  peerCutOff(error: SocketError): Actions {
    if (this.isOver) return nothing;
    this.reason ??= { kind: 'cutOff', error };
    return [{ do: 'failInput', error: this.reason.error }];
  }

  /** Follows `peerFinished` and `peerCutOff`, once the readers that are ready for it have received that end. */
  peerEndDelivered(hasReader: boolean, hasSuccessor: boolean): Actions {
    if (this.isOver) return nothing;
    if (this.reason?.kind === 'cutOff') return this.fail(this.reason.error);
    if (this.receiving !== 'finished' || this.sending === 'finished') return nothing;
    const isDue = this.phase === 'open' && this.isEndDue(hasReader, hasSuccessor);
    return [...(isDue ? this.finishSending() : nothing), { do: 'startHalfOpenTimer' }];
  }

  /** The received bytes can't be decoded. What is sent in reply is still flushed (D3). */
  badFrame(error: SocketError): Actions {
    const reject: Actions = [{ do: 'abortInput', error }, { do: 'lingerInput' }];
    if (this.isOver) return reject;
    const announce = this.announceFirst(error);
    if (this.phase === 'closing') return [...announce, ...reject];
    this.phase = 'draining';
    return [...announce, ...reject, { do: 'scheduleDrainCheck' }];
  }

  /** The user aborts the connection. */
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
   * The connection has failed, or a limit was exceeded. If the FIN is already on its way when `closeTimeout` has passed, a
   * peer that reads slowly still gets everything that was sent (C11).
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

  /** Like `fail`, but everything received and not emitted is dropped (T10). */
  failAtOnce(error: SocketError): Actions {
    const failure = this.abort('failed', error);
    if (failure === undefined) return nothing;
    return [
      { do: 'reset', error: failure.error },
      { do: 'abortInput', error: failure.error },
    ];
  }

  /** The socket has emitted `close`, its last event. */
  socketClosed(error: SocketError | undefined): Actions {
    const { phase } = this;
    this.phase = 'closed';
    switch (phase) {
      case 'closed':
        return nothing;
      case 'aborted':
        // The peer's reset came before this side's.
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

  /** Whether the sending side has to end because the peer's has. */
  private isEndDue(hasReader: boolean, hasSuccessor: boolean): boolean {
    return this.endsWithPeer && this.receiving === 'finished' && (!hasReader || hasSuccessor);
  }

  /** Asks for the FIN, unless that was done before. */
  private finishSending(): Actions {
    if (this.sending !== 'open') return nothing;
    this.sending = 'finishing';
    return [{ do: 'finishSending' }];
  }

  /** Makes `error` the failure and announces it, unless there is one. */
  private announceFirst(error: SocketError): Actions {
    if (this.reason !== undefined && this.reason.kind !== 'cutOff') return nothing;
    this.reason = { kind: 'failed', error };
    return [
      { do: 'stopClaimTimer' },
      { do: 'startCloseTimer', limit: this.closeTimeout },
      { do: 'announceFailure', error },
    ];
  }

  /** Returns the failure that stands; undefined if the connection is over already. */
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
