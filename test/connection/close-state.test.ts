import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CloseAction, CloseState } from '../../src/connection/close-state.js';
import { SocketError } from '../../src/errors/socket-error.js';

const inputs = [
  'complete',
  'completeAndClose',
  'close',
  'drain',
  'destroy',
  'fail',
  'failAtOnce',
  'time out',
  'bad frame',
  'peer finishes',
  'peer is cut off',
  'reader joins',
  'reader leaves',
  'work begins',
  'work ends',
  'flush',
  'other events',
  'socket fails',
] as const;
type Input = (typeof inputs)[number];

class Driver {
  readonly state: CloseState;
  readonly performed: CloseAction['do'][] = [];
  readonly failures: SocketError[] = [];
  readers = 1;
  busy = 0;
  finsAsked = 0;
  finsSent = 0;
  outcomes = 0;
  isAborted = false;
  hasCloseTimer = false;
  hasClaimTimer = false;
  hasHalfOpenTimer = false;
  isSocketClosed = false;
  /** How the received stream ended for the readers. */
  end: 'open' | 'fin' | SocketError = 'open';
  isPeerFinished = false;
  private drainChecks = 0;
  private readonly hasSuccessor: boolean;

  constructor(halfOpen: boolean, hasSuccessor: boolean) {
    this.state = new CloseState({ halfOpen, closeTimeout: 10_000 });
    this.hasSuccessor = hasSuccessor;
  }

  get hasReader(): boolean {
    return this.readers > 0;
  }

  error(code: ConstructorParameters<typeof SocketError>[0]): SocketError {
    const error = new SocketError(code, `failure ${this.failures.length}`);
    this.failures.push(error);
    return error;
  }

  input(input: Input): void {
    const { state } = this;
    switch (input) {
      case 'complete':
        this.perform(state.complete());
        return;
      case 'completeAndClose':
        this.perform(state.completeAndClose(this.hasReader));
        return;
      case 'close':
        this.perform(state.close());
        return;
      case 'drain':
        this.perform(state.drain(10_000));
        return;
      case 'destroy':
        this.perform(state.destroy(this.error('ERR_CLOSED')));
        return;
      case 'fail':
        this.perform(state.fail(this.error('ERR_OVERFLOW')));
        return;
      case 'failAtOnce':
        this.perform(state.failAtOnce(this.error('ERR_TLS')));
        return;
      case 'time out':
        if (this.hasCloseTimer) this.perform(state.fail(this.error('ERR_TIMEOUT_CLOSE')));
        return;
      case 'bad frame':
        // Without a reader, the connection decodes nothing.
        if (this.readers > 0) this.perform(state.badFrame(this.error('ERR_FRAME_INVALID')));
        return;
      case 'peer finishes':
        if (this.isPeerFinished || this.isSocketClosed) return;
        this.isPeerFinished = true;
        this.perform(state.peerFinished());
        this.perform(state.peerEndDelivered(this.hasReader, this.hasSuccessor));
        return;
      case 'peer is cut off':
        if (this.isPeerFinished || this.isSocketClosed || this.end !== 'open') return;
        this.isPeerFinished = true;
        this.perform(state.peerCutOff(this.error('ERR_TLS')));
        this.perform(state.peerEndDelivered(this.hasReader, this.hasSuccessor));
        return;
      case 'reader joins':
        this.readers++;
        return;
      case 'reader leaves':
        if (this.readers === 0) return;
        this.readers--;
        this.perform(state.readersChanged(this.hasReader, this.hasSuccessor));
        return;
      case 'work begins':
        if (!state.isOver) this.busy++;
        return;
      case 'work ends':
        if (this.busy > 0 && --this.busy === 0) this.perform(state.workEnded());
        return;
      case 'flush':
        if (this.isAborted || this.finsAsked === this.finsSent) return;
        this.finsSent++;
        this.perform(state.finSent(this.hasReader));
        return;
      case 'other events':
        for (; this.drainChecks > 0; this.drainChecks--)
          this.perform(state.checkDrained(this.busy > 0, this.hasReader));
        return;
      case 'socket fails':
        this.closeSocket(this.error('ECONNRESET'));
    }
  }

