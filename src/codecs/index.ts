/**
 * Codecs, which define how messages are laid out in a stream of bytes.
 *
 * @module rxjs-sockets/codecs
 */
export type { Codec, Decoder, Encoder } from './codec.js';
export type { ByteSink } from '../bytes/byte-sink.js';
export type { ByteQueue } from '../bytes/byte-queue.js';
export { delimited, type DelimitedOptions } from './delimited.js';
export { fixedLength } from './fixed-length.js';
export { jsonLines, type JsonLinesOptions } from './json-lines.js';
export { type LengthPrefixedOptions, lengthPrefixed } from './length-prefixed.js';
export { type LinesOptions, lines } from './lines.js';
export { mapCodec } from './map-codec.js';
export { netstring, type NetstringOptions } from './netstring.js';
export { text } from './text.js';
