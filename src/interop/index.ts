/**
 * Node's streams in place of channels: for drivers and servers that take a `net.Socket`.
 *
 * @module rxjs-sockets/interop
 */
export type { SocketStream } from './socket-stream.js';
export { toNodeStream } from './to-node-stream.js';
