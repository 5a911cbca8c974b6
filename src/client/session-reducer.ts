import type { SocketError } from '../errors/socket-error.js';
import { type AttemptCount, firstAttempt, nextAttempt } from '../reconnect/retry-count.js';
import { ended, isBehind, waitsForReaders, withoutEmpty } from './read-order.js';
import { type SessionEvent, type Step, then, unchanged } from './session-events.js';
import {
  breakStream,
  corrupt,
  endStream,
  isAllRead,
  leaveEmpty,
  readOnIfDone,
  startReading,
  stopReading,
} from './session-reading.js';
import {
  type Common,
  type Connected,
  type Dialling,
  type Idle,
  isFollowed,
  type Running,
  type SessionState,
  type Shown,
  type Surroundings,
  toNextRun,
  type Waiting,
  without,
} from './session-state.js';

/**
 * Decides when a client dials, dials again and ends. It takes a state and an event, and returns the next state and the
 * actions to perform. It does no I/O and reads no clock: `Session` performs the actions.
 *
 * The words of the table:
 *
 * - "dialling": connecting or preparing. "retrying": disconnected or waiting.
 * - "concluded": connected, and the readers have got the end of the connection, which still sends. "still sending": the same,
 *   but nobody is subscribed any more, so that the client is idle.
 * - "lost": `disconnected` is published. The next state is `disconnected` where a retry may follow; otherwise the client ends.
 * - "end": watchers and readers get the error or completion, and values that still wait to be sent fail.
 * - "earlier one": a connection before the current one. "read on": the readers go on to the next connection.
 *
 * An event without a row changes nothing.
 *
 * | state               | event                         | next state      | actions                                 | rules       |
 * | ------------------- | ----------------------------- | --------------- | --------------------------------------- | ----------- |
 * | idle                | watch                         | connecting      | dial, publish                           | K1, K2, K8  |
 * | any but idle        | watch                         | the same        | publish the state to the watcher        | K1, K2      |
 * | any but idle        | unwatch, the last one         | idle            | abort, or close gracefully              | K1, K7      |
 * | idle                | read, all was read            | connecting      | dial, publish                           | K1, K8      |
 * | any                 | read, otherwise               | the same        | attach the reader to what is read       | K1, K8, K14 |
 * | any                 | unread                        | the same        | detach the reader; `detached` follows   | K1          |
 * | any                 | detached                      | the same        | read on if it is due; then as `unwatch` | K1, K8, K14 |
 * | idle                | subscribersEnded, has readers | connecting      | dial, publish                           | K8          |
 * | connecting          | opened                        | preparing       |                                         | K18         |
 * | dialling            | ready                         | connected       | end the attempt, adopt, publish         | C2, K4, K14 |
 * | dialling            | attemptFailed                 | lost            |                                         | K3, K4, K16 |
 * | connected           | finishing, may retry          | connected       | keep what waits for the next one        | K4, K12     |
 * | concluded           | finishing, otherwise          | connected       | what is sent waits for the next run     | C7, K8      |
 * | still sending       | finishing, closed             | idle            | what is sent waits for the next run     | C7, K8      |
 * | connected           | closed                        | lost            |                                         | K3, K4, K17 |
 * | disconnected        | announced                     | waiting         | read on, wait as the policy says        | K4, K5, K11 |
 * | waiting             | waits                         | waiting         | publish `waiting`                       | K2, K10     |
 * | waiting             | due                           | connecting      | dial, publish                           | K2, K5      |
 * | waiting             | policyEnded, policyFailed     | idle            | end                                     | K10, K11    |
 * | any                 | streamEnded, nothing follows  | the same        | give the reader the end                 | C7, K8      |
 * | any                 | streamEnded, earlier one      | the same        | read on                                 | K4, K14     |
 * | connected           | streamEnded, may retry        | connected       | drop the rest, report the end           | K4, K21     |
 * | any                 | corrupted                     | the same        | end the input; `streamBroken` follows   | D3          |
 * | any                 | streamBroken, earlier one     | the same        | read on                                 | K4, K17     |
 * | connected           | streamBroken, may retry       | connected       | report the end                          | K17, K21    |
 * | connected, and read | concluded                     | connected, idle | what is sent may wait for the next run  | C7, K8      |
 * | otherwise           | concluded                     | the same        | as `detached`                           | K8          |
 * | dialling            | failed, destroyed             | idle            | publish `disconnected`, end             | K3, K7      |
 * | retrying            | failed, destroyed             | idle            | end, without a further state            | K10         |
 * | connected           | failed, destroyed             | connected       | no retry; fail or destroy it            | C8, K17     |
 * | idle                | failed, destroyed             | idle            | keep it: the next run ends with it      | C4, C8      |
 * | still sending       | destroyed                     | idle            | destroy the connection                  | C8, K8      |
 *
 * An event of an attempt has the number of that attempt (`dial`). It is ignored once another attempt has begun, or the
 * client has ended.
 */
