/**
 * Codecs: how messages lie in a stream of bytes.
 *
 * @module rxjs-sockets/codecs
 */
export type { ByteQueue, ByteSink, Codec, Decoder, Encoder } from '../codec.js';
export { type LengthPrefixedOptions, lengthPrefixed } from './length-prefixed.js';
export { type LinesOptions, lines } from './lines.js';