  closeSocket(error?: SocketError): void {
    if (this.isSocketClosed) return;
    this.isSocketClosed = true;
    this.perform(this.state.socketClosed(error));
  }

  /** Lets all due events happen: the FIN is sent, the work ends, the readers leave, and the timers fire. */
  settle(): void {
    const steps: Input[] = ['flush', 'work ends', 'reader leaves', 'other events', 'time out'];
    for (let round = 0; round < 20; round++) for (const step of steps) this.input(step);
    if (this.isAborted || (this.isPeerFinished && this.finsSent > 0)) this.closeSocket();
  }

  private perform(actions: readonly CloseAction[]): void {
    for (const action of actions) this.performOne(action);
  }

  private performOne(action: CloseAction): void {
    this.performed.push(action.do);
    switch (action.do) {
      case 'finishSending':
        this.finsAsked++;
        return;
      case 'reset':
        // C6, C12: every reset follows a failure.
        expect(this.state.failure).toBeDefined();
        expect(this.isAborted).toBe(false);
        this.isAborted = true;
        return;
      case 'release':
        // C11: the connection is released only after its FIN.
        expect(this.finsSent).toBe(1);
        this.isAborted = true;
        return;
      case 'finishInput':
        if (this.end === 'open') this.giveEnd('fin');
        return;
      case 'stopInput':
        if (this.end === 'open') this.giveEnd('fin');
        return;
      case 'failInput':
        expect(this.state.failure).toBeDefined();
        if (this.end === 'open') this.giveEnd(action.error);
        return;
      case 'abortInput':
        this.giveEnd(action.error);
        this.readers = 0;
        return;
      case 'scheduleDrainCheck':
        this.drainChecks++;
        return;
      case 'startCloseTimer':
        this.hasCloseTimer = true;
        return;
      case 'startClaimTimer':
        expect(this.hasReader).toBe(false);
        this.hasClaimTimer = true;
        return;
      case 'startHalfOpenTimer':
        this.hasHalfOpenTimer = true;
        return;
      case 'reportOutcome':
        this.outcomes++;
        return;
      case 'announceFailure':
      case 'lingerInput':
      case 'stopClaimTimer':
        return;
    }
  }

  private giveEnd(end: 'open' | 'fin' | SocketError): void {
    this.end = end;
  }
}

const sequences = fc.array(fc.constantFrom(...inputs), { maxLength: 30 });

/** Applies the inputs with every combination of options, and calls `check` after each input. */
function run(steps: readonly Input[], check: (driver: Driver, step: Input) => void, settle = true): void {
  for (const halfOpen of [false, true]) {
    for (const hasSuccessor of [false, true]) {
      const driver = new Driver(halfOpen, hasSuccessor);
      for (const step of steps) {
        driver.input(step);
        check(driver, step);
      }
      if (settle) driver.settle();
      check(driver, 'other events');
    }
  }
}

function always(check: (driver: Driver, step: Input) => void): void {
  fc.assert(
    fc.property(sequences, (steps) => {
      run(steps, check);
    }),
    { numRuns: 300 },
  );
}

function after(...steps: Input[]): Driver {
  const driver = new Driver(false, false);
  for (const step of steps) driver.input(step);
  return driver;
}

