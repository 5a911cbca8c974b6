import type { Address } from './address.js';
import type { Connection } from './connection.js';
import type { SocketError } from './errors.js';

export type ConnectionState<In = Buffer, Out = Uint8Array | string> =
  | { readonly status: 'connecting'; readonly attempt: number; readonly address: Address }
  | { readonly status: 'connected'; readonly attempt: number; readonly connection: Connection<In, Out> }
  | { readonly status: 'disconnected'; readonly attempt: number; readonly error?: SocketError }
  | { readonly status: 'waiting'; readonly attempt: number; readonly delay: number; readonly error?: SocketError };
