/**
 * Channels as the streams of Node and of the web, and such streams as Channels.
 *
 * @module rxjs-sockets/interop
 */
export { fromNodeStream } from './from-node-stream.js';
export type { SocketStream } from './socket-stream.js';
export { toNodeStream } from './to-node-stream.js';
