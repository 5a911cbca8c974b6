import type { SocketError } from '../errors/socket-error.js';
import { type AttemptCount, firstAttempt, nextAttempt } from '../reconnect/retry-count.js';
import { endingRun, readsEarlierRun, waitsForReaders, withoutEmpty } from './connections-to-read.js';
import type { SessionEvent } from './session-events.js';
import {
  type Connected,
  type Dialling,
  type EveryState,
  type Idle,
  isFollowed,
  type Running,
  type SessionState,
  type Shown,
  type Surroundings,
  toNextRun,
} from './session-phases.js';
import { everyState, idle, isWanted, renewed, type Step, unchanged } from './session-step.js';

// The transitions about a run and its connections: when the client dials, connects, loses a connection, and ends.

/** K1, K8: the first subscriber of a run makes the client dial. */
export function start<C, R, W>(state: Idle<C, R, W>, around: Surroundings<C, R>): Step<C, R, W> {
  const { sending } = state;
  const ofEarlierRun = sending.to === 'connection' ? sending.connection : undefined;
  const early = sending.to === 'next run' ? sending.failure : undefined;
  const toRead = withoutEmpty(state.toRead, around.leftover);
  const dialling = dial({ ...state, toRead }, firstAttempt, early ?? around.aborted);
  return {
    state: dialling.state,
    actions: [
      ...(ofEarlierRun !== undefined || early !== undefined ? [{ do: 'replaceOutput' } as const] : []),
      { do: 'watchSignal' },
      { do: 'expectConnection' },
      // The connection of the earlier run still sends its queued values, but gets no new values.
      ...(ofEarlierRun === undefined ? [] : [{ do: 'close', connection: ofEarlierRun } as const]),
      ...dialling.actions,
    ],
  };
}

/** K2: an attempt begins. With `failure`, the attempt is published, but fails at once without dialling. */
export function dial<C, R, W>(state: EveryState<C, R, W>, count: AttemptCount, failure?: SocketError): Step<C, R, W> {
  const { address, watchers } = state;
  const shown = { status: 'connecting', attempt: count.attempt, address } as const;
  const number = state.dials + 1;
  const publish = { do: 'publish', watchers, shown } as const;
  return {
    state: { ...everyState(state), phase: 'connecting', dials: number, count, shown },
    actions:
      failure === undefined
        ? [{ do: 'dial', dial: number }, publish]
        : [publish, { do: 'continue', event: { type: 'attemptFailed', dial: number, error: failure, isFinal: true } }],
  };
}

/**
 * C2, K4, K14: the attempt has succeeded. Queued values are sent before later values. Earlier connections with unread
 * data are read before the new connection.
 */
export function connect<C, R, W>(
  state: Dialling<C, R, W>,
  connection: C,
  { leftover }: Surroundings<C, R>,
): Step<C, R, W> {
  const { phase, readers, watchers, count } = state;
  const shown = { status: 'connected', attempt: count.attempt, connection } as const;
  const toRead = [...state.toRead, { connection, endsRun: false }];
  const sending = { to: 'connection' } as const;
  return {
    state: { ...state, phase: 'connected', connection, toRead, sending, isEnding: false, isConcluded: false, shown },
    actions: [
      { do: 'endAttempt' },
      ...(waitsForReaders(state.toRead, leftover) ? [{ do: 'block', connection } as const] : []),
      // In the phase `preparing`, the connection is already open.
      ...(phase === 'connecting' ? [{ do: 'open', connection } as const] : []),
      ...(state.toRead.length === 0 ? [{ do: 'attach', connection, readers } as const] : []),
      { do: 'adopt', connection },
      { do: 'publish', watchers, shown },
    ],
  };
}

/**
 * C7, K4, K8: no more values can be sent on a connection. If another connection will follow, the unsent values are
 * queued for the next connection.
 */
export function finishSending<C, R, W>(
  state: SessionState<C, R, W>,
  connection: C,
  error: SocketError | undefined,
  around: Surroundings<C, R>,
): Step<C, R, W> {
  if (state.phase === 'idle') {
    const { sending } = state;
    const isOver = sending.to === 'connection' && sending.connection === connection && sending.isConcluded;
    return isOver ? renewed({ ...state, sending: toNextRun }) : unchanged(state);
  }
  if (state.phase !== 'connected' || state.connection !== connection || state.sending.to !== 'connection') {
    return unchanged(state);
  }
  if (isFollowed(state, connection, around) && !endsClient(error)) {
    return { state: { ...state, sending: { to: 'next connection' } }, actions: [{ do: 'retire', connection }] };
  }
  return state.isConcluded ? renewed({ ...state, sending: toNextRun }) : unchanged(state);
}

export function closed<C, R, W>(
  state: SessionState<C, R, W>,
  event: Extract<SessionEvent<C, R, W>, { type: 'closed' }>,
  around: Surroundings<C, R>,
): Step<C, R, W> {
  const { connection, error, uptime } = event;
  if (state.phase === 'connected' && state.connection === connection) {
    return lose(state, error, uptime, isFollowed(state, connection, around) && !endsClient(error), around);
  }
  if (state.phase === 'idle' && state.sending.to === 'connection' && state.sending.connection === connection) {
    return renewed({ ...state, sending: toNextRun });
  }
  return unchanged(state);
}

/** K4: after an overflow the client ends, because a new connection would not help. */
function endsClient(error: SocketError | undefined): boolean {
  return error?.code === 'ERR_OVERFLOW';
}

