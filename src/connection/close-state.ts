import { SocketError } from '../errors/socket-error.js';

/**
 * How far a connection is on its way to its end:
 * - `open`: both sides may be used
 * - `draining`: this side has ended the receiving side, because of a shutdown or a bad frame; the connection closes
 *   once no work is in progress and nobody reads
 * - `closing`: the FIN follows what was sent, and input that nobody reads is discarded until the peer's FIN
 * - `aborted`: the socket was reset, or given up, and its `close` event is awaited
 * - `closed`: the socket is closed, and the outcome is final
 */
type Phase = 'open' | 'draining' | 'closing' | 'aborted' | 'closed';

/**
 * Why a connection does not end in order. `truncated`: the peer's stream was cut off, and it is not known yet whether
 * inside a frame, which would be the better reason (T5).
 */
export interface Failure {
  readonly kind: 'destroyed' | 'failed' | 'truncated';
  readonly error: SocketError;
}

/** What the connection has to do, in the order in which it is listed. */
export type CloseAction =
  /** Send the FIN after what was sent. */
  | 'finishSending'
  /** Tell the owner that the connection has failed, while it can still send. */
  | 'announceFailure'
  /** Send nothing more, and reset the socket. */
  | 'reset'
  /** Send nothing more, and leave to the kernel what it has: the FIN is behind it. */
  | 'release'
  /** Complete the readers after what was received: the peer has finished. */
  | 'finishInput'
  /** Complete the readers after what was received, and discard what the peer still sends. */
  | 'stopInput'
  /** Fail the readers after what was received. */
  | 'failInput'
  /** Fail the readers at once, and drop what was received. */
  | 'abortInput'
  /** Read until the peer's FIN, and discard what no reader takes. */
  | 'lingerInput'
  /** Call `peerEndDelivered` now. */
  | 'reviewPeerEnd'
  /** Call `rested` when the event loop has gone round: a reader may react to the end in promises. */
  | 'awaitRest'
  | 'startClaimTimer'
  | 'stopClaimTimer'
  | 'startCloseTimer'
  | 'startHalfOpenTimer'
  /** Emit the outcome. */
  | 'reportOutcome';

type Actions = readonly CloseAction[];

const nothing: Actions = [];
const finish: Actions = ['finishSending'];
const finishAndClaim: Actions = ['finishSending', 'startClaimTimer'];
const claim: Actions = ['startClaimTimer'];
const limit: Actions = ['startCloseTimer'];
const rest: Actions = ['awaitRest'];
const linger: Actions = ['stopClaimTimer', 'lingerInput'];
const finishAndLinger: Actions = ['finishSending', ...linger];
const close: Actions = [...linger, 'startCloseTimer'];
const finishAndClose: Actions = ['finishSending', ...close];
const drain: Actions = ['stopClaimTimer', 'startCloseTimer', 'stopInput', 'awaitRest'];
const rejectInput: Actions = ['abortInput', 'lingerInput'];
const rejectInputAndRest: Actions = [...rejectInput, 'awaitRest'];
const announce: Actions = ['stopClaimTimer', 'startCloseTimer', 'announceFailure'];
const announceAndReject: Actions = [...announce, ...rejectInput];
const announceAndDrain: Actions = [...announce, ...rejectInputAndRest];
const peerEnd: Actions = ['finishInput', 'reviewPeerEnd'];
const peerCut: Actions = ['failInput', 'reviewPeerEnd'];
const waitHalfOpen: Actions = ['startHalfOpenTimer'];
const finishAndWait: Actions = ['finishSending', 'startHalfOpenTimer'];
const resetAfterInput: Actions = ['reset', 'failInput'];
const releaseAfterInput: Actions = ['release', 'failInput'];
const resetAtOnce: Actions = ['reset', 'abortInput'];
const report: Actions = ['reportOutcome'];
const resetAndReport: Actions = [...resetAfterInput, 'reportOutcome'];

