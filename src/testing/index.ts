/**
 * What tests of programs on sockets need: sockets in memory, and checks for codecs.
 *
 * @module rxjs-sockets/testing
 */
export { memoryTransport } from './memory-transport.js';
export { verifyCodec, type VerifyCodecOptions } from './verify-codec.js';