export function reduce<C, R, W>(
  state: SessionState<C, R, W>,
  event: SessionEvent<C, R, W>,
  around: Surroundings<C, R>,
): Step<C, R, W> {
  switch (event.type) {
    case 'watch': {
      const watched = { ...state, watchers: [...state.watchers, event.watcher] };
      if (watched.phase === 'idle') return start(watched, around);
      return { state: watched, actions: [{ do: 'publish', watchers: [event.watcher], shown: watched.shown }] };
    }
    case 'unwatch':
      return leave({ ...state, watchers: without(state.watchers, event.watcher) });
    case 'read':
      return read({ ...state, readers: [...state.readers, event.reader] }, event.reader, around);
    case 'unread':
      return stopReading(state, event.reader);
    case 'detached':
      return then(readOnIfDone(state, around), leave);
    case 'subscribersEnded':
      return state.phase === 'idle' && state.readers.length > 0 ? start(state, around) : unchanged(state);
    case 'opened':
      return state.phase === 'connecting' && isOf(state, event)
        ? unchanged({ ...state, phase: 'preparing' })
        : unchanged(state);
    case 'ready':
      return isDialling(state) && isOf(state, event) ? connect(state, event.connection, around) : unchanged(state);
    case 'attemptFailed':
      return isDialling(state) && isOf(state, event)
        ? lose(state, event.error, undefined, !event.isFinal, around)
        : unchanged(state);
    case 'finishing':
      return finishSending(state, event.connection, event.error, around);
    case 'closed':
      return closed(state, event, around);
    case 'announced':
      return state.phase === 'disconnected' && isOf(state, event) ? startWaiting(state, around) : unchanged(state);
    case 'waits': {
      if (state.phase !== 'waiting' || !isOf(state, event)) return unchanged(state);
      const shown = { ...lost(state.count, state.error), status: 'waiting', delay: event.delay } as const;
      return show({ ...state, shown });
    }
    case 'due':
      return state.phase === 'waiting' && isOf(state, event) ? dial(state, state.next) : unchanged(state);
    case 'policyEnded':
      return state.phase === 'waiting' && isOf(state, event) ? end(state, undefined, around) : unchanged(state);
    case 'policyFailed':
      return state.phase === 'waiting' && isOf(state, event) ? end(state, event.error, around) : unchanged(state);
    case 'streamEnded':
      return endStream(state, event.reader, event.end, around);
    case 'corrupted':
      return corrupt(state, event.error);
    case 'streamBroken':
      return breakStream(state, event.connection, event.error, around);
    case 'concluded':
      return conclude({ ...state, readers: without(state.readers, event.reader) }, event.error, around);
    case 'failed':
      return giveUp(state, event.error, around);
    case 'destroyed':
      return destroy(state, event.error, event.reason, around);
  }
}

/** K1, K8: the first subscriber of a run. */
function start<C, R, W>(state: Idle<C, R, W>, around: Surroundings<C, R>): Step<C, R, W> {
  const { sending } = state;
  const ofEarlierRun = sending.to === 'connection' ? sending.connection : undefined;
  const early = sending.to === 'next run' ? sending.failure : undefined;
  const failure = early ?? around.aborted;
  const order = withoutEmpty(state.order, around.unread);
  const dialling = dial({ ...state, order }, firstAttempt, failure);
  return {
    state: dialling.state,
    actions: [
      ...(ofEarlierRun !== undefined || early !== undefined ? [{ do: 'renewOutput' } as const] : []),
      { do: 'watchSignal' },
      { do: 'expectConnection' },
      // What is left to be sent on the earlier connection stays its own, and nobody can add to it any more.
      ...(ofEarlierRun === undefined ? [] : [{ do: 'close', connection: ofEarlierRun } as const]),
      ...dialling.actions,
    ],
  };
}

/** K1, K8, K14: what a connection has left is read first; a reader that finds nothing begins a run. */
function read<C, R, W>(state: SessionState<C, R, W>, reader: R, around: Surroundings<C, R>): Step<C, R, W> {
  return state.phase === 'idle' && isAllRead(state, around)
    ? start(state, around)
    : startReading(state, reader, around);
}

