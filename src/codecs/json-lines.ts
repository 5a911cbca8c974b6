import type { Codec, Decoder, Encoder } from './codec.js';
import type { ByteSink } from '../bytes/byte-sink.js';
import type { ByteQueue } from '../bytes/byte-queue.js';
import { SocketError } from '../errors/socket-error.js';
import { describeError, describeValue } from '../errors/describe-value.js';
import { checkExactOptions, withDefault } from '../validation/checks.js';
import { lines } from './lines.js';
import { messageLength } from './message-checks.js';

/**
 * Limits the size of the lines of {@link jsonLines}.
 *
 * @example
 * ```ts
 * const options: JsonLinesOptions = { maxLength: 1_048_576 };
 * ```
 */
export interface JsonLinesOptions {
  /**
   * The maximum size of a line, without its ending: 1 to 2,147,483,647.
   *
   * @defaultValue 65_536
   * @unit bytes
   */
  readonly maxLength?: number | undefined;
}

/**
 * Frames values as lines of JSON. Each line is one value, in UTF-8.
 *
 * A line ends with `'\n'` or `'\r\n'`. The last line also needs its ending, because a truncated line may still be valid
 * JSON, such as `12` instead of `123`. In both directions, the codec rejects:
 *
 * - an empty line;
 * - an object that has a member named `__proto__`, however the name is escaped, because code that copies this member by
 *   assignment sets a prototype;
 * - arrays and objects nested more than 1,000 levels deep, because recursive code could overflow the stack.
 *
 * For all other lines, reading is equivalent to:
 *
 * ```ts
 * function decode(queue: ByteQueue): In | undefined {
 *   const line = lineDecoder.decode(queue); // of lines({ maxLength })
 *   return line === undefined ? undefined : (JSON.parse(line) as In);
 * }
 * ```
 *
 * Values are written by `JSON.stringify`: a `Date` becomes a string, `NaN` becomes `null`, and a property that is
 * undefined or a function is omitted.
 *
 * Decoding fails with:
 *
 * - `ERR_FRAME_TOO_LONG` as soon as a line is certain to exceed `maxLength`;
 * - `ERR_FRAME_INVALID` for a rejected line, and, with the parser's error as `cause`, for a line that is not JSON;
 * - `ERR_FRAME_TRUNCATED` if the stream ends inside a line.
 *
 * Encoding fails with:
 *
 * - `ERR_FRAME_TOO_LONG` for a line over `maxLength`;
 * - `ERR_FRAME_INVALID` for a rejected value, and for a value that JSON cannot represent: undefined, a function, a
 *   bigint, or a cycle.
 *
 * @typeParam In - the type of received values. The codec does not check this type: a peer can send any JSON
 * @typeParam Out - the type of sent values
 * @param options - `maxLength` (1 to 2,147,483,647 bytes; default 65,536)
 * @returns a codec whose messages are JSON values, `null` included
 * @throws `ERR_OPTION_INVALID` for a bad or unknown option
 * @example
 * ```ts
 * const client = connect('tcp://localhost:7000', { codec: jsonLines<{ level: number }>() });
 * client.data.next({ level: 7 }); // {"level":7}
 * ```
 * @see https://jsonlines.org, rules D4 and D6
 */
export function jsonLines<In, Out = In>(options?: JsonLinesOptions): Codec<In, Out> {
  const { maxLength } = checkExactOptions('jsonLines', { maxLength: withDefault(messageLength, 65_536) }, options);
  const text = lines({ maxLength });
  return {
    decoder: () => new JsonDecoder<In>(text.decoder()),
    encoder: () => new JsonEncoder(text.encoder()),
  };
}

/** The maximum depth of arrays and objects. `JSON.stringify` overflows the stack at a depth of about 4,000. */
const maxDepth = 1_000;

class JsonDecoder<T> implements Decoder<T> {
  private readonly lines: Decoder<string>;

  constructor(lines: Decoder<string>) {
    this.lines = lines;
  }

  decode(bytes: ByteQueue): T | undefined {
    const line = this.lines.decode(bytes);
    if (line === undefined) return undefined;
    const value = parse(line);
    refuse(line);
    return value as T;
  }
}

class JsonEncoder implements Encoder<unknown> {
  private readonly lines: Encoder<string>;

  constructor(lines: Encoder<string>) {
    this.lines = lines;
  }

  encode(value: unknown, into: ByteSink): void {
    const text = stringify(value);
    refuse(text);
    this.lines.encode(text, into);
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new SocketError('ERR_FRAME_INVALID', `a line cannot be read as JSON: ${describeError(cause)}`, { cause });
  }
}

function stringify(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw new SocketError('ERR_FRAME_INVALID', `a message cannot be written as JSON: ${describeError(cause)}`, {
      cause,
    });
  }
  if (text !== undefined) return text;
  throw new SocketError(
    'ERR_FRAME_INVALID',
    `a message must be a value that JSON can represent, got ${describeValue(value)}`,
  );
}

/** Throws for valid JSON that the codec rejects, whether the JSON was received or is to be sent. */
function refuse(json: string): void {
  if (namesPrototype(json)) throw new SocketError('ERR_FRAME_INVALID', 'a message has __proto__ as a name');
  if (isTooDeep(json)) {
    throw new SocketError('ERR_FRAME_INVALID', `a message has more than ${maxDepth} nested arrays and objects`);
  }
}

/**
 * Matches the name `__proto__`, whether its characters are plain or escaped. In valid JSON, the expression matches
 * nothing else: a quote with no backslash before it, and with an underscore (plain or escaped) after it, begins a
 * string. A string with a colon after it is a name.
 */
const prototypeName =
  /(?<!\\)"(?:_|\\u005[Ff]){2}(?:p|\\u0070)(?:r|\\u0072)(?:o|\\u006[Ff])(?:t|\\u0074)(?:o|\\u006[Ff])(?:_|\\u005[Ff]){2}"\s*:/;

function namesPrototype(json: string): boolean {
  return (json.includes('__proto__') || json.includes('\\u')) && prototypeName.test(json);
}

const quote = 0x22;
const backslash = 0x5c;

function isTooDeep(json: string): boolean {
  // Each level takes an opening and a closing bracket, so a short line cannot be too deep.
  return json.length > 2 * maxDepth && opensMany(json) && depthExceeds(json);
}

/**
 * Returns whether `json` contains more than `maxDepth` opening brackets and braces. Some of these characters may be in
 * strings, or not nested.
 */
function opensMany(json: string): boolean {
  let count = 0;
  for (const open of ['[', '{']) {
    for (let at = json.indexOf(open); at !== -1; at = json.indexOf(open, at + 1)) if (++count > maxDepth) return true;
  }
  return false;
}

function depthExceeds(json: string): boolean {
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    switch (json.charCodeAt(at)) {
      case 0x5b: // [
      case 0x7b: // {
        if (++depth > maxDepth) return true;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
        break;
      case quote:
        at = endOfString(json, at + 1);
        break;
    }
  }
  return false;
}

/** Returns the position of the quote that ends the string whose first character is at `from`. */
function endOfString(json: string, from: number): number {
  let at = from;
  for (let code = json.charCodeAt(at); code !== quote; code = json.charCodeAt(at)) at += code === backslash ? 2 : 1;
  return at;
}
