import type { Codec, Decoder, Encoder } from './codec.js';
import type { ByteSink } from '../bytes/byte-sink.js';
import type { ByteQueue } from '../bytes/byte-queue.js';
import { hasFrame } from '../bytes/chunk-queue.js';
import { SocketError } from '../errors/socket-error.js';
import { checkExactOptions, withDefault } from '../validation/checks.js';
import { messageLength, messageSize, tooLong } from './message-checks.js';

/**
 * Limits the size of {@link netstring} messages.
 *
 * @example
 * ```ts
 * const options: NetstringOptions = { maxLength: 4_096 };
 * ```
 */
export interface NetstringOptions {
  /**
   * The maximum size of a message, without its header and comma: 1 to 2,147,483,647.
   *
   * @defaultValue 1_048_576
   * @unit bytes
   */
  readonly maxLength?: number | undefined;
}

/**
 * Frames binary messages as netstrings: the length in decimal digits, a colon, the bytes, and a comma.
 *
 * A length with leading zeros is refused; an empty message is `'0:,'`. Reading is equivalent to:
 *
 * ```ts
 * function decode(queue: ByteQueue): Buffer | undefined {
 *   const [, digits = '', colon] = /^(0|[1-9][0-9]*|)(:?)/.exec(queue.peek(queue.length).toString('latin1')) ?? [];
 *   const length = Number(digits);
 *   const end = digits.length + 1 + length;
 *   if (length > maxLength) throw new SocketError('ERR_FRAME_TOO_LONG', `a message of ${length} bytes or more`);
 *   if (colon === '' ? digits.length < queue.length : digits === '' || (end < queue.length && queue.at(end) !== 0x2c)) {
 *     throw new SocketError('ERR_FRAME_INVALID', 'no netstring');
 *   }
 *   if (colon === '' || queue.length <= end) return undefined;
 *   return queue.take(end + 1).subarray(digits.length + 1, end);
 * }
 * ```
 *
 * A received message may be a view, which keeps its entire chunk in memory. So copy a message that you store. You can
 * send a string, which is encoded as UTF-8, or bytes. Do not change sent bytes.
 *
 * Decoding fails with `ERR_FRAME_TOO_LONG` as soon as the length read so far exceeds `maxLength`, before memory is
 * allocated. Decoding fails with `ERR_FRAME_INVALID` at the first wrong byte. Encoding fails with:
 *
 * - `ERR_FRAME_TOO_LONG` for a message over `maxLength`;
 * - `ERR_FRAME_INVALID` for a value that is neither bytes nor a string, or a string with a lone surrogate.
 *
 * @param options - `maxLength` (1 to 2,147,483,647 bytes; default 1,048,576)
 * @returns a codec that receives Buffers
 * @throws `ERR_OPTION_INVALID` for a bad or unknown option
 * @example
 * ```ts
 * const client = connect('unix:/run/scgi.sock', { codec: netstring() });
 * client.data.next('hello'); // 5:hello,
 * ```
 * @see https://cr.yp.to/proto/netstrings.txt
 */
export function netstring(options?: NetstringOptions): Codec<Buffer, Uint8Array | string> {
  const { maxLength } = checkExactOptions('netstring', { maxLength: withDefault(messageLength, 1_048_576) }, options);
  return { decoder: () => new NetstringDecoder(maxLength), encoder: () => new NetstringEncoder(maxLength) };
}

const comma = 0x2c;
const zero = 0x30;
const colon = 0x3a;

class NetstringDecoder implements Decoder<Buffer> {
  private readonly maxLength: number;

  constructor(maxLength: number) {
    this.maxLength = maxLength;
  }

  decode(bytes: ByteQueue): Buffer | undefined {
    let size = 0;
    // The first wrong byte determines the error, however the bytes are split into chunks. With each chunk, the header
    // is read again from its first byte. Reading it again costs little: the header is short, because a length over the
    // maximum is refused at once.
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes.at(at);
      if (byte === colon && at > 0) return this.take(bytes, at + 1, size);
      if (byte < zero || byte >= colon) throw malformed('its length must be decimal digits, followed by a colon');
      if (at > 0 && size === 0) throw malformed('its length must have no leading zero');
      size = 10 * size + byte - zero;
      if (size > this.maxLength) throw tooLong(`a message of ${size} bytes or more`, this.maxLength);
    }
    return undefined;
  }

  private take(bytes: ByteQueue, header: number, size: number): Buffer | undefined {
    if (!hasFrame(bytes, header + size + 1)) return undefined;
    if (bytes.at(header + size) !== comma) throw malformed('a comma must follow its bytes');
    bytes.skip(header);
    const message = bytes.take(size);
    bytes.skip(1);
    return message;
  }
}

class NetstringEncoder implements Encoder<Uint8Array | string> {
  private readonly maxLength: number;

  constructor(maxLength: number) {
    this.maxLength = maxLength;
  }

  encode(value: Uint8Array | string, into: ByteSink): void {
    const size = messageSize(value);
    if (size > this.maxLength) throw tooLong(`a message of ${size} bytes`, this.maxLength);
    if (typeof value === 'string') into.text(`${size}:${value},`, 'utf8');
    else {
      into.text(`${size}:`, 'utf8');
      into.bytes(value);
      into.uint(comma, 1, 'big');
    }
  }
}

function malformed(why: string): SocketError {
  return new SocketError('ERR_FRAME_INVALID', `a message is not a netstring: ${why}`);
}
