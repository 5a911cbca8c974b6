/**
 * Adapters between Channels and the streams of Node and the web, in both directions.
 *
 * @module rxjs-sockets/interop
 */
export { fromNodeStream } from './from-node-stream.js';
export { fromWebStreams, type WebStreams } from './from-web-streams.js';
export type { SocketStream } from './socket-stream.js';
export { toNodeStream } from './to-node-stream.js';
export { toWebStreams } from './to-web-streams.js';