/** K2: an attempt begins. An attempt that fails beforehand is published, and not made. */
function dial<C, R, W>(state: Common<C, R, W>, count: AttemptCount, failure?: SocketError): Step<C, R, W> {
  const { address, limits, watchers, readers, order } = state;
  const shown = { status: 'connecting', attempt: count.attempt, address } as const;
  const number = state.dials + 1;
  const publish = { do: 'publish', watchers, shown } as const;
  return {
    state: { phase: 'connecting', address, limits, watchers, readers, order, dials: number, count, shown },
    actions:
      failure === undefined
        ? [{ do: 'dial' }, publish]
        : [publish, { do: 'continue', event: { type: 'attemptFailed', dial: number, error: failure, isFinal: true } }],
  };
}

/** C2, K4, K14: there is a connection. What waits is sent first, and what earlier connections have left is read first. */
function connect<C, R, W>(state: Dialling<C, R, W>, connection: C, { unread }: Surroundings<C, R>): Step<C, R, W> {
  const { phase, readers, watchers, count } = state;
  const shown = { status: 'connected', attempt: count.attempt, connection } as const;
  const order = [...state.order, { connection, isLast: false }];
  const sending = { to: 'connection' } as const;
  return {
    state: { ...state, phase: 'connected', connection, order, sending, isLast: false, isConcluded: false, shown },
    actions: [
      { do: 'endAttempt' },
      ...(waitsForReaders(state.order, unread) ? [{ do: 'block', connection } as const] : []),
      // A connection that was prepared is open already.
      ...(phase === 'connecting' ? [{ do: 'open', connection } as const] : []),
      ...(state.order.length === 0 ? [{ do: 'attach', connection, readers } as const] : []),
      { do: 'adopt', connection },
      { do: 'publish', watchers, shown },
    ],
  };
}

