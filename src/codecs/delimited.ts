import type { Codec, Decoder, Encoder } from './codec.js';
import type { ByteSink } from '../bytes/byte-sink.js';
import type { ByteQueue } from '../bytes/byte-queue.js';
import { SocketError } from '../errors/socket-error.js';
import { checkExactOptions, invalidOption, withDefault } from '../validation/checks.js';
import { messageLength, messageSize, tooLong } from './message-checks.js';
import { decodeUtf8, isWellFormed } from '../bytes/utf8.js';

/**
 * Limits the size of {@link delimited} messages.
 *
 * @example
 * ```ts
 * const options: DelimitedOptions = { maxLength: 4_096 };
 * ```
 */
export interface DelimitedOptions {
  /**
   * The maximum size of a message, without its delimiter: 1 to 2,147,483,647.
   *
   * @defaultValue 65_536
   * @unit bytes
   */
  readonly maxLength?: number | undefined;
}

interface DelimitedRules {
  readonly delimiter: Buffer;
  /** The delimiter to search for. The search is faster if a single byte is given as a number. */
  readonly needle: number | Buffer;
  /** The delimiter as a string, if it is valid UTF-8. */
  readonly text: string | undefined;
  /** Whether a delimiter can begin inside another delimiter, as with `'aa'`. */
  readonly overlaps: boolean;
  readonly maxLength: number;
}

/**
 * Frames binary messages with a delimiter after each message. A message ends at the first occurrence of the delimiter.
 *
 * Reading is equivalent to this code, except that the codec notices earlier that a message is too long:
 *
 * ```ts
 * function decode(queue: ByteQueue): Buffer | undefined {
 *   const end = queue.indexOf(delimiter);
 *   if ((end === -1 ? queue.length - delimiter.length : end) > maxLength) {
 *     throw new SocketError('ERR_FRAME_TOO_LONG', 'a long message');
 *   }
 *   return end === -1 ? undefined : queue.take(end + delimiter.length).subarray(0, end);
 * }
 * ```
 *
 * A received message may be a view, which keeps its entire chunk in memory. So copy a message that you store. You can
 * send a string, which is encoded as UTF-8, or bytes. Do not change sent bytes.
 *
 * Decoding fails with `ERR_FRAME_TOO_LONG` as soon as a message is certain to exceed `maxLength`, and with
 * `ERR_FRAME_TRUNCATED` if the stream ends before the delimiter of a message. Encoding fails with `ERR_FRAME_TOO_LONG`
 * for a message over `maxLength`. Encoding fails with `ERR_FRAME_INVALID` for:
 *
 * - a message that contains the delimiter;
 * - a message such as `'xa'` with the delimiter `'aa'`: the first delimiter in `'xaaa'` begins inside the message;
 * - a value that is neither bytes nor a string, or a string with a lone surrogate.
 *
 * @param delimiter - 1 to 255 bytes, which are copied, or a string, which is encoded as UTF-8
 * @param options - `maxLength` (1 to 2,147,483,647 bytes; default 65,536)
 * @returns a codec that receives Buffers
 * @throws `ERR_OPTION_INVALID` for a bad delimiter, and for a bad or unknown option
 * @example
 * ```ts
 * const client = connect('unix:/run/app.sock', { codec: delimited('\0') });
 * client.data.subscribe((field) => console.log(field.toString()));
 * ```
 * @see rules D1 to D5
 */
export function delimited(
  delimiter: string | Uint8Array,
  options?: DelimitedOptions,
): Codec<Buffer, Uint8Array | string> {
  const bytes = delimiterOption(delimiter);
  const { maxLength } = checkExactOptions('delimited', { maxLength: withDefault(messageLength, 65_536) }, options);
  const rules: DelimitedRules = {
    delimiter: bytes,
    needle: bytes.length === 1 ? bytes[0]! : bytes,
    text: decodeUtf8(bytes),
    overlaps: overlapsItself(bytes),
    maxLength,
  };
  return { decoder: () => new DelimitedDecoder(rules), encoder: () => new DelimitedEncoder(rules) };
}