/** K3, K4: an attempt or a connection has ended. The client dials again, or ends. */
export function lose<C, R, W>(
  state: Dialling<C, R, W> | Connected<C, R, W>,
  error: SocketError | undefined,
  uptime: number | undefined,
  retries: boolean,
  around: Surroundings<C, R>,
): Step<C, R, W> {
  const { limits, watchers, dials, count } = state;
  const shown = lost(count, error);
  const next = retries && limits !== undefined ? nextAttempt(limits, count, uptime) : undefined;
  if (next === undefined) return end(state, error, around, shown);
  return {
    state: { ...everyState(state), phase: 'disconnected', count, shown, next, error },
    actions: [
      { do: 'parkOutput' },
      { do: 'publish', watchers, shown },
      { do: 'continue', event: { type: 'announced', dial: dials } },
    ],
  };
}

export function lost(
  count: AttemptCount,
  error: SocketError | undefined,
): Shown<never> & { readonly status: 'disconnected' } {
  return { status: 'disconnected', attempt: count.attempt, ...(error === undefined ? {} : { error }) };
}

/**
 * K3, K8: the client ends. The subscribers to notify are removed from the state before the first of them is notified.
 * If a subscriber subscribes or sends while it is notified, the subscription or the value belongs to the next run. A
 * reader that is attached to a connection is notified by that connection.
 */
export function end<C, R, W>(
  state: Running<C, R, W>,
  error: SocketError | undefined,
  around: Surroundings<C, R>,
  last?: Shown<C>,
): Step<C, R, W> {
  const { watchers, toRead, readers } = state;
  const isConcluded = state.phase === 'connected' && state.isConcluded;
  const [source] = toRead;
  // A reader does not end with this run if it waits for a connection of the next run, or still reads a connection of
  // an earlier run.
  const stranded =
    isConcluded || readsEarlierRun(toRead)
      ? []
      : readers.filter((reader) => source === undefined || !around.isAttached(source.connection, reader));
  const kept = state.phase === 'connected' && state.sending.to === 'next run' ? state.sending : undefined;
  const failure = error ?? 'ended';
  const replaceOutput = kept === undefined ? [{ do: 'replaceOutput', failure } as const] : [];
  return {
    state: {
      ...idle(state, kept ?? toNextRun),
      watchers: [],
      readers: readers.filter((reader) => !stranded.includes(reader)),
      toRead: endingRun(toRead),
    },
    actions: [
      { do: 'ignoreSignal' },
      ...(state.phase === 'connected' ? replaceOutput : [{ do: 'abandonAttempt', failure } as const]),
      { do: 'endReaders', readers: stranded, error },
      { do: 'endWatchers', watchers, error, last },
      ...(isConcluded ? [{ do: 'continue', event: { type: 'subscribersEnded' } } as const] : []),
    ],
  };
}

/** K1, K7: without subscribers, the client aborts its attempt or closes its connection gracefully. */
export function leave<C, R, W>(state: SessionState<C, R, W>): Step<C, R, W> {
  if (state.phase === 'idle' || isWanted(state)) return unchanged(state);
  if (state.phase === 'connected') {
    const { connection, sending } = state;
    const toRead = endingRun(state.toRead.filter((source) => source.connection !== connection));
    const failure = sending.to === 'next connection' ? 'left' : undefined;
    return {
      state: { ...idle(state, sending.to === 'next run' ? sending : toNextRun), toRead },
      actions: [
        { do: 'ignoreSignal' },
        ...(sending.to === 'next run' ? [] : [{ do: 'replaceOutput', failure } as const]),
        { do: 'close', connection },
      ],
    };
  }
  return {
    state: { ...idle(state, toNextRun), toRead: endingRun(state.toRead) },
    actions: [{ do: 'ignoreSignal' }, { do: 'abandonAttempt', failure: 'left' }],
  };
}

/** C8, K3, K7, K10: this side fails the client. */
export function giveUp<C, R, W>(
  state: SessionState<C, R, W>,
  error: SocketError,
  around: Surroundings<C, R>,
): Step<C, R, W> {
  switch (state.phase) {
    case 'connecting':
    case 'preparing':
      return end(state, error, around, lost(state.count, error));
    case 'disconnected':
    case 'waiting':
      return end(state, error, around);
    case 'connected':
      if (state.sending.to !== 'next run') {
        return {
          state: { ...state, isEnding: true },
          actions: [
            { do: 'failOutput', error },
            { do: 'fail', connection: state.connection, error },
          ],
        };
      }
      return state.sending.failure === undefined
        ? { state: { ...state, sending: { to: 'next run', failure: error } }, actions: [{ do: 'failOutput', error }] }
        : unchanged(state);
    case 'idle':
      return state.sending.to === 'next run' && state.sending.failure === undefined
        ? { state: { ...state, sending: { to: 'next run', failure: error } }, actions: [{ do: 'failOutput', error }] }
        : unchanged(state);
  }
}

/**
 * C8, K8: the program destroys the client. If `data` was sending on a connection, `data` ignores values until the
 * readers have been notified of the end, or until that connection has closed.
 */
export function destroy<C, R, W>(
  state: SessionState<C, R, W>,
  error: SocketError,
  reason: unknown,
  around: Surroundings<C, R>,
): Step<C, R, W> {
  if (state.phase === 'idle' && state.sending.to === 'connection') {
    const { sending } = state;
    return {
      state: { ...state, sending: { ...sending, isConcluded: false } },
      actions: [{ do: 'destroy', connection: sending.connection, reason }],
    };
  }
  if (state.phase !== 'connected') return giveUp(state, error, around);
  const { connection, sending } = state;
  const destroyed = { do: 'destroy', connection, reason } as const;
  const next = { ...state, isEnding: true, isConcluded: false };
  if (sending.to === 'connection') return { state: next, actions: [destroyed] };
  return { state: { ...next, sending: toNextRun }, actions: [{ do: 'replaceOutput', failure: error }, destroyed] };
}