/** C7, K4, K8: a connection takes no more values. They wait for the next one, if there is to be one. */
function finishSending<C, R, W>(
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

function closed<C, R, W>(
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

/** K4: where more was sent than may wait, another connection would not help. */
function endsClient(error: SocketError | undefined): boolean {
  return error?.code === 'ERR_OVERFLOW';
}

/** K3, K4: an attempt or a connection has ended. The client dials again, or ends. */
function lose<C, R, W>(
  state: Dialling<C, R, W> | Connected<C, R, W>,
  error: SocketError | undefined,
  uptime: number | undefined,
  retries: boolean,
  around: Surroundings<C, R>,
): Step<C, R, W> {
  const { address, limits, watchers, readers, order, dials, count } = state;
  const shown = lost(count, error);
  const next = retries && limits !== undefined ? nextAttempt(limits, count, uptime) : undefined;
  if (next === undefined) return end(state, error, around, shown);
  return {
    state: { phase: 'disconnected', address, limits, watchers, readers, order, dials, count, shown, next, error },
    actions: [
      { do: 'parkOutput' },
      { do: 'publish', watchers, shown },
      { do: 'continue', event: { type: 'announced', dial: dials } },
    ],
  };
}

function lost(count: AttemptCount, error: SocketError | undefined): Shown<never> & { status: 'disconnected' } {
  return { status: 'disconnected', attempt: count.attempt, ...(error === undefined ? {} : { error }) };
}

/** K4, K5: the readers leave a connection that has nothing more, and the wait begins. */
function startWaiting<C, R, W>(state: Waiting<C, R, W>, around: Surroundings<C, R>): Step<C, R, W> {
  const left = leaveEmpty(state, around);
  return {
    state: { ...left.state, phase: 'waiting' },
    actions: [...left.actions, { do: 'wait', retries: state.next.retries, error: state.error }],
  };
}

/**
 * K3, K8: the client ends. It has let go of all subscribers before it notifies the first one, so a subscription or a value
 * sent from within that notification begins a new run. A reader of a connection gets the end from that connection.
 */
function end<C, R, W>(
  state: Running<C, R, W>,
  error: SocketError | undefined,
  around: Surroundings<C, R>,
  last?: Shown<C>,
): Step<C, R, W> {
  const { watchers, order, readers } = state;
  const isConcluded = state.phase === 'connected' && state.isConcluded;
  const [source] = order;
  // Readers that wait for the connection after this one, or behind an earlier run, do not end with this run.
  const stranded =
    isConcluded || isBehind(order)
      ? []
      : readers.filter((reader) => source === undefined || !around.isAttached(source.connection, reader));
  const replaces = state.phase !== 'connected' || state.sending.to !== 'next run';
  return {
    state: {
      ...idle(state, state.phase === 'connected' && state.sending.to === 'next run' ? state.sending : toNextRun),
      watchers: [],
      readers: readers.filter((reader) => !stranded.includes(reader)),
      order: ended(order),
    },
    actions: [
      { do: 'ignoreSignal' },
      ...(replaces ? [{ do: 'renewOutput' } as const] : []),
      ...(state.phase === 'connected' ? [] : [{ do: 'abort' } as const]),
      ...(replaces ? [{ do: 'failReplacedOutput', error: error ?? 'ended' } as const] : []),
      { do: 'endReaders', readers: stranded, error },
      { do: 'endWatchers', watchers, error, last },
      ...(isConcluded ? [{ do: 'continue', event: { type: 'subscribersEnded' } } as const] : []),
    ],
  };
}

/** K1, K7: where nobody is left, an attempt is aborted and a connection closed gracefully. */
function leave<C, R, W>(state: SessionState<C, R, W>): Step<C, R, W> {
  if (state.phase === 'idle' || isWanted(state)) return unchanged(state);
  if (state.phase === 'connected') {
    const { connection, sending } = state;
    const order = ended(state.order.filter((source) => source.connection !== connection));
    return {
      state: { ...idle(state, sending.to === 'next run' ? sending : toNextRun), order },
      actions: [
        { do: 'ignoreSignal' },
        ...(sending.to === 'next run' ? [] : [{ do: 'renewOutput' } as const]),
        { do: 'close', connection },
        ...(sending.to === 'next connection' ? [{ do: 'failReplacedOutput', error: 'left' } as const] : []),
      ],
    };
  }
  return {
    state: { ...idle(state, toNextRun), order: ended(state.order) },
    actions: [
      { do: 'ignoreSignal' },
      { do: 'renewOutput' },
      { do: 'abort' },
      { do: 'failReplacedOutput', error: 'left' },
    ],
  };
}

/** C7, K8: a reader has come to the end of a connection that nothing follows. The sending side may go on. */
function conclude<C, R, W>(
  state: SessionState<C, R, W>,
  error: SocketError | undefined,
  around: Surroundings<C, R>,
): Step<C, R, W> {
  if (state.phase !== 'connected' || state.order[0]?.connection !== state.connection) {
    return then(readOnIfDone(state, around), leave);
  }
  const { connection, sending } = state;
  // What waits for another connection waits in vain.
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
      ...(renews ? [{ do: 'renewOutput' } as const] : []),
      ...(isLeft ? [{ do: 'ignoreSignal' } as const] : []),
      ...(isInVain ? [{ do: 'failReplacedOutput', error: error ?? 'ended' } as const] : []),
    ],
  };
}

/** C8, K3, K7, K10: this side fails the client. */
function giveUp<C, R, W>(state: SessionState<C, R, W>, error: SocketError, around: Surroundings<C, R>): Step<C, R, W> {
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
          state: { ...state, isLast: true },
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

/** C8, K8: the user ends the client. It stays closed until its connection is gone, or its readers know. */
function destroy<C, R, W>(
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
  const next = { ...state, isLast: true, isConcluded: false };
  if (sending.to === 'connection') return { state: next, actions: [destroyed] };
  return {
    state: { ...next, sending: toNextRun },
    actions: [{ do: 'renewOutput' }, { do: 'failReplacedOutput', error }, destroyed],
  };
}

function idle<C, R, W>(state: Common<C, R, W>, sending: Idle<C, R, W>['sending']): Idle<C, R, W> {
  const { address, limits, watchers, readers, order, dials } = state;
  return { phase: 'idle', address, limits, watchers, readers, order, dials, sending };
}

function isDialling<C, R, W>(state: SessionState<C, R, W>): state is Dialling<C, R, W> {
  return state.phase === 'connecting' || state.phase === 'preparing';
}

function isOf(state: { readonly dials: number }, event: { readonly dial: number }): boolean {
  return state.dials === event.dial;
}

function isWanted<C, R, W>({ watchers, readers }: SessionState<C, R, W>): boolean {
  return watchers.length + readers.length > 0;
}

function renewed<C, R, W>(state: SessionState<C, R, W>): Step<C, R, W> {
  return { state, actions: [{ do: 'renewOutput' }] };
}

function show<C, R, W>(state: Running<C, R, W>): Step<C, R, W> {
  return { state, actions: [{ do: 'publish', watchers: state.watchers, shown: state.shown }] };
}
