import { isUtf8 } from 'node:buffer';
import type { Codec, Decoder, Encoder } from './codec.js';
import type { ByteSink } from '../bytes/byte-sink.js';
import { SocketError } from '../errors/socket-error.js';
import { describeValue } from '../errors/describe-value.js';
import { borrow } from '../bytes/chunk-queue.js';
import { textFault } from './message-size.js';
import { oneOf, withDefault } from '../validation/checks.js';
import { decodeUtf8 } from '../bytes/utf8.js';

/**
 * Makes text of bytes without frames: a message is what has arrived, and a character is never split.
 *
 * What is sent together may arrive in several messages, and the other way round: only the text that they make together
 * is the same (D1). A character is a code point, so what one sees as a character may still be split, such as a letter and
 * a combining accent. A byte order mark stays. Reading is equivalent to:
 *
 * ```ts
 * const decoder = new TextDecoder(encoding, { fatal: true, ignoreBOM: true });
 * const decode = (queue: ByteQueue) => decoder.decode(queue.take(queue.length), { stream: true }) || undefined;
 * ```
 *
 * except that `'latin1'` means the characters 0 to 255, which it does not to `TextDecoder`, that an unfinished character
 * stays in the queue, and that the text before invalid bytes is given.
 *
 * @param encoding - how characters lie in bytes: `'utf8'` (default) or `'latin1'`
 * @returns a codec whose messages are strings, never empty ones; an empty string that is sent is nothing
 * @emits on its channel what has arrived, one string for all that waits
 * @throws `ERR_OPTION_INVALID`, at once. Decoding: `ERR_FRAME_INVALID` for invalid UTF-8, after all text before it (D3);
 * the end of the stream inside a character is `ERR_FRAME_TRUNCATED` (D4). Encoding, with nothing written (D5):
 * `ERR_FRAME_INVALID` for what is no string, a lone surrogate, or with latin1 a character over 0xFF
 * @backpressure an unfinished character waits in the queue: at most 3 bytes
 * @teardown since it takes all that is there, another view goes on right after a message only where the peer waits
 * (C13)
 * @example
 * ```ts
 * const client = connect('tcp://localhost:7000', { codec: text() });
 * client.data.subscribe((some) => process.stdout.write(some));
 * ```
 * @see https://datatracker.ietf.org/doc/html/rfc3629 and rules D1 to D5
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

/** All that it needs to remember stays in the queue. */
const utf8Decoder: Decoder<string> = {
  decode(bytes) {
    const whole = wholePart(borrow(bytes, bytes.length));
    if (whole.length === 0) return undefined;
    const valid = isUtf8(whole) ? whole : validPart(whole);
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
    if (fault !== undefined) throw new SocketError('ERR_FRAME_INVALID', `a text ${fault}`);
    into.text(value, this.encoding);
  }
}

/** How many bytes at the end are the beginning of a character that goes on: 0 to 3. */
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

/** How many bytes the character has that begins with `lead`; 0 where none does. */
function sizeOf(lead: number): number {
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/** Whether `second`, a continuation, may follow `lead`: no overlong form, no surrogate, nothing over U+10FFFF. */
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
 * The characters before the first byte that is wrong, given that one is. Bisects, since native code tells validity many
 * times faster than code that looks at each byte here.
 */
function validPart(bytes: Buffer): Buffer {
  let good = 0;
  let end = bytes.length - 1;
  while (good < end) {
    const middle = Math.ceil((good + end) / 2);
    if (isUtf8(wholePart(bytes.subarray(0, middle)))) good = middle;
    else end = middle - 1;
  }
  return wholePart(bytes.subarray(0, good));
}

/** All but a character at the end that goes on. */
function wholePart(bytes: Buffer): Buffer {
  return bytes.subarray(0, bytes.length - unfinished(bytes));
}