/**
 * Decides how one connection ends. It does no I/O and has no timers: each input changes the state and returns what the
 * connection has to do.
 *
 * | input              | open                                   | draining                    | closing               |
 * | ------------------ | -------------------------------------- | --------------------------- | --------------------- |
 * | `complete`         | FIN                                    | FIN                         | -                     |
 * | `completeAndClose` | unread: as `close`; FIN                | as in open                  | unread: limit         |
 * | `close`            | FIN, linger, limit → closing           | as in open                  | limit                 |
 * | `drain`            | limit, stop input, rest → draining     | as in open                  | limit                 |
 * | `awaitReader`      | unread: claim                          | -                           | -                     |
 * | `readersChanged`   | served: as `close`; FIN if due, claim  | served: as `close`; rest    | served: limit         |
 * | `workEnded`        | -                                      | rest                        | -                     |
 * | `rested`           | -                                      | done: FIN, linger → closing | -                     |
 * | `finSent`          | unread: claim                          | -                           | -                     |
 * | `peerFinished`     | finish input, review                   | as in open                  | as in open            |
 * | `peerCutOff`       | fail input, review                     | as in open                  | as in open            |
 * | `peerEndDelivered` | cut: as `fail`; half-open, FIN if due  | cut: as `fail`; half-open   | as in draining        |
 * | `badFrame`         | announce, abort input, rest → draining | as in open                  | announce, abort input |
 * | `destroy`          | reset, abort input → aborted           | as in open                  | as in open            |
 * | `failAtOnce`       | as `destroy`                           | as in open                  | as in open            |
 * | `fail`             | reset, fail input → aborted            | as in open                  | as in open            |
 * | `socketClosed`     | early: as `fail`, report; report       | as in open                  | as in open            |
 *
 * `socketClosed` leads to `closed`, and reports when it is `aborted`, too. Once it is `aborted` or `closed`, `badFrame` aborts
 * the input, and every other input does nothing.
 *
 * - unread: nobody reads. served: a handler is done with the connection (`completeAndClose`), and it is unread.
 * - FIN: send it after what was sent, unless it was asked for already. If due: the peer has finished, and `halfOpen` is off.
 * - limit, claim, half-open: start the timer of `closeTimeout`, `claimTimeout`, `halfOpenTimeout`.
 * - rest: call `rested` when the event loop has gone round. review: call `peerEndDelivered`.
 * - announce: tell the owner, and start the limit; only for the first failure.
 * - done: no work is in progress, and nobody reads. early: before both sides have finished, or with an error.
 * - cut: the peer's stream was cut off. A "; " after a condition means "otherwise".
 *
 * Beside the phase it keeps how far each side is: a FIN is asked for once, and a socket that is closed before both sides
 * have finished has failed. The first failure stands (C12), except that a frame that the peer's cut has broken off
 * replaces `truncated`, and that a reset which the transport reports replaces `destroyed`.
 */
export class CloseState {
  private phase: Phase = 'open';
  private receiving: 'open' | 'finished' = 'open';
  private sending: 'open' | 'finishing' | 'finished' = 'open';
  private reason: Failure | undefined;
  /** Whether the sending side ends with the peer's: not with `halfOpen`. */
  private endsWithPeer: boolean;
  /** Whether the connection closes as soon as nobody reads it. */
  private closesUnread = false;

  constructor(halfOpen: boolean) {
    this.endsWithPeer = !halfOpen;
  }

  /** Why the connection does not end in order; undefined as long as nothing has gone wrong. */
  get failure(): Failure | undefined {
    return this.reason;
  }

  /** Whether nothing can be done with the connection any more. */
  get isOver(): boolean {
    return this.phase === 'aborted' || this.phase === 'closed';
  }

  /** Whether the peer's stream was cut off, and a frame that it breaks off would be the reason to give. */
  get isTruncated(): boolean {
    return this.reason?.kind === 'truncated' && !this.isOver;
  }

  /** The sending side stays open after the peer's FIN, whatever `halfOpen` says (I2). */
  keepSendingAfterPeer(): void {
    this.endsWithPeer = false;
  }

  /** The user has completed the sending side. */
  complete(): Actions {
    return this.isOver ? nothing : this.finishSending(finish, nothing);
  }

  /** A handler is done: the sending side ends, and the connection as soon as nobody reads it (S6). */
  completeAndClose(isUnread: boolean): Actions {
    this.closesUnread = true;
    return isUnread ? this.close() : this.complete();
  }

  /** The connection is to be closed gracefully, within a limit (C11). A second call may bring a shorter limit. */
  close(): Actions {
    switch (this.phase) {
      case 'open':
      case 'draining':
        this.phase = 'closing';
        return this.finishSending(finishAndClose, close);
      case 'closing':
        return limit;
      case 'aborted':
      case 'closed':
        return nothing;
    }
  }

  /** A shutdown: the readers get what was received, and the work in progress is waited for, within a limit (S7). */
  drain(): Actions {
    switch (this.phase) {
      case 'open':
      case 'draining':
        this.phase = 'draining';
        return drain;
      case 'closing':
        return limit;
      case 'aborted':
      case 'closed':
        return nothing;
    }
  }

  /**
   * A reader has left, or was given the end. Without `halfOpen` the sending side ends after the peer's, once all that the
   * peer sent was emitted or nobody reads it (C16).
   *
   * @param isUnread - whether nobody reads
   * @param hasSuccessor - whether another connection takes over, which no reader is to delay (K4)
   */
  readersChanged(isUnread: boolean, hasSuccessor: boolean): Actions {
    if (this.closesUnread && isUnread) return this.close();
    switch (this.phase) {
      case 'open':
        if (this.isEndDue(isUnread, hasSuccessor)) {
          return this.finishSending(isUnread ? finishAndClaim : finish, this.awaitReader(isUnread));
        }
        return this.awaitReader(isUnread);
      case 'draining':
        return rest;
      case 'closing':
      case 'aborted':
      case 'closed':
        return nothing;
    }
  }

