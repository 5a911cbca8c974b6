import { isUtf8 } from 'node:buffer';
import type { Codec, Decoder, Encoder } from './codec.js';
import type { ByteSink } from '../bytes/byte-sink.js';
import { SocketError } from '../errors/socket-error.js';
import { describeValue } from '../errors/describe-value.js';
import { borrow } from '../bytes/chunk-queue.js';
import { textFault } from './message-checks.js';
import { oneOf, withDefault } from '../validation/checks.js';
import { decodeUtf8 } from '../bytes/utf8.js';

/**
 * Decodes and encodes text without frames. Each received message is the text that has arrived since the previous
 * message.
 *
 * The text of one call of `next` may arrive as several messages, and the text of several calls may arrive as one
 * message. No code point is split between two messages. A letter and its combining accent are two code points, which
 * may arrive in different messages. A byte order mark is kept. Reading is equivalent to:
 *
 * ```ts
 * const decoder = new TextDecoder(encoding, { fatal: true, ignoreBOM: true });
 * const decode = (queue: ByteQueue) => decoder.decode(queue.take(queue.length), { stream: true }) || undefined;
 * ```
 *
 * with three exceptions:
 *
 * - `'latin1'` decodes each byte to the code point with the same number. `TextDecoder` decodes some bytes to other code
 *   points.
 * - An unfinished character stays in the queue.
 * - If bytes are invalid, the text before them is emitted, and then decoding fails.
 *
 * Decoding fails with `ERR_FRAME_INVALID` for invalid UTF-8, and with `ERR_FRAME_TRUNCATED` if the stream ends inside a
 * character. Encoding fails with `ERR_FRAME_INVALID` for a value that is not a string, and for a string with a lone
 * surrogate or, with latin1, a character above 0xFF. An empty string sends nothing.
 *
 * A message consumes all bytes that have arrived, even bytes that the peer has sent in a different framing. So switch
 * to that framing (`framed`) only while the peer is waiting for this side to send.
 *
 * @param encoding - `'utf8'` (default) or `'latin1'`
 * @returns a codec whose messages are non-empty strings
 * @throws `ERR_OPTION_INVALID` for any other encoding
 * @example
 * ```ts
 * const client = connect('tcp://localhost:7000', { codec: text() });
 * client.data.subscribe((some) => process.stdout.write(some));
 * ```
 * @see rules D1 to D5
 */
export function text(encoding?: 'utf8' | 'latin1'): Codec<string> {
  const chosen = withDefault(oneOf('utf8', 'latin1'), 'utf8')('encoding', encoding);
  const decoder = chosen === 'utf8' ? utf8Decoder : latin1Decoder;
  return { decoder: () => decoder, encoder: () => new StringEncoder(chosen) };
}

const latin1Decoder: Decoder<string> = {
  decode(bytes) {
    const { length } = bytes;
    if (length === 0) return undefined;
    const text = borrow(bytes, length).toString('latin1');
    bytes.skip(length);
    return text;
  },
};

const utf8Decoder: Decoder<string> = {
  decode(bytes) {
    const complete = completePart(borrow(bytes, bytes.length));
    if (complete.length === 0) return undefined;
    const valid = isUtf8(complete) ? complete : validPart(complete);
    if (valid.length === 0) throw new SocketError('ERR_FRAME_INVALID', 'the text is not valid UTF-8');
    bytes.skip(valid.length);
    return decodeUtf8(valid);
  },
};

class StringEncoder implements Encoder<string> {
  private readonly encoding: 'utf8' | 'latin1';

  constructor(encoding: 'utf8' | 'latin1') {
    this.encoding = encoding;
  }

  encode(value: string, into: ByteSink): void {
    const fault =
      typeof value === 'string' ? textFault(value, this.encoding) : `must be a string, got ${describeValue(value)}`;
    if (fault !== undefined) throw new SocketError('ERR_FRAME_INVALID', `a message ${fault}`);
    into.text(value, this.encoding);
  }
}

/** Returns the number of bytes of an unfinished character at the end: 0 to 3. */
function unfinished(bytes: Buffer): number {
  const { length } = bytes;
  for (let count = 1; count <= 3 && count <= length; count++) {
    const lead = bytes[length - count]!;
    if ((lead & 0xc0) === 0x80) continue;
    if (sizeOf(lead) <= count) return 0;
    return count === 1 || follows(lead, bytes[length - count + 1]!) ? count : 0;
  }
  return 0;
}

/** Returns the size in bytes of a character that begins with `lead`, or 0 if no character begins with `lead`. */
function sizeOf(lead: number): number {
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/**
 * Returns whether the continuation byte `second` can follow the first byte `lead` in valid UTF-8. Overlong forms,
 * surrogates and characters above U+10FFFF are invalid.
 */
function follows(lead: number, second: number): boolean {
  switch (lead) {
    case 0xe0:
      return second >= 0xa0;
    case 0xed:
      return second < 0xa0;
    case 0xf0:
      return second >= 0x90;
    case 0xf4:
      return second < 0x90;
    default:
      return true;
  }
}

/**
 * Returns the characters before the first invalid byte. `bytes` must contain an invalid byte. The search is a bisection
 * with native code, which validates bytes many times faster than JavaScript.
 */
function validPart(bytes: Buffer): Buffer {
  let good = 0;
  let end = bytes.length - 1;
  while (good < end) {
    const middle = Math.ceil((good + end) / 2);
    if (isUtf8(completePart(bytes.subarray(0, middle)))) good = middle;
    else end = middle - 1;
  }
  return completePart(bytes.subarray(0, good));
}

/** Returns all bytes except those of an unfinished character at the end. */
function completePart(bytes: Buffer): Buffer {
  return bytes.subarray(0, bytes.length - unfinished(bytes));
}
