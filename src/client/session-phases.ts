import type { Address } from '../address/address.js';
import type { SocketError } from '../errors/socket-error.js';
import type { AttemptCount, RetryLimits } from '../reconnect/retry-count.js';
import type { ConnectionState } from './connection-state.js';
import type { ConnectionsToRead, LeftoverOf } from './connections-to-read.js';

/**
 * The state of a client, for `reduce` in `session-reducer.ts`. `C` is a connection, `R` is a reader of `data`, and `W`
 * is a watcher of the published states. The reducer only compares values of these three types.
 *
 * A run begins when a subscriber makes the client dial, and lasts until the client ends. A later subscription begins
 * the next run (K8).
 */
export type SessionState<C, R, W> = Idle<C, R, W> | Running<C, R, W>;

export interface EveryState<C, R, W> {
  readonly address: Address;
  /** The limits of the option `reconnect`; undefined without that option. */
  readonly limits: RetryLimits | undefined;
  readonly watchers: readonly W[];
  readonly readers: readonly R[];
  readonly toRead: ConnectionsToRead<C>;
  /** How many attempts there have been so far, in all runs. This number identifies the current attempt. */
  readonly dials: number;
}

/** Values are queued for the next run. If `failure` is set, the next run fails at once with this error. */
export interface ToNextRun {
  readonly to: 'next run';
  readonly failure?: SocketError;
}

export interface Idle<C, R, W> extends EveryState<C, R, W> {
  readonly phase: 'idle';
  /**
   * The destination of the values sent on `data`. The last run's connection can still send after its readers have been
   * notified of the end (C7). If `isConcluded` is true, values are queued for the next run as soon as that connection
   * is about to end its sending side. `destroy` sets `isConcluded` to false, so that no value is queued for the next
   * run before the connection has closed (K8).
   */
  readonly sending: ToNextRun | { readonly to: 'connection'; readonly connection: C; readonly isConcluded: boolean };
}

interface Run<C, R, W> extends EveryState<C, R, W> {
  /** The last published state. A new watcher first gets this state. */
  readonly shown: Shown<C>;
  readonly count: AttemptCount;
}

export type Dialling<C, R, W> = Run<C, R, W> & { readonly phase: 'connecting' | 'preparing' };

export type Connected<C, R, W> = Run<C, R, W> & {
  readonly phase: 'connected';
  readonly connection: C;
  /** The destination of the values sent on `data`. */
  readonly sending: { readonly to: 'connection' | 'next connection' } | ToNextRun;
  /** Whether this side has failed or destroyed the client. If so, the client opens no other connection in this run. */
  readonly isEnding: boolean;
  /**
   * Whether the readers have been notified of the end of the connection. If so, a reader that subscribes later waits
   * for the next connection (K8).
   */
  readonly isConcluded: boolean;
};

/**
 * The phase is `disconnected` until all watchers have got the state `disconnected`. After that, the phase is `waiting`.
 */
export type Waiting<C, R, W> = Run<C, R, W> & {
  readonly phase: 'disconnected' | 'waiting';
  readonly next: AttemptCount;
  readonly error: SocketError | undefined;
};

export type Running<C, R, W> = Dialling<C, R, W> | Connected<C, R, W> | Waiting<C, R, W>;

/** A published state: a `ConnectionState` with a connection of the type `C`. */
export type Shown<C> =
  | Exclude<ConnectionState, { status: 'connected' }>
  | (Omit<Extract<ConnectionState, { status: 'connected' }>, 'connection'> & { readonly connection: C });

/** External facts that a transition depends on. */
export interface Surroundings<C, R> {
  readonly leftover: LeftoverOf<C>;
  /** Whether `reader` is attached to `connection`. If so, the connection itself notifies the reader of the end. */
  isAttached(connection: C, reader: R): boolean;
  /** Whether the sending side of `data` has ended. */
  readonly isCompleted: boolean;
  /** Whether values passed to `data` are still unsent. */
  readonly hasQueued: boolean;
  /** The error with which a new run fails at once if the client's signal is already aborted; otherwise undefined. */
  readonly aborted: SocketError | undefined;
}

export function initialState<C, R, W>(address: Address, limits: RetryLimits | undefined): SessionState<C, R, W> {
  return { phase: 'idle', address, limits, watchers: [], readers: [], toRead: [], dials: 0, sending: toNextRun };
}

export function connectionOf<C, R, W>(state: SessionState<C, R, W>): C | undefined {
  return state.phase === 'connected' ? state.connection : undefined;
}

/**
 * Returns the connection that has to end when this side ends the client. An idle client has such a connection if the
 * last run's connection still sends.
 */
export function connectionToEnd<C, R, W>(state: SessionState<C, R, W>): C | undefined {
  if (state.phase === 'idle') return state.sending.to === 'connection' ? state.sending.connection : undefined;
  return connectionOf(state);
}

/** Whether the client is expected to dial again when `connection` ends (K4, K15). */
export function isFollowed<C, R, W>(
  state: SessionState<C, R, W>,
  connection: C,
  { isCompleted, hasQueued }: Surroundings<C, R>,
): boolean {
  if (state.phase !== 'connected' || state.connection !== connection) return false;
  if (state.limits === undefined || state.isEnding || state.sending.to === 'next run') return false;
  return state.sending.to === 'next connection' || !isCompleted || hasQueued;
}

/** Whether the readers continue with the next connection when they have read their connection to its end (K4). */
export function readsOn<C, R, W>(state: SessionState<C, R, W>, around: Surroundings<C, R>): boolean {
  const [source] = state.toRead;
  if (source === undefined || source.endsRun) return false;
  return source.connection !== connectionOf(state) || isFollowed(state, source.connection, around);
}

export const toNextRun: ToNextRun = { to: 'next run' };