  /**
   * Nobody reads, and nobody may ever: `claimTimeout` begins (C22). A connection that is ending has other limits, and
   * one whose sides have both finished is about to be closed.
   */
  awaitReader(isUnread: boolean): Actions {
    const hasFinished = this.sending === 'finished' && this.receiving === 'finished';
    return isUnread && this.phase === 'open' && !hasFinished ? claim : nothing;
  }

  /** A paced send or a handler has ended, the last one. */
  workEnded(): Actions {
    return this.phase === 'draining' ? rest : nothing;
  }

  /** The event loop has gone round since `awaitRest`: a drain ends once nobody is at work and nobody reads. */
  rested(isBusy: boolean, isUnread: boolean): Actions {
    if (this.phase !== 'draining' || isBusy || !isUnread) return nothing;
    this.phase = 'closing';
    return this.finishSending(finishAndLinger, linger);
  }

  /** The FIN was handed to the socket. */
  finSent(isUnread: boolean): Actions {
    this.sending = 'finished';
    return this.awaitReader(isUnread);
  }

  /** The peer's FIN has come. */
  peerFinished(): Actions {
    if (this.isOver) return nothing;
    this.receiving = 'finished';
    return peerEnd;
  }

  /** The peer's stream has ended without the end that TLS demands. */
  peerCutOff(error: SocketError): Actions {
    if (this.isOver) return nothing;
    this.reason ??= { kind: 'truncated', error };
    return peerCut;
  }

  /** The readers have been given the peer's end, as far as they take it. */
  peerEndDelivered(isUnread: boolean, hasSuccessor: boolean): Actions {
    if (this.isOver) return nothing;
    if (this.reason?.kind === 'truncated') return this.fail(this.reason.error);
    if (this.receiving !== 'finished' || this.sending === 'finished') return nothing;
    const isDue = this.phase === 'open' && this.isEndDue(isUnread, hasSuccessor);
    return isDue ? this.finishSending(finishAndWait, waitHalfOpen) : waitHalfOpen;
  }

  /** What was received can't be decoded. What is sent in reply is still flushed (D3). */
  badFrame(error: SocketError): Actions {
    if (this.isOver) return rejectInput;
    const isFirst = this.reason === undefined || this.reason.kind === 'truncated';
    if (isFirst) this.reason = { kind: 'failed', error };
    if (this.phase === 'closing') return isFirst ? announceAndReject : rejectInput;
    this.phase = 'draining';
    return isFirst ? announceAndDrain : rejectInputAndRest;
  }

  /** This side cuts the connection off. */
  destroy(error: SocketError): Actions {
    return this.abort('destroyed', error) ? resetAtOnce : nothing;
  }

  /**
   * The connection has failed, or a limit was passed. Where the FIN is on its way already, a peer that is slow to read
   * what it was sent still gets it (C11).
   */
  fail(error: SocketError): Actions {
    const isSlowPeer = this.sending === 'finished' && error.code === 'ERR_TIMEOUT_CLOSE';
    if (!this.abort('failed', error)) return nothing;
    return isSlowPeer ? releaseAfterInput : resetAfterInput;
  }

  /** As `fail`, but nothing of what was received may be emitted (T10). */
  failAtOnce(error: SocketError): Actions {
    return this.abort('failed', error) ? resetAtOnce : nothing;
  }

  /** The socket is closed: its last event. */
  socketClosed(error: SocketError | undefined): Actions {
    const { phase } = this;
    this.phase = 'closed';
    switch (phase) {
      case 'closed':
        return nothing;
      case 'aborted':
        // The peer was faster than this side's reset.
        if (error !== undefined && this.reason?.kind === 'destroyed') this.reason = { kind: 'failed', error };
        return report;
      case 'open':
      case 'draining':
      case 'closing': {
        const isInOrder = this.receiving === 'finished' && this.sending === 'finished';
        if (error === undefined && isInOrder) return report;
        this.reason ??= { kind: 'failed', error: error ?? closedEarly() };
        return resetAndReport;
      }
    }
  }

  private abort(kind: 'destroyed' | 'failed', error: SocketError): boolean {
    if (this.isOver) return false;
    this.reason ??= { kind, error };
    this.phase = 'aborted';
    return true;
  }

  private isEndDue(isUnread: boolean, hasSuccessor: boolean): boolean {
    return this.endsWithPeer && this.receiving === 'finished' && (isUnread || hasSuccessor);
  }

  /** Gives `first` where the FIN has not been asked for yet, else `again`. */
  private finishSending(first: Actions, again: Actions): Actions {
    if (this.sending !== 'open') return again;
    this.sending = 'finishing';
    return first;
  }
}

function closedEarly(): SocketError {
  return new SocketError('ECONNABORTED', 'the socket was closed before both sides had ended');
}
