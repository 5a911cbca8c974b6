import type { Address } from '../address/address.js';
import type { SocketError } from '../errors/socket-error.js';
import type { AttemptCount, RetryLimits } from '../reconnect/retry-count.js';
import type { ReadOrder, UnreadOf } from './read-order.js';

/**
 * The states of a client, for `reduce` in `session-reducer.ts`. A connection (`C`), a reader of `data` (`R`) and a watcher
 * of the states (`W`) are only names here.
 *
 * A run is what happens between the first subscription and the end of the client. A client may have many (K8).
 */
export type SessionState<C, R, W> = Idle<C, R, W> | Running<C, R, W>;

/** What every state has. */
export interface Common<C, R, W> {
  readonly address: Address;
  /** What the policy allows; without `reconnect` there is no retry. */
  readonly limits: RetryLimits | undefined;
  readonly watchers: readonly W[];
  readonly readers: readonly R[];
  /** What the readers read, one connection after the other. */
  readonly order: ReadOrder<C>;
  /** How many attempts the client has made, in all its runs. */
  readonly dials: number;
}

/** What is sent waits for the next run, which ends at once where `failure` is set. */
export interface ToNextRun {
  readonly to: 'next run';
  readonly failure?: SocketError;
}

export interface Idle<C, R, W> extends Common<C, R, W> {
  readonly phase: 'idle';
  /** The connection of the last run may go on sending after its readers have ended, until somebody dials anew (C7). */
  readonly sending: ToNextRun | { readonly to: 'connection'; readonly connection: C; readonly isConcluded: boolean };
}

/** What every state of a run has. */
interface Run<C, R, W> extends Common<C, R, W> {
  /** What was published last: new watchers get it first. */
  readonly shown: Shown<C>;
  readonly count: AttemptCount;
}

export type Dialling<C, R, W> = Run<C, R, W> & { readonly phase: 'connecting' | 'preparing' };

export type Connected<C, R, W> = Run<C, R, W> & {
  readonly phase: 'connected';
  readonly connection: C;
  /** Where the values go that are given to `data`. */
  readonly sending: { readonly to: 'connection' | 'next connection' } | ToNextRun;
  /** Whether this side has ended the client, so that nothing follows the connection. */
  readonly isLast: boolean;
  /** Whether its readers were given its end. A reader that comes later waits for the next connection (K8). */
  readonly isConcluded: boolean;
};

/** `disconnected` while that is published, then `waiting`. */
export type Waiting<C, R, W> = Run<C, R, W> & {
  readonly phase: 'disconnected' | 'waiting';
  readonly next: AttemptCount;
  readonly error: SocketError | undefined;
};

export type Running<C, R, W> = Dialling<C, R, W> | Connected<C, R, W> | Waiting<C, R, W>;

/** A state as watchers see it. */
export type Shown<C> =
  | { readonly status: 'connecting'; readonly attempt: number; readonly address: Address }
  | { readonly status: 'connected'; readonly attempt: number; readonly connection: C }
  | { readonly status: 'disconnected'; readonly attempt: number; readonly error?: SocketError }
  | { readonly status: 'waiting'; readonly attempt: number; readonly delay: number; readonly error?: SocketError };

/** What a decision depends on beside the state, as it is when the event happens. */
export interface Surroundings<C, R> {
  readonly unread: UnreadOf<C>;
  /** Whether the reader will get the end of the connection from the connection. */
  isAttached(connection: C, reader: R): boolean;
  /** Whether `data` takes no values any more. */
  readonly isCompleted: boolean;
  /** Whether something given to `data` still waits to be sent. */
  readonly hasWaiting: boolean;
  /** What a run ends with whose signal is aborted already. */
  readonly aborted: SocketError | undefined;
}

/** The state of a client that nobody has subscribed to. */
export function initialState<C, R, W>(address: Address, limits: RetryLimits | undefined): SessionState<C, R, W> {
  return { phase: 'idle', address, limits, watchers: [], readers: [], order: [], dials: 0, sending: toNextRun };
}

/** The connection of the attempt under way. */
export function connectionOf<C, R, W>(state: SessionState<C, R, W>): C | undefined {
  return state.phase === 'connected' ? state.connection : undefined;
}

/** The connection that ends when this side ends the client. */
export function connectionToEnd<C, R, W>(state: SessionState<C, R, W>): C | undefined {
  if (state.phase === 'idle') return state.sending.to === 'connection' ? state.sending.connection : undefined;
  return connectionOf(state);
}

/** Whether another connection is to follow this one, as far as one can know while it is there (K4, K15). */
export function isFollowed<C, R, W>(
  state: SessionState<C, R, W>,
  connection: C,
  { isCompleted, hasWaiting }: Surroundings<C, R>,
): boolean {
  if (state.phase !== 'connected' || state.connection !== connection) return false;
  if (state.limits === undefined || state.isLast || state.sending.to === 'next run') return false;
  return state.sending.to === 'next connection' || !isCompleted || hasWaiting;
}

/** Whether the readers go on to another connection when the one that they read has ended (K4). */
export function readsOn<C, R, W>(state: SessionState<C, R, W>, around: Surroundings<C, R>): boolean {
  const [source] = state.order;
  if (source === undefined || source.isLast) return false;
  return source.connection !== connectionOf(state) || isFollowed(state, source.connection, around);
}

export const toNextRun: ToNextRun = { to: 'next run' };

/** All but `one`. */
export function without<T>(all: readonly T[], one: T): readonly T[] {
  return all.filter((other) => other !== one);
}
