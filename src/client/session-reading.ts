import type { SocketError } from '../errors/socket-error.js';
import { withoutEmpty } from './connections-to-read.js';
import {
  connectionOf,
  readsOn,
  type SessionState,
  type Surroundings,
  toNextRun,
  type Waiting,
} from './session-phases.js';
import { leave, start } from './session-run.js';
import { idle, isWanted, andThen, type Step, unchanged } from './session-step.js';

// The transitions about readers of `data`: which connection the readers read, and when the readers are notified of the
// end of that connection.

/**
 * K8, K14: a new reader first reads the unread data of earlier connections. If the other readers have already been
 * notified of the current connection's end, the new reader waits for the next connection.
 */
export function addReader<C, R, W>(state: SessionState<C, R, W>, reader: R, around: Surroundings<C, R>): Step<C, R, W> {
  const [source] = state.toRead;
  const isRead = source !== undefined && around.leftover(source.connection).isRead;
  if (state.phase === 'idle' && (source === undefined || isRead)) return start(state, around);
  if (source === undefined || (source.endsRun && isRead)) return unchanged(state);
  if (state.phase === 'connected' && state.isConcluded && state.connection === source.connection) {
    return unchanged(state);
  }
  return { state, actions: [{ do: 'attach', connection: source.connection, readers: [reader] }] };
}

/** Detaches a reader that has left. */
export function removeReader<C, R, W>(state: SessionState<C, R, W>, reader: R): Step<C, R, W> {
  const [source] = state.toRead;
  const next = { do: 'continue', event: { type: 'readerLeft' } } as const;
  return {
    state,
    actions: source === undefined ? [next] : [{ do: 'detach', connection: source.connection, reader }, next],
  };
}

/**
 * K1, K8: if the connections of an earlier run have been read to their end, the other readers move on to the next
 * connection. If no subscriber remains, the current run ends.
 */
export function readOnOrLeave<C, R, W>(state: SessionState<C, R, W>, around: Surroundings<C, R>): Step<C, R, W> {
  return andThen(readOnIfDone(state, around), leave);
}

/** C7, K4, K14: a reader has emitted everything that its connection has received. */
export function drainReader<C, R, W>(
  state: SessionState<C, R, W>,
  reader: R,
  end: 'fin' | SocketError,
  around: Surroundings<C, R>,
): Step<C, R, W> {
  const [source] = state.toRead;
  if (source === undefined) return unchanged(state);
  const { connection } = source;
  if (!readsOn(state, around)) return { state, actions: [{ do: 'forwardDrained', connection, reader, end }] };
  if (connection !== connectionOf(state)) return readNext(state);
  return {
    state,
    actions: [
      { do: 'dropRest', connection, reader },
      { do: 'reportStreamEnd', connection, end },
    ],
  };
}

/** D3, K17: the connection handles a bad frame before the readers move on. */
export function reportBadFrame<C, R, W>(state: SessionState<C, R, W>, error: SocketError): Step<C, R, W> {
  const [source] = state.toRead;
  if (source === undefined) return unchanged(state);
  const { connection } = source;
  return {
    state,
    actions: [
      { do: 'forwardBadFrame', connection, error },
      { do: 'continue', event: { type: 'badFrameHandled', connection, error } },
    ],
  };
}

/**
 * D3, K17: a bad frame ends only its own connection. If that connection has already closed, the readers move on to the
 * next connection.
 */
export function breakStream<C, R, W>(
  state: SessionState<C, R, W>,
  connection: C,
  error: SocketError,
  around: Surroundings<C, R>,
): Step<C, R, W> {
  if (state.toRead[0]?.connection !== connection || !readsOn(state, around)) return unchanged(state);
  if (connection !== connectionOf(state)) return readNext(state);
  return { state, actions: [{ do: 'reportStreamEnd', connection, end: error }] };
}

/**
 * C7, K8: a reader is notified that the input from the last connection of a run has ended. That connection can still
 * send.
 */
export function conclude<C, R, W>(
  state: SessionState<C, R, W>,
  error: SocketError | undefined,
  around: Surroundings<C, R>,
): Step<C, R, W> {
  if (state.phase !== 'connected' || state.toRead[0]?.connection !== state.connection) {
    return readOnOrLeave(state, around);
  }
  const { connection, sending } = state;
  // Values that are queued for the next connection fail, because that connection will never open.
  const isInVain = sending.to === 'next connection';
  const renews = isInVain || (sending.to === 'connection' && around.isCompleted);
  const goesTo = renews ? toNextRun : sending;
  const isLeft = !isWanted(state);
  const toConnection = { to: 'connection', connection, isConcluded: true } as const;
  return {
    state: isLeft
      ? idle(state, goesTo.to === 'next run' ? goesTo : toConnection)
      : { ...state, sending: goesTo, isConcluded: true },
    actions: [
      ...(isLeft ? [{ do: 'ignoreSignal' } as const] : []),
      ...(renews ? [{ do: 'replaceOutput', failure: isInVain ? (error ?? 'ended') : undefined } as const] : []),
    ],
  };
}

/**
 * K4, K5: the wait for the next attempt begins. If the readers have read everything from their connection, they leave
 * that connection.
 */
export function startWaiting<C, R, W>(state: Waiting<C, R, W>, { leftover }: Surroundings<C, R>): Step<C, R, W> {
  const [first] = state.toRead;
  const isDone = first?.endsRun === false && leftover(first.connection).bytes === 0;
  const step = isDone ? readNext(state) : unchanged(state);
  const attached = isDone && state.readers.length > 0 ? step.state.toRead[0]?.connection : undefined;
  const { next, error, dials } = state;
  return {
    state: { ...state, phase: 'waiting', toRead: withoutEmpty(step.state.toRead, leftover, attached) },
    actions: [...step.actions, { do: 'wait', dial: dials, retries: next.retries, error }],
  };
}

function readOnIfDone<C, R, W>(state: SessionState<C, R, W>, { leftover }: Surroundings<C, R>): Step<C, R, W> {
  const [source] = state.toRead;
  if (source?.endsRun !== true) return unchanged(state);
  const { isRead, hasReaders } = leftover(source.connection);
  return isRead && !hasReaders ? readNext(state) : unchanged(state);
}

/** Moves the readers on to the next connection. If there is no next connection yet, the readers wait for it. */
function readNext<C, R, W>(state: SessionState<C, R, W>): Step<C, R, W> {
  const [source, ...toRead] = state.toRead;
  if (source === undefined) return unchanged(state);
  const { readers } = state;
  return {
    state: { ...state, toRead },
    actions: [{ do: 'readNext', from: source.connection, to: toRead[0]?.connection, readers }],
  };
}
