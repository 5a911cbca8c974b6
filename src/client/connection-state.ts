import type { Address } from '../address/address.js';
import type { Connection } from '../connection/connection.js';
import type { SocketError } from '../errors/socket-error.js';

/**
 * Tells how a client stands. Each attempt is `connecting`, then `connected`, unless it failed, then `disconnected`; with
 * `reconnect`, `waiting` follows, and the next attempt (K2).
 *
 * - `connecting`: it dials `address`.
 * - `connected`: `connection` is the connection that it has now.
 * - `disconnected`: the connection, or the attempt, is over; `error` is what ended it, absent after a clean end.
 * - `waiting`: it dials again in `delay` ms, NaN where only the policy knows; `error` is that of `disconnected`.
 *
 * `attempt` counts how often it has dialled, from 1, and starts again after a stable connection; `waiting` has the number
 * of the attempt that ended.
 *
 * @typeParam In - what its connection receives
 * @typeParam Out - what it sends
 * @example
 * ```ts
 * const shown = (state: ConnectionState): string =>
 *   state.status === 'connected' ? `connected to ${formatAddress(state.connection.remote)}` : state.status;
 * ```
 * @see rules K2 to K5 and K10
 */
export type ConnectionState<In = Buffer, Out = Uint8Array | string> =
  | { readonly status: 'connecting'; readonly attempt: number; readonly address: Address }
  | { readonly status: 'connected'; readonly attempt: number; readonly connection: Connection<In, Out> }
  | { readonly status: 'disconnected'; readonly attempt: number; readonly error?: SocketError }
  | { readonly status: 'waiting'; readonly attempt: number; readonly delay: number; readonly error?: SocketError };
