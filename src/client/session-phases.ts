import type { Address } from '../address/address.js';
import type { SocketError } from '../errors/socket-error.js';
import type { AttemptCount, RetryLimits } from '../reconnect/retry-count.js';
import type { ConnectionState } from './connection-state.js';
import type { ConnectionsToRead, LeftoverOf } from './connections-to-read.js';

/**
 * The state of a client, for `reduce` in `session-reducer.ts`. The reducer only compares connections (`C`), readers of
 * `data` (`R`) and watchers of the published states (`W`); it never calls them.
 *
 * A run lasts from the first subscription to the end of the client. A client may have many runs, one after another (K8).
 */
export type SessionState<C, R, W> = Idle<C, R, W> | Running<C, R, W>;

/** The fields of every state. */
export interface EveryState<C, R, W> {
  readonly address: Address;
  /** How many retries the policy allows, and when the count restarts; undefined without `reconnect`. */
  readonly limits: RetryLimits | undefined;
  readonly watchers: readonly W[];
  readonly readers: readonly R[];
  readonly toRead: ConnectionsToRead<C>;
  /** The number of attempts in all runs. It identifies the current attempt. */
  readonly dials: number;
}

/** Values are queued for the next run. If `failure` is set, that run fails with it at once. */
export interface ToNextRun {
  readonly to: 'next run';
  readonly failure?: SocketError;
}

export interface Idle<C, R, W> extends EveryState<C, R, W> {
  readonly phase: 'idle';
  /**
   * The connection of the last run may continue to send after its readers have ended, until the client dials again
   * (C7). After `destroy`, `isConcluded` is false, so no value is queued for the next run before the connection has
   * closed (K8).
   */
  readonly sending: ToNextRun | { readonly to: 'connection'; readonly connection: C; readonly isConcluded: boolean };
}

/** The fields of every state within a run. */
interface Run<C, R, W> extends EveryState<C, R, W> {
  /** The last published state. A new watcher gets it first. */
  readonly shown: Shown<C>;
  readonly count: AttemptCount;
}

export type Dialling<C, R, W> = Run<C, R, W> & { readonly phase: 'connecting' | 'preparing' };

export type Connected<C, R, W> = Run<C, R, W> & {
  readonly phase: 'connected';
  readonly connection: C;
  /** Where the values sent on `data` go. */
  readonly sending: { readonly to: 'connection' | 'next connection' } | ToNextRun;
  /** Whether this side has failed or destroyed the client, so that no connection follows. */
  readonly isEnding: boolean;
  /**
   * Whether the readers have been notified of the end of the connection. If so, a reader that subscribes later waits
   * for the next connection (K8).
   */
  readonly isConcluded: boolean;
};

/** The phase is `disconnected` until the watchers have been notified of that state, and `waiting` afterwards. */
export type Waiting<C, R, W> = Run<C, R, W> & {
  readonly phase: 'disconnected' | 'waiting';
  readonly next: AttemptCount;
  readonly error: SocketError | undefined;
};

export type Running<C, R, W> = Dialling<C, R, W> | Connected<C, R, W> | Waiting<C, R, W>;

/** A state as it is published to watchers: a `ConnectionState` with any kind of connection. */
export type Shown<C> =
  | Exclude<ConnectionState, { status: 'connected' }>
  | (Omit<Extract<ConnectionState, { status: 'connected' }>, 'connection'> & { readonly connection: C });

/** External facts that a transition depends on. They are looked up while the event is handled. */
export interface Surroundings<C, R> {
  readonly leftover: LeftoverOf<C>;
  /** Whether the connection itself will notify the reader of its end. */
  isAttached(connection: C, reader: R): boolean;
  /** Whether the sending side of `data` has ended. */
  readonly isCompleted: boolean;
  /** Whether values passed to `data` are still unsent. */
  readonly hasQueued: boolean;
  /** The error that ends a new run at once, if the client's signal is already aborted. */
  readonly aborted: SocketError | undefined;
}

/** The state of a new client. */
export function initialState<C, R, W>(address: Address, limits: RetryLimits | undefined): SessionState<C, R, W> {
  return { phase: 'idle', address, limits, watchers: [], readers: [], toRead: [], dials: 0, sending: toNextRun };
}

/** Returns the client's connection, if it is connected. */
export function connectionOf<C, R, W>(state: SessionState<C, R, W>): C | undefined {
  return state.phase === 'connected' ? state.connection : undefined;
}

/**
 * Returns the connection that has to end when this side ends the client. The readers of that connection may have ended,
 * so that it only sends.
 */
export function connectionToEnd<C, R, W>(state: SessionState<C, R, W>): C | undefined {
  if (state.phase === 'idle') return state.sending.to === 'connection' ? state.sending.connection : undefined;
  return connectionOf(state);
}

/** Whether the client will dial again after this connection, as far as can be known while it is open (K4, K15). */
export function isFollowed<C, R, W>(
  state: SessionState<C, R, W>,
  connection: C,
  { isCompleted, hasQueued }: Surroundings<C, R>,
): boolean {
  if (state.phase !== 'connected' || state.connection !== connection) return false;
  if (state.limits === undefined || state.isEnding || state.sending.to === 'next run') return false;
  return state.sending.to === 'next connection' || !isCompleted || hasQueued;
}

/** Whether the readers continue with the next connection when they have read the current one to its end (K4). */
export function readsOn<C, R, W>(state: SessionState<C, R, W>, around: Surroundings<C, R>): boolean {
  const [source] = state.toRead;
  if (source === undefined || source.endsRun) return false;
  return source.connection !== connectionOf(state) || isFollowed(state, source.connection, around);
}

export const toNextRun: ToNextRun = { to: 'next run' };
