import type { Codec, Decoder, Encoder } from './codec.js';
import type { ByteSink } from '../bytes/byte-sink.js';
import type { ByteQueue } from '../bytes/byte-queue.js';
import { SocketError } from '../errors/socket-error.js';
import { checkOptions, invalidOption, withDefault } from '../validation/checks.js';
import { messageLength, messageSize } from './message-size.js';
import { decodeUtf8, isWellFormed } from '../bytes/utf8.js';

/**
 * Sets how long {@link delimited} messages may be.
 *
 * @example
 * ```ts
 * const options: DelimitedOptions = { maxLength: 4_096 };
 * ```
 * @see rule D3
 */
export interface DelimitedOptions {
  /**
   * The most bytes of one message, without its delimiter: 1 to 2,147,483,647 (D3).
   *
   * @defaultValue 65_536
   * @unit bytes
   */
  readonly maxLength?: number | undefined;
}

/** A delimiter, and what follows from it. */
interface DelimitedRules {
  readonly delimiter: Buffer;
  /** What to search for: one byte is found faster as a number. */
  readonly needle: number | Buffer;
  /** The delimiter as text, where it is valid UTF-8: only then it can be searched for in text. */
  readonly text: string | undefined;
  /** Whether it can begin before its own end, as `'aa'` does. */
  readonly overlaps: boolean;
  readonly maxLength: number;
}

/**
 * Frames binary messages by the bytes that follow each: a message ends where its delimiter begins for the first time.
 *
 * A delimiter may overlap itself, as `'aa'` or `'abab'` do: then a message is also refused for an end that would let the
 * delimiter begin earlier, such as `'xa'` before `'aa'`. Reading is equivalent to this, though it tells sooner that a
 * message is too long:
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
 * A message that arrived in one piece is a view of the received chunk: keeping it keeps the chunk.
 *
 * @param delimiter - 1 to 255 bytes, copied; a string stands for its UTF-8
 * @param options - `maxLength` (bytes, 1 to 2,147,483,647; 65,536)
 * @returns a codec that gives Buffers and takes bytes, which must not be changed after they are sent (C19), or text,
 * which is sent as UTF-8
 * @emits on its channel one Buffer a message, as soon as its delimiter is there (D1)
 * @throws `ERR_OPTION_INVALID`, at once. Decoding: `ERR_FRAME_TOO_LONG` as soon as a message is certain to be over
 * `maxLength`, after the messages before it (D3); the end of the stream before a delimiter is `ERR_FRAME_TRUNCATED` (D4).
 * Encoding, with nothing written (D5): `ERR_FRAME_TOO_LONG`, and `ERR_FRAME_INVALID` for what would end before its end,
 * for what is neither bytes nor text, or text with a lone surrogate
 * @backpressure an unfinished message waits in the queue: at most `maxLength` bytes, its delimiter and the chunk in hand
 * @teardown each message is taken off the stream when it is given, so another view goes on right after it (C13)
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
  const { maxLength } = checkOptions({ maxLength: withDefault(messageLength, 65_536) }, options);
  const rules: DelimitedRules = {
    delimiter: bytes,
    needle: bytes.length === 1 ? bytes[0]! : bytes,
    text: decodeUtf8(bytes),
    overlaps: overlapsItself(bytes),
    maxLength,
  };
  return { decoder: () => new DelimitedDecoder(rules), encoder: () => new DelimitedEncoder(rules) };
}

/** The longest delimiter, in bytes: the end of what waits is looked at again for its beginning at each chunk. */
const longest = 255;

function delimiterOption(value: string | Uint8Array): Buffer {
  const isText = typeof value === 'string' && isWellFormed(value);
  const bytes = isText || value instanceof Uint8Array ? Buffer.from(value as string) : undefined;
  if (bytes !== undefined && bytes.length >= 1 && bytes.length <= longest) return bytes;
  throw invalidOption('delimiter', `a string or a Uint8Array of 1 to ${longest} bytes`, value);
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
  /** Where in the stream the first delimiter is at the earliest. */
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
    if (end > this.maxLength) throw tooLong(this.maxLength);
    const message = bytes.take(end);
    bytes.skip(this.delimiter.length);
    return message;
  }

  /** Remembers where the delimiter may begin in what waits, or behind it, unless that is too late already. */
  private wait(bytes: ByteQueue): void {
    const { length, position } = bytes;
    let start = Math.max(0, this.searched - position, length - this.delimiter.length + 1);
    if (length > this.maxLength) while (!this.mayBegin(bytes, start)) start++;
    if (start > this.maxLength) throw tooLong(this.maxLength);
    this.searched = position + start;
  }

  /** Whether what waits from `start` on is the beginning of the delimiter. */
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
    if (messageSize(value) > maxLength) throw tooLong(maxLength);
    if (typeof value === 'string' && text !== undefined) {
      if (value.includes(text) || this.beginsInText(value, text)) throw endingEarly();
      into.text(value + text, 'utf8');
    } else {
      const message = typeof value === 'string' ? Buffer.from(value) : viewOf(value);
      if (message.includes(needle) || this.beginsInBytes(message, delimiter)) throw endingEarly();
      into.bytes(message);
      into.bytes(delimiter);
    }
  }

  /** Whether the delimiter, put after `message`, begins before the message's end. */
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

function endingEarly(): SocketError {
  return new SocketError('ERR_FRAME_INVALID', 'a message must not have its delimiter in it, nor begin one at its end');
}

function tooLong(maxLength: number): SocketError {
  return new SocketError('ERR_FRAME_TOO_LONG', `a message is longer than maxLength, ${maxLength} bytes`);
}
