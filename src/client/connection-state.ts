import type { Address } from '../address/address.js';
import type { Connection } from '../connection/connection.js';
import type { SocketError } from '../errors/socket-error.js';

/**
 * Describes the state of a client. An attempt starts as `connecting`, becomes `connected` unless it fails, and ends as
 * `disconnected`. With `reconnect`, `waiting` and the next attempt follow.
 *
 * - `connecting`: the client dials `address`.
 * - `connected`: `connection` is the client's connection.
 * - `disconnected`: the attempt or the connection has ended. `error` is the reason, and is absent after a clean end.
 * - `waiting`: the client dials again in `delay` ms. `delay` is NaN if the policy has a `delay` function that `backoff`
 *   did not make. `error` is the same as in the preceding `disconnected`.
 *
 * `attempt` counts from 1, and restarts at 1 after a stable connection. In `waiting`, `attempt` is the number of the
 * attempt that has ended.
 *
 * @typeParam In - the values that the connection receives
 * @typeParam Out - the values that the connection sends
 * @example
 * ```ts
 * const shown = (state: ConnectionState): string =>
 *   state.status === 'connected' ? `connected to ${formatAddress(state.connection.remote)}` : state.status;
 * ```
 * @see rule K2
 */
export type ConnectionState<In = Buffer, Out = Uint8Array | string> =
  | { readonly status: 'connecting'; readonly attempt: number; readonly address: Address }
  | { readonly status: 'connected'; readonly attempt: number; readonly connection: Connection<In, Out> }
  | { readonly status: 'disconnected'; readonly attempt: number; readonly error?: SocketError }
  | { readonly status: 'waiting'; readonly attempt: number; readonly delay: number; readonly error?: SocketError };
