import type { Codec, Decoder, Encoder } from './codec.js';
import type { ByteSink } from '../bytes/byte-sink.js';
import type { ByteQueue } from '../bytes/byte-queue.js';
import { hasFrame } from '../bytes/chunk-queue.js';
import { checkExactOptions, oneOf, withDefault } from '../validation/checks.js';
import { messageLength, messageSize, tooLong } from './message-checks.js';

/**
 * Configures the length field of {@link lengthPrefixed} messages, and limits their size.
 *
 * @example
 * ```ts
 * const options: LengthPrefixedOptions = { bytes: 2, endian: 'little', maxLength: 4_096 };
 * ```
 */
export interface LengthPrefixedOptions {
  /**
   * The size of the length field, in bytes.
   *
   * @defaultValue 4
   * @unit bytes
   */
  readonly bytes?: 1 | 2 | 4 | undefined;
  /**
   * The byte order of the length field. Network byte order is `'big'`.
   *
   * @defaultValue 'big'
   */
  readonly endian?: 'big' | 'little' | undefined;
  /**
   * The maximum size of a message, without its header: 1 to 2,147,483,647. If this size does not fit in the length
   * field, the maximum is the largest length that fits.
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
 * Frames binary messages with a length field before each message. The length is an unsigned integer.
 *
 * ```text
 * +---------------------+-------------------+
 * | length: `bytes`     | message:          |
 * | 1, 2 or 4 bytes     | `length` bytes    |
 * +---------------------+-------------------+
 * ```
 *
 * The length does not include the length field itself. For any other header, for example one that contains a message
 * type, write your own {@link Codec}.
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
 * A received message may be a view, which keeps its entire chunk in memory. So copy a message that you store. You can
 * send a string, which is encoded as UTF-8, or bytes. Do not change sent bytes.
 *
 * Decoding fails with `ERR_FRAME_TOO_LONG` as soon as a length exceeds `maxLength`, before memory is allocated.
 * Encoding fails with:
 *
 * - `ERR_FRAME_TOO_LONG` for a message over `maxLength`;
 * - `ERR_FRAME_INVALID` for a value that is neither bytes nor a string, or a string with a lone surrogate.
 *
 * @param options - `bytes` (size of the length field: 1, 2 or 4; default 4), `endian` (default `'big'`), `maxLength` (1
 * to 2,147,483,647 bytes; default 1,048,576)
 * @returns a codec that receives Buffers
 * @throws `ERR_OPTION_INVALID` for a bad or unknown option
 * @example
 * ```ts
 * const client = connect('unix:/run/store.sock', { codec: lengthPrefixed({ bytes: 2, endian: 'little' }) });
 * client.data.next(Uint8Array.of(1, 2, 3)); // 03 00 01 02 03
 * ```
 * @see rules D1 to D5
 */
export function lengthPrefixed(options?: LengthPrefixedOptions): Codec<Buffer, Uint8Array | string> {
  const { bytes, endian, maxLength } = checkExactOptions('lengthPrefixed', checks, options);
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
    if (bytes.length < header) return undefined;
    const size = bytes.uint(0, header, this.endian);
    if (size > this.maxLength) throw tooLong(`a message of ${size} bytes`, this.maxLength);
    if (!hasFrame(bytes, header + size)) return undefined;
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
    if (size > maxLength) throw tooLong(`a message of ${size} bytes`, maxLength);
    into.uint(size, header, endian);
    if (typeof value === 'string') into.text(value, 'utf8');
    else into.bytes(value);
  }
}
