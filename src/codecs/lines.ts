import type { Codec, Decoder, Encoder } from './codec.js';
import type { ByteSink } from '../bytes/byte-sink.js';
import type { ByteQueue } from '../bytes/byte-queue.js';
import { SocketError } from '../errors/socket-error.js';
import { describeValue } from '../errors/describe-value.js';
import { borrow, borrowHead } from '../bytes/chunk-queue.js';
import { messageLength, textFault, tooLong } from './message-checks.js';
import { checkExactOptions, type Checks, oneOf, withDefault } from '../validation/checks.js';
import { decodeUtf8 } from '../bytes/utf8.js';

/**
 * Configures how {@link lines} are written, and limits their size.
 *
 * @example
 * ```ts
 * const options: LinesOptions = { delimiter: '\r\n', encoding: 'latin1', maxLength: 512 };
 * ```
 */
export interface LinesOptions {
  /**
   * The ending that is written after each line. When reading, the codec accepts both endings.
   *
   * @defaultValue '\n'
   */
  readonly delimiter?: '\n' | '\r\n' | undefined;
  /**
   * The encoding of the text.
   *
   * @defaultValue 'utf8'
   */
  readonly encoding?: 'utf8' | 'latin1' | undefined;
  /**
   * The maximum size of a line, without its ending: 1 to 2,147,483,647.
   *
   * @defaultValue 65_536
   * @unit bytes
   */
  readonly maxLength?: number | undefined;
}

interface LinesRules {
  readonly delimiter: '\n' | '\r\n';
  readonly encoding: 'utf8' | 'latin1';
  readonly maxLength: number;
}

const checks: Checks<LinesRules> = {
  delimiter: withDefault(oneOf('\n', '\r\n'), '\n'),
  encoding: withDefault(oneOf('utf8', 'latin1'), 'utf8'),
  maxLength: withDefault(messageLength, 65_536),
};

/**
 * Frames text as lines. A message is a line without its ending. When reading, both `'\n'` and `'\r\n'` end a line.
 *
 * The last line of a stream needs no ending. A `'\r'` at the very end of the stream is part of the last line. A byte
 * order mark at the start of the stream is part of the first line. For lines of ASCII, reading is equivalent to:
 *
 * ```ts
 * function decode(bytes: ByteQueue): string | undefined {
 *   const end = bytes.indexOf(10);
 *   if ((end === -1 ? bytes.length : end) > maxLength) throw new SocketError('ERR_FRAME_TOO_LONG', 'a long line');
 *   if (end === -1) return undefined;
 *   return bytes.take(end + 1).toString(encoding).replace(/\r?\n$/, '');
 * }
 * ```
 *
 * Lines that are available together are decoded as one string, which is then split. In V8, a part of 13 characters or
 * more keeps the whole string alive. So a stored line of that length may keep up to 16 KiB of neighbouring lines in
 * memory.
 *
 * Decoding fails with `ERR_FRAME_TOO_LONG` as soon as a line is certain to exceed `maxLength`, and with
 * `ERR_FRAME_INVALID` for invalid UTF-8. Encoding fails with `ERR_FRAME_TOO_LONG` for a line over `maxLength`. Encoding
 * fails with `ERR_FRAME_INVALID` for:
 *
 * - a value that is not a string;
 * - a string that contains `'\n'`, or ends with `'\r'` if the delimiter is `'\n'`;
 * - a string with a lone surrogate or, with latin1, a character above 0xFF.
 *
 * @param options - `delimiter` (default `'\n'`), `encoding` (default `'utf8'`), `maxLength` (1 to 2,147,483,647 bytes;
 * default 65,536)
 * @returns a codec whose messages are strings
 * @throws `ERR_OPTION_INVALID` for a bad or unknown option
 * @example
 * ```ts
 * const server = listen('tcp://localhost:7000', { codec: lines({ maxLength: 1_024 }) });
 * server.subscribe(({ data }) => data.subscribe(data)); // an echo server
 * ```
 * @see rules D1 to D5
 */
export function lines(options?: LinesOptions): Codec<string> {
  const rules = checkExactOptions('lines', checks, options);
  return { decoder: () => new LinesDecoder(rules), encoder: () => new LinesEncoder(rules) };
}

const newline = 10;
const carriageReturn = 13;

/**
 * The minimum and maximum size of a block of lines, in bytes. The first block is small, because it is wasted if a
 * different view reads the next line.
 */
const minBlock = 1_024;
const maxBlock = 16_384;

/**
 * Decodes a block of complete lines to one string, and returns this string line by line. The bytes of a line leave the
 * queue when the line is returned. If the queue's `position` has changed between two calls of `decode`, a different
 * view has read from the queue, so the block is dropped.
 */
class LinesDecoder implements Decoder<string> {
  private readonly encoding: 'utf8' | 'latin1';
  private readonly maxLength: number;
  /** The decoded block: complete lines, each with its ending. */
  private text = '';
  /** The index in `text` at which the next line begins. */
  private cursor = 0;
  /** The stream offset at which the next line begins. */
  private position = 0;
  /** Whether each character of `text` is one byte. If not, the size of a line has to be found in the bytes. */
  private isSingleByte = true;
  /** Whether the block has invalid UTF-8. If so, each of its lines is checked. */
  private isInvalid = false;
  private blockSize = minBlock;
  /** The stream offset up to which the search has found no newline. */
  private scanned = 0;

