import type { Codec, Decoder, Encoder } from './codec.js';
import type { ByteSink } from '../bytes/byte-sink.js';
import type { ByteQueue } from '../bytes/byte-queue.js';
import { SocketError } from '../errors/socket-error.js';
import { describeError, describeValue } from '../errors/describe-value.js';
import { checkOptions, withDefault } from '../validation/checks.js';
import { lines } from './lines.js';
import { messageLength } from './message-size.js';

/**
 * Sets how long {@link jsonLines} may be.
 *
 * @example
 * ```ts
 * const options: JsonLinesOptions = { maxLength: 1_048_576 };
 * ```
 * @see rule D3
 */
export interface JsonLinesOptions {
  /**
   * The most bytes of one line, without its ending: 1 to 2,147,483,647 (D3).
   *
   * @defaultValue 65_536
   * @unit bytes
   */
  readonly maxLength?: number | undefined;
}

/**
 * Frames values by lines of JSON: each line is one value, in UTF-8.
 *
 * A line may end with `'\n'` or `'\r\n'` and must end: what was cut off could be JSON still, as `12` of `123` is (D4). An
 * empty line is no value, so it is refused. An object that has `__proto__` as a name, however it is spelled, is refused
 * in both directions (D6), since whoever copies such an object sets a prototype; in a string it is text like any other.
 * So is what is nested in more than 1,000 arrays and objects, which much code can't walk through without an overflow of
 * its stack. For all other lines, reading is equivalent to:
 *
 * ```ts
 * function decode(queue: ByteQueue): In | undefined {
 *   const line = lineDecoder.decode(queue); // of lines({ maxLength })
 *   return line === undefined ? undefined : (JSON.parse(line) as In);
 * }
 * ```
 *
 * Writing does to a value what `JSON.stringify` does: a `Date` becomes a string, `NaN` becomes `null`, and a property
 * that is undefined or a function is left out.
 *
 * @typeParam In - of the values that are received, which is not checked: what a peer sends is only known to be JSON
 * @typeParam Out - of the values that are sent
 * @param options - `maxLength` (bytes, 1 to 2,147,483,647; 65,536)
 * @returns a codec whose messages are what JSON can carry, `null` included
 * @emits on its channel one value a line, as soon as its ending is there (D1)
 * @throws `ERR_OPTION_INVALID`, at once. Decoding: `ERR_FRAME_TOO_LONG` as soon as a line is certain to be over
 * `maxLength` (D3), `ERR_FRAME_INVALID` for what is no JSON, with the reason as `cause`, and for what is said above (D6),
 * each after the lines before; the end of the stream inside a line is `ERR_FRAME_TRUNCATED` (D4). Encoding, with nothing
 * written (D5): `ERR_FRAME_TOO_LONG`, and `ERR_FRAME_INVALID` for what JSON can't carry, such as undefined, a function, a
 * bigint, or a cycle
 * @backpressure an unfinished line waits in the queue: at most `maxLength` bytes and the chunk in hand
 * @teardown each line is taken off the stream when it is given, so another view goes on right after it (C13)
 * @example
 * ```ts
 * const client = connect('tcp://localhost:7000', { codec: jsonLines<{ level: number }>() });
 * client.data.next({ level: 7 }); // {"level":7}
 * ```
 * @see https://jsonlines.org and rules D1 to D6
 */
export function jsonLines<In, Out = In>(options?: JsonLinesOptions): Codec<In, Out> {
  const { maxLength } = checkOptions({ maxLength: withDefault(messageLength, 65_536) }, options);
  const text = lines({ maxLength });
  return {
    decoder: () => new JsonDecoder<In>(text.decoder()),
    encoder: () => new JsonEncoder(text.encoder()),
  };
}

/** How many arrays and objects may lie in each other. `JSON.stringify` overflows its stack with about 4,000. */
const deepest = 1_000;

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
  throw new SocketError('ERR_FRAME_INVALID', `a message must be what JSON can carry, got ${describeValue(value)}`);
}

/** Throws for JSON that is not to be sent or received, though it is valid. */
function refuse(json: string): void {
  if (namesPrototype(json)) throw new SocketError('ERR_FRAME_INVALID', 'a message has __proto__ as a name');
  if (isTooDeep(json)) {
    throw new SocketError('ERR_FRAME_INVALID', `a message is nested in more than ${deepest} arrays and objects`);
  }
}

/**
 * The name `__proto__`, its characters as they are or escaped. In valid JSON it is exact: a quote that follows no
 * backslash and precedes one of these characters begins a string, and a string before a colon is a name.
 */
const prototypeName =
  /(?<!\\)"(?:_|\\u005[Ff]){2}(?:p|\\u0070)(?:r|\\u0072)(?:o|\\u006[Ff])(?:t|\\u0074)(?:o|\\u006[Ff])(?:_|\\u005[Ff]){2}"\s*:/;

function namesPrototype(json: string): boolean {
  return (json.includes('__proto__') || json.includes('\\u')) && prototypeName.test(json);
}

const quote = 0x22;
const backslash = 0x5c;

function isTooDeep(json: string): boolean {
  // What is opened has to be closed, and few lines open as much.
  return json.length > 2 * deepest && opensMany(json) && depthExceeds(json);
}

/** Whether there are enough brackets and braces, though some of them may lie in strings or one after the other. */
function opensMany(json: string): boolean {
  let count = 0;
  for (const open of ['[', '{']) {
    for (let at = json.indexOf(open); at !== -1; at = json.indexOf(open, at + 1)) if (++count > deepest) return true;
  }
  return false;
}

function depthExceeds(json: string): boolean {
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    switch (json.charCodeAt(at)) {
      case 0x5b: // [
      case 0x7b: // {
        if (++depth > deepest) return true;
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

/** Where the string ends whose first character is at `from`. */
function endOfString(json: string, from: number): number {
  let at = from;
  for (let code = json.charCodeAt(at); code !== quote; code = json.charCodeAt(at)) at += code === backslash ? 2 : 1;
  return at;
}
