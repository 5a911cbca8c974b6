/**
 * Adapters between Channels and the streams of Node and the web, in both directions.
 *
 * @module rxjs-sockets/interop
 */
export { fromNodeStream } from './from-streams/from-node-stream.js';
export { fromWebStreams, type WebStreams } from './from-streams/from-web-streams.js';
export type { SocketStream } from './to-streams/socket-stream.js';
export { toNodeStream } from './to-streams/to-node-stream.js';
export { toWebStreams } from './to-streams/to-web-streams.js';
