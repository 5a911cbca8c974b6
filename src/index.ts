/**
 * Reactive sockets on RxJS: servers, clients and connections as Observables, with backpressure down to the kernel.
 *
 * @module rxjs-sockets
 */
export { parseAddress } from './address-parsing/parse-address.js';
export { formatAddress } from './address/format-address.js';
export type { Address, AddressInput } from './address/address.js';
export { backoff, type Backoff, type BackoffOptions } from './reconnect/backoff.js';
export { Broadcast } from './server/broadcast.js';
export { Channel } from './channel/channel.js';
export { Client } from './client/client.js';
export { connect } from './client/connect.js';
export type { ConnectionState } from './client/connection-state.js';
export type { Closed, Connection, ConnectionStats } from './connection/connection.js';
export {
  type LibraryErrorCode,
  SocketError,
  type SocketErrorCode,
  type SystemErrorCode,
} from './errors/socket-error.js';
export { Flow } from './flow/flow.js';
export type { Hold } from './flow/hold.js';
export { FlushScheduler } from './scheduling/flush-scheduler.js';
export { concatMapPaced } from './flow/concat-map-paced.js';
export { mergeMapPaced } from './flow/merge-map-paced.js';
export { relay } from './channel/relay.js';
export { sendTo } from './channel/send-to.js';
export { serve, type ServeOptions } from './server/serve.js';
export type { ShutdownOptions } from './options/shutdown-options.js';
export type { ConnectionOptions } from './options/connection-options.js';
export type { ConnectOptions } from './options/connect-options.js';
export type { ListenOptions } from './options/listen-options.js';
export {
  requests,
  type Requests,
  type RequestsById,
  type RequestsByIdOptions,
  type RequestsInOrder,
  type RequestsOptions,
} from './requests/requests.js';
export { listen } from './server/listen.js';
export { Server } from './server/server.js';
export { nodeTransport, type NodeTransportOptions } from './transport/node/node-transport.js';
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
  StreamCutOff,
  Transport,
  TransportSocket,
} from './transport/transport.js';
