import type { Address } from './address.js';
import type { Connection } from './connection.js';
import type { SocketError } from './errors.js';

/**
 * Tells how a client stands. The states of one run are `connecting`, then `connected`, unless that failed, then
 * `disconnected` (K2).
 *
 * - `connecting`: it dials `address`.
 * - `connected`: `connection` is the connection that it has now.
 * - `disconnected`: the run is over; `error` is what ended it, absent after a clean end.
 *
 * `attempt` counts how often it has dialled, from 1.
 *
 * @typeParam In - what its connection receives
 * @typeParam Out - what it sends
 * @emits none
 * @throws none
 * @backpressure none
 * @teardown none
 * @example
 * ```ts
 * const shown = (state: ConnectionState): string =>
 *   state.status === 'connected' ? `connected to ${formatAddress(state.connection.remote)}` : state.status;
 * ```
 * @see rules K2 and K3
 */
export type ConnectionState<In = Buffer, Out = Uint8Array | string> =
  | { readonly status: 'connecting'; readonly attempt: number; readonly address: Address }
  | { readonly status: 'connected'; readonly attempt: number; readonly connection: Connection<In, Out> }
  | { readonly status: 'disconnected'; readonly attempt: number; readonly error?: SocketError }
  | { readonly status: 'waiting'; readonly attempt: number; readonly delay: number; readonly error?: SocketError };
