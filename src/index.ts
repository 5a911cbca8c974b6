/**
 * Reactive sockets on RxJS: servers, clients and connections as Observables, with backpressure down to the kernel.
 *
 * @module rxjs-sockets
 */
export { type Address, type AddressInput, formatAddress, parseAddress } from './address.js';
export { backoff, type Backoff, type BackoffOptions } from './backoff.js';
export { Broadcast } from './broadcast.js';
export { Channel } from './channel.js';
export { Client, connect } from './client.js';
export type { ConnectionState } from './client-state.js';
export type { Closed, Connection, ConnectionStats } from './connection.js';
export { type LibraryErrorCode, SocketError, type SocketErrorCode, type SystemErrorCode } from './errors.js';
export { Flow } from './flow.js';
export type { Hold } from './hold.js';
export { Turn } from './io/turn.js';
export { concatMapPaced } from './operators/concat-map-paced.js';
export { mergeMapPaced } from './operators/merge-map-paced.js';
export { relay } from './operators/relay.js';
export { sendTo } from './operators/send-to.js';
export { serve, type ServeOptions } from './operators/serve.js';
export type { ConnectionOptions, ConnectOptions, ListenOptions, ShutdownOptions } from './options.js';
export {
  requests,
  type Requests,
  type RequestsById,
  type RequestsByIdOptions,
  type RequestsInOrder,
  type RequestsOptions,
} from './requests/requests.js';
export { listen, Server } from './server.js';
export type { ClientTls, ServerTls, ServerTlsOptions, StartTlsOptions, TlsInfo } from './transport/tls.js';
export type {
  Dial,
  DialEvents,
  DialOptions,
  Listener,
  ListenerEvents,
  ListenerOptions,
  SocketEvents,
  SocketOptions,
  Transport,
  TransportSocket,
} from './transport/transport.js';
