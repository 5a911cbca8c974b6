import type { Codec, Decoder, Encoder } from './codec.js';
import type { ByteSink } from '../bytes/byte-sink.js';
import type { ByteQueue } from '../bytes/byte-queue.js';
import { SocketError } from '../errors/socket-error.js';
import { awaitFrame } from '../bytes/chunk-queue.js';
import { checkOptions, oneOf, withDefault } from '../validation/checks.js';
import { messageLength, messageSize } from './message-size.js';

/**
 * Sets how {@link lengthPrefixed} messages are laid out and how long they may be.
 *
 * @example
 * ```ts
 * const options: LengthPrefixedOptions = { bytes: 2, endian: 'little', maxLength: 4_096 };
 * ```
 * @see rule D3
 */
export interface LengthPrefixedOptions {
  /**
   * How many bytes the length has.
   *
   * @defaultValue 4
   * @unit bytes
   */
  readonly bytes?: 1 | 2 | 4 | undefined;
  /**
   * Which end of the length comes first; the network's order is `'big'`.
   *
   * @defaultValue 'big'
   */
  readonly endian?: 'big' | 'little' | undefined;
  /**
   * The most bytes of one message, without its header: 1 to 2,147,483,647, and never more than the header can tell (D3).
   *
   * @defaultValue 1_048_576
   * @unit bytes
   */
  readonly maxLength?: number | undefined;
}

const checks = {
  bytes: withDefault(oneOf(4, 2, 1), 4),
  endian: withDefault(oneOf('big', 'little'), 'big'),
  maxLength: withDefault(messageLength, 1_048_576),
};

interface PrefixRules {
  readonly header: 1 | 2 | 4;
  readonly endian: 'big' | 'little';
  readonly maxLength: number;
}

/**
 * Frames binary messages by a length, an unsigned integer, ahead of each; an empty message is a length of 0.
 *
 * Reading is equivalent to:
 *
 * ```ts
 * function decode(queue: ByteQueue): Buffer | undefined {
 *   if (queue.length < header) return undefined;
 *   const length = queue.uint(0, header, endian);
 *   if (length > maxLength) throw new SocketError('ERR_FRAME_TOO_LONG', `a message of ${length} bytes`);
 *   if (queue.length < header + length) return undefined;
 *   return queue.take(header + length).subarray(header);
 * }
 * ```
 *
 * A message that arrived in one piece is a view of the received chunk: keeping it keeps the chunk.
 *
 * @param options - `bytes` (of the length: 1, 2 or 4; 4), `endian` (`'big'`), `maxLength` (bytes, 1 to 2,147,483,647;
 * 1,048,576, and never more than the header can tell)
 * @returns a codec that gives Buffers and takes bytes, which must not be changed after they are sent (C19), or text,
 * which is sent as UTF-8
 * @emits on its channel one Buffer a message, as soon as its last byte is there (D1)
 * @throws `ERR_OPTION_INVALID`, at once. Decoding: `ERR_FRAME_TOO_LONG` as soon as a header tells more than
 * `maxLength`, before anything is allocated (D3). Encoding, with nothing written (D5): `ERR_FRAME_TOO_LONG`, and
 * `ERR_FRAME_INVALID` for what is neither bytes nor text, or text with a lone surrogate
 * @backpressure an unfinished message waits in the queue: at most its header, `maxLength` bytes and the chunk in hand
 * @teardown each message is taken off the stream when it is given, so another view goes on right after it (C13)
 * @example
 * ```ts
 * const client = connect('unix:/run/store.sock', { codec: lengthPrefixed({ bytes: 2, endian: 'little' }) });
 * client.data.next(Uint8Array.of(1, 2, 3)); // 03 00 01 02 03
 * ```
 * @see rules D1 to D5
 */
export function lengthPrefixed(options?: LengthPrefixedOptions): Codec<Buffer, Uint8Array | string> {
  const { bytes, endian, maxLength } = checkOptions(checks, options);
  const rules: PrefixRules = { header: bytes, endian, maxLength: Math.min(maxLength, 2 ** (8 * bytes) - 1) };
  return { decoder: () => new PrefixDecoder(rules), encoder: () => new PrefixEncoder(rules) };
}

class PrefixDecoder implements Decoder<Buffer> {
  private readonly header: 1 | 2 | 4;
  private readonly endian: 'big' | 'little';
  private readonly maxLength: number;

  constructor({ header, endian, maxLength }: PrefixRules) {
    this.header = header;
    this.endian = endian;
    this.maxLength = maxLength;
  }

  decode(bytes: ByteQueue): Buffer | undefined {
    const { header } = this;
    const available = bytes.length - header;
    if (available < 0) return undefined;
    const size = bytes.uint(0, header, this.endian);
    if (size > this.maxLength) throw tooLong(size, this.maxLength);
    if (available < size) {
      awaitFrame(bytes, header + size);
      return undefined;
    }
    bytes.skip(header);
    return bytes.take(size);
  }
}

class PrefixEncoder implements Encoder<Uint8Array | string> {
  private readonly rules: PrefixRules;

  constructor(rules: PrefixRules) {
    this.rules = rules;
  }

  encode(value: Uint8Array | string, into: ByteSink): void {
    const { header, endian, maxLength } = this.rules;
    const size = messageSize(value);
    if (size > maxLength) throw tooLong(size, maxLength);
    into.uint(size, header, endian);
    if (typeof value === 'string') into.text(value, 'utf8');
    else into.bytes(value);
  }
}

function tooLong(size: number, maxLength: number): SocketError {
  return new SocketError('ERR_FRAME_TOO_LONG', `a message of ${size} bytes is longer than maxLength, ${maxLength}`);
}