  constructor({ encoding, maxLength }: LinesRules) {
    this.encoding = encoding;
    this.maxLength = maxLength;
  }

  decode(bytes: ByteQueue): string | undefined {
    const isDone = this.cursor === this.text.length || bytes.position !== this.position;
    if (isDone && !this.refill(bytes)) return undefined;
    const { text, cursor } = this;
    const end = text.indexOf('\n', cursor);
    const stop = text.charCodeAt(end - 1) === carriageReturn ? end - 1 : end;
    const size = this.isSingleByte ? end + 1 - cursor : bytes.indexOf(newline) + 1;
    if (size - (end + 1 - stop) > this.maxLength) throw tooLong('a line', this.maxLength);
    if (this.isInvalid && decodeUtf8(borrow(bytes, size)) === undefined) throw malformed();
    bytes.skip(size);
    this.position += size;
    this.cursor = end + 1;
    return text.slice(cursor, stop);
  }

  end(bytes: ByteQueue): string | undefined {
    const count = bytes.length;
    if (count === 0) return undefined;
    if (count > this.maxLength) throw tooLong('a line', this.maxLength);
    const line = this.decodeText(borrow(bytes, count));
    if (line === undefined) throw malformed();
    bytes.skip(count);
    return line;
  }

  /** Decodes the next block. Returns false if the queue has no complete line. */
  private refill(bytes: ByteQueue): boolean {
    const { position } = bytes;
    if (position !== this.position) this.blockSize = minBlock;
    this.position = position;
    this.text = '';
    this.cursor = 0;
    let scanned = Math.max(0, this.scanned - position);
    // If more than half of the queued bytes have not been searched yet, searching all queued bytes again still takes
    // linear time in total.
    if (bytes.length > 2 * scanned) {
      const head = borrowHead(bytes);
      const count = Math.min(head.length, this.blockSize);
      this.blockSize = Math.min(2 * this.blockSize, maxBlock);
      if (count > 2 * scanned) {
        const last = head[count - 1] === newline ? count - 1 : head.lastIndexOf(newline, count - 1);
        if (last !== -1) return this.setBlock(head, last + 1);
        scanned = count;
      }
    }
    const first = bytes.indexOf(newline, scanned);
    if (first === -1) return this.wait(bytes);
    if (first > this.maxLength + 1) throw tooLong('a line', this.maxLength);
    // The line is longer than a block, or spans several chunks. A few later lines are decoded together with this line.
    const block = borrow(bytes, Math.max(first + 1, Math.min(bytes.length, minBlock)));
    return this.setBlock(block, block.lastIndexOf(newline) + 1);
  }

  /** Makes a block of the lines in the first `count` bytes of `bytes`. */
  private setBlock(bytes: Buffer, count: number): true {
    const block = count === bytes.length ? bytes : bytes.subarray(0, count);
    const text = this.decodeText(block);
    // Lenient decoding changes no newline, so the lines before an invalid line are still found.
    this.text = text ?? block.toString('utf8');
    this.isInvalid = text === undefined;
    this.isSingleByte = this.text.length === count;
    return true;
  }

  /** Records that the queued bytes contain no newline. Throws if these bytes are too long for a line. */
  private wait(bytes: ByteQueue): false {
    const count = bytes.length;
    this.scanned = bytes.position + count;
    if (count <= this.maxLength) return false;
    // A '\r' at the end of the queue may be the first half of the line's ending.
    if (count === this.maxLength + 1 && bytes.at(count - 1) === carriageReturn) return false;
    throw tooLong('a line', this.maxLength);
  }

  private decodeText(bytes: Buffer): string | undefined {
    return this.encoding === 'latin1' ? bytes.toString('latin1') : decodeUtf8(bytes);
  }
}

class LinesEncoder implements Encoder<string> {
  private readonly delimiter: '\n' | '\r\n';
  private readonly encoding: 'utf8' | 'latin1';
  private readonly maxLength: number;

  constructor({ delimiter, encoding, maxLength }: LinesRules) {
    this.delimiter = delimiter;
    this.encoding = encoding;
    this.maxLength = maxLength;
  }

  encode(value: string, into: ByteSink): void {
    const fault = this.faultOf(value);
    if (fault !== undefined) throw new SocketError('ERR_FRAME_INVALID', `a line ${fault}`);
    const { encoding, maxLength } = this;
    if (value.length * 3 > maxLength && Buffer.byteLength(value, encoding) > maxLength)
      throw tooLong('a line', maxLength);
    into.text(value + this.delimiter, encoding);
  }

  /** If the peer would not receive exactly `value` as one line, returns the reason. */
  private faultOf(value: unknown): string | undefined {
    if (typeof value !== 'string') return `must be a string, got ${describeValue(value)}`;
    if (value.includes('\n')) return 'must not contain a line ending';
    if (this.delimiter === '\n' && value.charCodeAt(value.length - 1) === carriageReturn) {
      return "must not end with '\\r' if the delimiter is '\\n'";
    }
    return textFault(value, this.encoding);
  }
}

function malformed(): SocketError {
  return new SocketError('ERR_FRAME_INVALID', 'a line is not valid UTF-8');
}