describe('CloseState, for every sequence of inputs,', () => {
  it('C6: at most one FIN is sent', () => {
    always(({ finsAsked, finsSent }) => {
      expect(finsAsked).toBeLessThanOrEqual(1);
      expect(finsSent).toBeLessThanOrEqual(finsAsked);
    });
  });

  it('C12: exactly one outcome is reported, when the socket has closed', () => {
    always(({ outcomes, isSocketClosed }) => {
      expect(outcomes).toBe(isSocketClosed ? 1 : 0);
    });
  });

  it('C12: CloseState keeps the first failure, unless a frame error or a reset explains the end better', () => {
    fc.assert(
      fc.property(sequences, (steps) => {
        let first: { readonly kind: string; readonly error: SocketError } | undefined;
        let driver: Driver | undefined;
        run(steps, (current, step) => {
          if (driver !== current) first = undefined;
          driver = current;
          const { failure } = current.state;
          if (first !== undefined && failure !== first) {
            const isFrame = first.kind === 'cutOff' && step === 'bad frame';
            const isReset = first.kind === 'destroyed' && step === 'socket fails';
            expect(isFrame || isReset).toBe(true);
          }
          first = failure;
        });
      }),
      { numRuns: 300 },
    );
  });

  it('C12: a clean end is reported only if both sides have finished', () => {
    always(({ state, outcomes, isPeerFinished, finsSent }) => {
      if (outcomes === 0 || state.failure !== undefined) return;
      expect(isPeerFinished).toBe(true);
      expect(finsSent).toBe(1);
    });
  });

  it('C8: the readers of an aborted connection get an error, unless the received stream had already ended', () => {
    always(({ isAborted, performed, end }) => {
      if (!isAborted) return;
      const hadEnd = performed.includes('finishInput') || performed.includes('stopInput');
      expect(typeof end === 'object' || hadEnd).toBe(true);
    });
  });

  it('C11: the time of a connection is limited if the connection closes, drains or has received a bad frame', () => {
    always(({ performed, hasCloseTimer }) => {
      if (performed.includes('lingerInput') || performed.includes('stopInput')) {
        expect(hasCloseTimer || performed.includes('reset') || performed.includes('release')).toBe(true);
      }
    });
  });

  it('C11, S7: after a close, drain or failure, the connection ends when the work and the readers have ended, whatever the peer does', () => {
    fc.assert(
      fc.property(
        sequences,
        fc.constantFrom<Input>('close', 'drain', 'completeAndClose', 'destroy', 'fail'),
        (steps, last) => {
          run([...steps, last], () => undefined);
          const driver = new Driver(true, false);
          for (const step of [...steps, last]) driver.input(step);
          driver.settle();
          expect(driver.outcomes).toBe(1);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('C7: the time of a sending side is limited if the sending side continues after the peer has finished', () => {
    always(({ state, isPeerFinished, end, finsSent, hasHalfOpenTimer, hasCloseTimer }) => {
      if (!isPeerFinished || end !== 'fin' || state.isOver || finsSent > 0) return;
      expect(hasHalfOpenTimer || hasCloseTimer).toBe(true);
    });
  });

  it('C20: destroy resets the connection, even after the FIN, unless the connection is over', () => {
    fc.assert(
      fc.property(sequences, (steps) => {
        const driver = after(...steps);
        const { isOver } = driver.state;
        const resets = driver.performed.filter((action) => action === 'reset').length;
        driver.input('destroy');
        const more = driver.performed.filter((action) => action === 'reset').length - resets;
        expect(more).toBe(isOver ? 0 : 1);
      }),
    );
  });

  it('after the outcome, CloseState only notifies the readers that still have received data to read', () => {
    fc.assert(
      fc.property(sequences, sequences, (steps, later) => {
        const driver = after(...steps);
        driver.closeSocket();
        const count = driver.performed.length;
        for (const step of later) driver.input(step);
        const rest = driver.performed
          .slice(count)
          .filter((action) => action !== 'abortInput' && action !== 'lingerInput');
        expect(rest).toEqual([]);
      }),
    );
  });
});

describe('CloseState', () => {
  it('C16: the sending side ends when the peer has finished and the last reader has left', () => {
    const driver = after('peer finishes');
    expect(driver.finsAsked).toBe(0);
    driver.input('reader leaves');
    expect(driver.finsAsked).toBe(1);
  });

  it('C7: with halfOpen, the sending side stays open when the peer has finished', () => {
    const driver = new Driver(true, false);
    driver.input('peer finishes');
    driver.input('reader leaves');
    expect(driver.finsAsked).toBe(0);
    expect(driver.hasHalfOpenTimer).toBe(true);
  });

  it('I2: if a Node stream has to end the sending side, the sending side stays open when the peer has finished', () => {
    const driver = new Driver(false, false);
    driver.state.keepSendingAfterPeer();
    driver.input('peer finishes');
    driver.input('reader leaves');
    expect(driver.finsAsked).toBe(0);
  });

  it('K4: if another connection follows, the sending side ends without waiting for a reader', () => {
    const driver = new Driver(false, true);
    driver.input('peer finishes');
    expect(driver.finsAsked).toBe(1);
  });

  it('S6: after completeAndClose, the connection closes when the last reader has left', () => {
    const driver = after('completeAndClose');
    expect(driver.performed).toEqual(['finishSending']);
    driver.input('reader leaves');
    expect(driver.performed).toEqual(['finishSending', 'stopClaimTimer', 'lingerInput', 'startCloseTimer']);
  });

  it('S7: the FIN of a draining connection is sent only when the work and the readers have ended', () => {
    const driver = after('work begins', 'drain', 'other events');
    expect(driver.finsAsked).toBe(0);
    for (const step of ['work ends', 'other events'] as const) driver.input(step);
    expect(driver.finsAsked).toBe(0);
    for (const step of ['reader leaves', 'other events'] as const) driver.input(step);
    expect(driver.finsAsked).toBe(1);
  });

  it('D3: the reply to a bad frame is sent before the FIN', () => {
    const driver = after('bad frame');
    expect(driver.state.failure).toMatchObject({ kind: 'failed', error: { code: 'ERR_FRAME_INVALID' } });
    expect(driver.isAborted).toBe(false);
    for (const step of ['other events', 'flush', 'peer finishes'] as const) driver.input(step);
    driver.closeSocket();
    expect(driver.performed).not.toContain('reset');
    expect(driver.outcomes).toBe(1);
  });

  it('T5: if the stream was cut off inside a frame, the incomplete frame is reported instead of the cut-off', () => {
    const state = new CloseState({ halfOpen: false, closeTimeout: 0 });
    const cut = new SocketError('ERR_TLS', 'the stream was cut off');
    const frame = new SocketError('ERR_FRAME_TRUNCATED', 'the stream has ended inside a frame');
    state.peerCutOff(cut);
    expect(state.isCutOff).toBe(true);
    state.badFrame(frame);
    expect(state.isCutOff).toBe(false);
    expect(state.failure).toEqual({ kind: 'failed', error: frame });
    expect(state.peerEndDelivered(false, false)).toEqual([]);
  });

  it('T5: if the stream was cut off between frames, the readers are notified, then the connection fails', () => {
    const driver = after('peer is cut off');
    expect(driver.performed).toEqual(['failInput', 'reset', 'failInput']);
  });

  it('C11: at closeTimeout, the socket is released if the FIN was sent, and reset otherwise', () => {
    expect(after('close', 'flush', 'time out').performed.at(-2)).toBe('release');
    expect(after('close', 'time out').performed.at(-2)).toBe('reset');
  });

  it('C22: claimTimeout starts for a connection without a reader, unless the connection is closing', () => {
    expect(after('reader leaves').hasClaimTimer).toBe(true);
    expect(
      after('reader leaves', 'close', 'flush').performed.filter((action) => action === 'startClaimTimer'),
    ).toHaveLength(1);
  });

  it('C12: if a reset by the peer arrived before the call of destroy, the reset is reported', () => {
    const driver = after('destroy', 'socket fails');
    expect(driver.state.failure).toMatchObject({ kind: 'failed', error: { code: 'ECONNRESET' } });
  });

  it('C12: a failure is reported if the socket closes before both sides have finished', () => {
    const driver = after('close', 'flush');
    driver.closeSocket();
    expect(driver.state.failure).toMatchObject({ kind: 'failed', error: { code: 'ECONNABORTED' } });
  });
});
