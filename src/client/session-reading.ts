import type { SocketError } from '../errors/socket-error.js';
import { withoutEmpty } from './read-order.js';
import { type Step, unchanged } from './session-events.js';
import { connectionOf, readsOn, type SessionState, type Surroundings, type Waiting, without } from './session-state.js';

/**
 * The transitions of a client that are about reading: which connection the readers of `data` read, and what happens at its
 * end. `reduce` in `session-reducer.ts` calls them, and has the table.
 */

/** Whether the readers have read everything that earlier runs have left. */
export function isAllRead<C, R, W>({ order }: SessionState<C, R, W>, { unread }: Surroundings<C, R>): boolean {
  const [source] = order;
  return source === undefined || unread(source.connection).isRead;
}

/** K8, K14: what a connection has left comes first. A reader that comes after the end of a connection waits for the next. */
export function startReading<C, R, W>(
  state: SessionState<C, R, W>,
  reader: R,
  around: Surroundings<C, R>,
): Step<C, R, W> {
  const [source] = state.order;
  if (source === undefined || (source.isLast && isAllRead(state, around))) return unchanged(state);
  const isConcluded = state.phase === 'connected' && state.isConcluded && state.connection === source.connection;
  if (isConcluded) return unchanged(state);
  return { state, actions: [{ do: 'attach', connection: source.connection, readers: [reader] }] };
}

/** A reader leaves: first its connection, which keeps what was not emitted. */
export function stopReading<C, R, W>(state: SessionState<C, R, W>, reader: R): Step<C, R, W> {
  const [source] = state.order;
  const next = { do: 'continue', event: { type: 'detached' } } as const;
  return {
    state: { ...state, readers: without(state.readers, reader) },
    actions: source === undefined ? [next] : [{ do: 'detach', connection: source.connection, reader }, next],
  };
}

/** C7, K4, K14: a reader has emitted all that its connection had. */
export function endStream<C, R, W>(
  state: SessionState<C, R, W>,
  reader: R,
  end: 'fin' | SocketError,
  around: Surroundings<C, R>,
): Step<C, R, W> {
  const [source] = state.order;
  if (source === undefined) return unchanged(state);
  const { connection } = source;
  if (!readsOn(state, around)) return { state, actions: [{ do: 'endStream', connection, reader, end }] };
  if (connection !== connectionOf(state)) return readNext(state);
  return {
    state,
    actions: [
      { do: 'dropRest', connection, reader },
      { do: 'reportStreamEnd', connection, end },
    ],
  };
}

/** D3: a frame can't be decoded. What that means for the client depends on what the connection makes of it. */
export function corrupt<C, R, W>(state: SessionState<C, R, W>, error: SocketError): Step<C, R, W> {
  const [source] = state.order;
  if (source === undefined) return unchanged(state);
  const { connection } = source;
  return {
    state,
    actions: [
      { do: 'corrupt', connection, error },
      { do: 'continue', event: { type: 'streamBroken', connection, error } },
    ],
  };
}

/** D3, K17: a wrong frame ends its connection alone. The readers leave a connection that is gone already. */
export function breakStream<C, R, W>(
  state: SessionState<C, R, W>,
  connection: C,
  error: SocketError,
  around: Surroundings<C, R>,
): Step<C, R, W> {
  if (state.order[0]?.connection !== connection || !readsOn(state, around)) return unchanged(state);
  if (connection !== connectionOf(state)) return readNext(state);
  return { state, actions: [{ do: 'reportStreamEnd', connection, end: error }] };
}

/** K4: the connection is gone. The readers leave it if it has nothing more, and so does everything that has nothing. */
export function leaveEmpty<C, R, W>(
  state: Waiting<C, R, W>,
  { unread }: Surroundings<C, R>,
): Step<C, R, W, Waiting<C, R, W>> {
  const [first, next] = state.order;
  const isDone = first?.isLast === false && unread(first.connection).bytes === 0;
  const step = isDone ? readNext<C, R, W, Waiting<C, R, W>>(state) : unchanged<C, R, W, Waiting<C, R, W>>(state);
  const order = withoutEmpty(step.state.order, (connection) =>
    isDone && connection === next?.connection
      ? { ...unread(connection), hasReaders: state.readers.length > 0 }
      : unread(connection),
  );
  return { state: { ...step.state, order }, actions: step.actions };
}

/** When a run that has ended was read to its end, the reader moves on to the connection that came after it. */
export function readOnIfDone<C, R, W>(state: SessionState<C, R, W>, { unread }: Surroundings<C, R>): Step<C, R, W> {
  const [source] = state.order;
  if (source?.isLast !== true) return unchanged(state);
  const { isRead, hasReaders } = unread(source.connection);
  return isRead && !hasReaders ? readNext(state) : unchanged(state);
}

/** The readers go on to the next connection. */
function readNext<C, R, W, S extends SessionState<C, R, W>>(state: S): Step<C, R, W, S> {
  const [source, ...order] = state.order;
  if (source === undefined) return unchanged(state);
  const { readers } = state;
  return {
    state: { ...state, order },
    actions: [{ do: 'readNext', from: source.connection, to: order[0]?.connection, readers }],
  };
}
