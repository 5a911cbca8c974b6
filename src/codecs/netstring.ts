import type { Codec, Decoder, Encoder } from './codec.js';
import type { ByteSink } from '../bytes/byte-sink.js';
import type { ByteQueue } from '../bytes/byte-queue.js';
import { SocketError } from '../errors/socket-error.js';
import { awaitFrame } from '../bytes/chunk-queue.js';
import { checkOptions, withDefault } from '../validation/checks.js';
import { messageLength, messageSize } from './message-size.js';

/**
 * Sets how long {@link netstring} messages may be.
 *
 * @example
 * ```ts
 * const options: NetstringOptions = { maxLength: 4_096 };
 * ```
 * @see rule D3
 */
export interface NetstringOptions {
  /**
   * The most bytes of one message, without its header and comma: 1 to 2,147,483,647 (D3).
   *
   * @defaultValue 1_048_576
   * @unit bytes
   */
  readonly maxLength?: number | undefined;
}

/**
 * Frames binary messages as netstrings: the length in decimal digits, a colon, the bytes, and a comma.
 *
 * Only the one form of each length is taken: digits without leading zeros, and `'0:,'` for an empty message. Reading is
 * equivalent to:
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
 * A message that arrived in one piece is a view of the received chunk: keeping it keeps the chunk.
 *
 * @param options - `maxLength` (bytes, 1 to 2,147,483,647; 1,048,576)
 * @returns a codec that gives Buffers and takes bytes, which must not be changed after they are sent (C19), or text,
 * which is sent as UTF-8
 * @emits on its channel one Buffer a message, as soon as its comma is there (D1)
 * @throws `ERR_OPTION_INVALID`, at once. Decoding: `ERR_FRAME_TOO_LONG` as soon as the digits tell more than `maxLength`,
 * before anything is allocated (D3), and `ERR_FRAME_INVALID` at the first byte that no netstring has there. Encoding,
 * with nothing written (D5): `ERR_FRAME_TOO_LONG`, and `ERR_FRAME_INVALID` for what is neither bytes nor text, or text
 * with a lone surrogate
 * @backpressure an unfinished message waits in the queue: at most its header, `maxLength` bytes and the chunk in hand
 * @teardown each message is taken off the stream when it is given, so another view goes on right after it (C13)
 * @example
 * ```ts
 * const client = connect('unix:/run/scgi.sock', { codec: netstring() });
 * client.data.next('hello'); // 5:hello,
 * ```
 * @see https://cr.yp.to/proto/netstrings.txt and rules D1 to D5
 */
export function netstring(options?: NetstringOptions): Codec<Buffer, Uint8Array | string> {
  const { maxLength } = checkOptions({ maxLength: withDefault(messageLength, 1_048_576) }, options);
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
    // From the left, and no byte more than needed, so that the first byte that is wrong decides, however they come. The
    // header is short, since a length over the maximum ends it: to read it again at each chunk is linear still.
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes.at(at);
      if (byte === colon && at > 0) return this.take(bytes, at + 1, size);
      if (byte < zero || byte >= colon) throw malformed('its length must be decimal digits and a colon');
      if (at > 0 && size === 0) throw malformed('its length must have no leading zero');
      size = 10 * size + byte - zero;
      if (size > this.maxLength) throw tooLong(size, this.maxLength);
    }
    return undefined;
  }

  private take(bytes: ByteQueue, header: number, size: number): Buffer | undefined {
    if (bytes.length <= header + size) {
      awaitFrame(bytes, header + size + 1);
      return undefined;
    }
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
    if (size > this.maxLength) throw tooLong(size, this.maxLength);
    if (typeof value === 'string') into.text(`${size}:${value},`, 'utf8');
    else {
      into.text(`${size}:`, 'utf8');
      into.bytes(value);
      into.uint(comma, 1, 'big');
    }
  }
}

function malformed(why: string): SocketError {
  return new SocketError('ERR_FRAME_INVALID', `a message is no netstring: ${why}`);
}

function tooLong(size: number, maxLength: number): SocketError {
  return new SocketError(
    'ERR_FRAME_TOO_LONG',
    `a message of ${size} bytes or more is longer than maxLength, ${maxLength}`,
  );
}