/**
 * The maximum size of a delimiter, in bytes. With each new chunk, up to this number of earlier bytes is searched again.
 */
const maxDelimiter = 255;

function delimiterOption(value: string | Uint8Array): Buffer {
  const isText = typeof value === 'string' && isWellFormed(value);
  const bytes = isText || value instanceof Uint8Array ? Buffer.from(value as string) : undefined;
  if (bytes !== undefined && bytes.length >= 1 && bytes.length <= maxDelimiter) return bytes;
  throw invalidOption('delimiter', `a string or a Uint8Array of 1 to ${maxDelimiter} bytes`, value);
}

function overlapsItself(bytes: Buffer): boolean {
  for (let shift = 1; shift < bytes.length; shift++) {
    if (bytes.subarray(shift).equals(bytes.subarray(0, bytes.length - shift))) return true;
  }
  return false;
}

class DelimitedDecoder implements Decoder<Buffer> {
  private readonly delimiter: Buffer;
  private readonly needle: number | Buffer;
  private readonly maxLength: number;
  /** In the bytes that have arrived, no delimiter begins before this stream offset. */
  private searched = 0;

  constructor({ delimiter, needle, maxLength }: DelimitedRules) {
    this.delimiter = delimiter;
    this.needle = needle;
    this.maxLength = maxLength;
  }

  decode(bytes: ByteQueue): Buffer | undefined {
    const end = bytes.indexOf(this.needle, Math.max(0, this.searched - bytes.position));
    if (end === -1) {
      this.wait(bytes);
      return undefined;
    }
    if (end > this.maxLength) throw tooLong('a message', this.maxLength);
    const message = bytes.take(end);
    bytes.skip(this.delimiter.length);
    return message;
  }

  /**
   * Records the earliest offset at which the next delimiter may begin. Throws if a message that ends at that offset
   * would exceed `maxLength`.
   */
  private wait(bytes: ByteQueue): void {
    const { length, position } = bytes;
    let start = Math.max(0, this.searched - position, length - this.delimiter.length + 1);
    if (length > this.maxLength) while (!this.mayBegin(bytes, start)) start++;
    if (start > this.maxLength) throw tooLong('a message', this.maxLength);
    this.searched = position + start;
  }

  /** Returns whether the bytes from `start` on are the beginning of the delimiter. */
  private mayBegin(bytes: ByteQueue, start: number): boolean {
    for (let at = start; at < bytes.length; at++) if (bytes.at(at) !== this.delimiter[at - start]) return false;
    return true;
  }
}

class DelimitedEncoder implements Encoder<Uint8Array | string> {
  private readonly rules: DelimitedRules;

  constructor(rules: DelimitedRules) {
    this.rules = rules;
  }

  encode(value: Uint8Array | string, into: ByteSink): void {
    const { delimiter, needle, text, maxLength } = this.rules;
    if (messageSize(value) > maxLength) throw tooLong('a message', maxLength);
    if (typeof value === 'string' && text !== undefined) {
      if (value.includes(text) || this.beginsInText(value, text)) throw endsEarly();
      into.text(value + text, 'utf8');
    } else {
      const message = typeof value === 'string' ? Buffer.from(value) : viewOf(value);
      if (message.includes(needle) || this.beginsInBytes(message, delimiter)) throw endsEarly();
      into.bytes(message);
      into.bytes(delimiter);
    }
  }

  /** Returns whether the peer would find a delimiter that begins inside `message` and ends after it. */
  private beginsInText(message: string, delimiter: string): boolean {
    if (!this.rules.overlaps) return false;
    const tail = message.slice(1 - delimiter.length);
    return (tail + delimiter).indexOf(delimiter) < tail.length;
  }

  private beginsInBytes(message: Buffer, delimiter: Buffer): boolean {
    if (!this.rules.overlaps) return false;
    const tail = message.subarray(1 - delimiter.length);
    return Buffer.concat([tail, delimiter]).indexOf(delimiter) < tail.length;
  }
}

function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function endsEarly(): SocketError {
  return new SocketError(
    'ERR_FRAME_INVALID',
    'a message must not contain its delimiter, or make it begin before the end of the message',
  );
}
