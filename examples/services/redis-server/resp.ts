/**
 * RESP, version 2: the encoding of a Redis server's values.
 *
 *     +OK\r\n                          a simple string, for people
 *     -ERR syntax error\r\n            an error
 *     :42\r\n                          an integer of 64 bits
 *     $5\r\nhello\r\n                  a bulk string: the count of the bytes, then any bytes
 *     $-1\r\n                          nothing
 *     *2\r\n:1\r\n$2\r\nhi\r\n         an array of values
 *
 * See https://redis.io/docs/latest/develop/reference/protocol-spec/
 */
import { isUtf8 } from 'node:buffer';
import { SocketError } from 'rxjs-sockets';
import type { ByteQueue, ByteSink, Codec, Decoder } from 'rxjs-sockets/codecs';

/** One value. `null` stands for nothing. An integer is a bigint only if a JavaScript number would not be exact. */
export type Value = string | ErrorReply | number | bigint | Buffer | null | readonly Value[];

/** An error that the server reports to a client. The message begins with the kind of error, usually `ERR`. */
export class ErrorReply extends Error {
  override readonly name = 'ErrorReply';
}

export interface Limits {
  readonly maxLength: number;
  readonly maxValues: number;
  readonly maxDepth: number;
}

const maxLine = 65_536; // bytes of a simple string or an error
const maxNumber = 20; // characters of an integer or a length
const crlf = Buffer.from('\r\n');
const type = { simple: 0x2b, error: 0x2d, integer: 0x3a, bulk: 0x24, array: 0x2a } as const;

// #region codec
/** A codec that encodes and decodes values, as a client of a Redis server needs. */
export function resp(limits: Limits): Codec<Value> {
  return {
    decoder: () => new ValueDecoder(limits),
    encoder: () => ({ encode: (value, into) => encodeValue(value, into, limits) }),
  };
}
// #endregion

// #region encode
/**
 * Appends the encoding of `value` to `into`. Throws if a receiver could not decode the encoding, or would decode the
 * encoding to a different value.
 */
export function encodeValue(value: Value, into: ByteSink, limits: Limits): void {
  let values = 0;
  let length = 0;
  const count = (bytes: number): void => {
    values++;
    length += bytes;
    if (length > limits.maxLength) throw tooLong(`a message of more than ${limits.maxLength} bytes`);
    if (values > limits.maxValues) throw tooLong(`a message of more than ${limits.maxValues} values`);
  };
  const line = (text: string): void => {
    const size = Buffer.byteLength(text);
    if (size - 1 > maxLine) throw tooLong(`a line of ${size - 1} bytes`);
    count(size + 2);
    into.text(`${text}\r\n`, 'utf8');
  };
  const encode = (value: Value, depth: number): void => {
    if (value === null) line('$-1');
    else if (typeof value === 'string') line(`+${wordOf(value)}`);
    else if (value instanceof ErrorReply) line(`-${wordOf(value.message)}`);
    else if (typeof value === 'number' || typeof value === 'bigint') line(`:${integerOf(value)}`);
    else if (Buffer.isBuffer(value)) {
      count(`$${value.length}\r\n\r\n`.length + value.length);
      into.text(`$${value.length}\r\n`, 'latin1');
      into.bytes(value);
      into.text('\r\n', 'latin1');
    } else {
      if (depth === limits.maxDepth) throw tooLong(`more than ${limits.maxDepth} arrays within each other`);
      line(`*${value.length}`);
      for (const item of value) encode(item, depth + 1);
    }
  };
  encode(value, 0);
}

function wordOf(text: string): string {
  if (/[\r\n\p{Surrogate}]/u.test(text)) throw invalid('a line end, or half a character, in a line');
  return text;
}

function integerOf(value: number | bigint): string {
  const isExact = typeof value === 'number' ? Number.isSafeInteger(value) : BigInt.asIntN(64, value) === value;
  if (!isExact) throw invalid(`${value} is not an integer of 64 bits`);
  return BigInt(value).toString(); // never -0
}
// #endregion

// #region decode
/**
 * Decodes one value at a time, and takes a value off the queue only when the value has arrived completely. The decoder
 * remembers which bytes it has inspected, so a value that arrives in a thousand pieces costs no more than a value that
 * arrives in one piece.
 */
export class ValueDecoder implements Decoder<Value> {
  private readonly limits: Limits;
  /** Whether an array may contain only bulk strings, as in requests. */
  private readonly isFlat: boolean;
  /** The position in the stream at which the current value begins. */
  private start = -1;
  /**
   * The number of inspected bytes of the current value. When the length of a bulk string is known, the bytes of that
   * string count as inspected, even before they arrive.
   */
  private seen = 0;
  /** No line ends between `seen` and this offset. */
  private searched = 0;
  /**
   * How many values were not inspected yet: in the message, in the outer array of the message, and so on to the
   * innermost array.
   */
  private missing: number[] = [];
  private values = 0;

  constructor(limits: Limits, isFlat = false) {
    this.limits = limits;
    this.isFlat = isFlat;
  }

  decode(bytes: ByteQueue): Value | undefined {
    if (bytes.position !== this.start) this.begin(bytes.position);
    while (this.missing.length > 0) if (!this.lookAhead(bytes)) return undefined;
    if (bytes.length < this.seen) return undefined;
    return readValue(bytes.take(this.seen));
  }

  private begin(position: number): void {
    this.start = position;
    this.seen = this.searched = this.values = 0;
    this.missing = [1];
  }

  /** Inspects the first line of the next value. Returns false if that line is incomplete. */
  private lookAhead(bytes: ByteQueue): boolean {
    if (bytes.length <= this.seen) return false;
    const kind = bytes.at(this.seen);
    const depth = this.missing.length - 1;
    if (this.isFlat && depth > 0 && kind !== type.bulk) throw invalid(`expected '$', got '${shown(kind)}'`);
    const end = this.lineEnd(bytes, kind);
    if (end === undefined) return false;

    const first = this.seen + 1;
    this.seen = end + crlf.length;
    this.missing[depth]!--;
    if (kind === type.bulk) {
      const length = lengthIn(bytes, first, end);
      if (length === undefined || (length < 0 && this.isFlat)) throw invalid(reasonFor(kind));
      if (length >= 0) this.seen += length + crlf.length;
    } else if (kind === type.array) {
      const length = lengthIn(bytes, first, end);
      if (length === undefined) throw invalid(reasonFor(kind));
      if (length > 0) this.openArray(length, depth);
    } else if (kind === type.integer) {
      if (!/^[+-]?\d+$/.test(textIn(bytes, first, end))) throw invalid(reasonFor(kind));
    }
    this.values++;
    if (this.seen > this.limits.maxLength) throw tooLong('invalid bulk length');
    while (this.missing.at(-1) === 0) this.missing.pop();
    return true;
  }

  /**
   * Counts the values of an array before the values arrive, but allocates nothing for the values, because the announced
   * length of the array may be false.
   */
  private openArray(length: number, depth: number): void {
    const expected = this.missing.reduce((sum, count) => sum + count, this.values + 1 + length);
    if (expected > this.limits.maxValues) throw tooLong('invalid multibulk length');
    if (depth === this.limits.maxDepth) throw tooLong('too many arrays within each other');
    this.missing.push(length);
  }

  private lineEnd(bytes: ByteQueue, kind: number): number | undefined {
    const isWord = kind === type.simple || kind === type.error;
    if (!isWord && kind !== type.integer && kind !== type.bulk && kind !== type.array) {
      throw invalid(`unexpected '${shown(kind)}'`);
    }
    const last = this.seen + 1 + (isWord ? maxLine : maxNumber);
    const end = bytes.indexOf(crlf, Math.max(this.seen, this.searched));
    // The CR of the longest allowed line may have arrived without the LF.
    if (end > last || (end === -1 && bytes.length > last + 1)) {
      if (isWord) throw tooLong(`a line of more than ${maxLine} bytes`);
      throw invalid(reasonFor(kind));
    }
    if (end !== -1) return end;
    this.searched = bytes.length - 1;
    return undefined;
  }
}

/** Returns the error message that Redis sends for an invalid first line of a value. */
function reasonFor(kind: number): string {
  if (kind === type.integer) return 'invalid integer';
  return kind === type.bulk ? 'invalid bulk length' : 'invalid multibulk length';
}

/**
 * Parses a length. A length is at least 0, or it is -1, which stands for nothing. Returns undefined for any other text.
 */
function lengthIn(bytes: ByteQueue, start: number, end: number): number | undefined {
  const text = textIn(bytes, start, end);
  return /^(\d+|-1)$/.test(text) ? Number(text) : undefined;
}

function textIn(bytes: ByteQueue, start: number, end: number): string {
  let text = '';
  for (let at = start; at < end; at++) text += String.fromCharCode(bytes.at(at));
  return text;
}

function readValue(message: Buffer): Value {
  let at = 0;
  const line = (): Buffer => {
    const start = at + 1;
    const end = message.indexOf(crlf, start);
    at = end + crlf.length;
    return message.subarray(start, end);
  };
  const read = (): Value => {
    const kind = message[at];
    const text = line();
    if (kind === type.simple) return utf8(text);
    if (kind === type.error) return new ErrorReply(utf8(text));
    if (kind === type.integer) return exact(BigInt(text.toString('latin1').replace('+', '')));
    const length = Number(text.toString('latin1'));
    if (length < 0) return null;
    if (kind === type.array) return Array.from({ length }, read);
    const bytes = message.subarray(at, at + length);
    at += length + crlf.length;
    if (message[at - 2] !== crlf[0] || message[at - 1] !== crlf[1]) throw invalid('a bulk string without its end');
    return bytes;
  };
  return read();
}

function exact(value: bigint): number | bigint {
  if (BigInt.asIntN(64, value) !== value) throw invalid('invalid integer');
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function utf8(text: Buffer): string {
  if (!isUtf8(text)) throw invalid('a line that is not UTF-8');
  return text.toString();
}
// #endregion

export function invalid(why: string): SocketError {
  return new SocketError('ERR_FRAME_INVALID', why);
}

export function tooLong(why: string): SocketError {
  return new SocketError('ERR_FRAME_TOO_LONG', why);
}

function shown(byte: number): string {
  return byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
}
