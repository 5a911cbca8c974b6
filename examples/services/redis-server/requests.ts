/**
 * The requests of a Redis client. A request is a list of words: programs send the words as an array of bulk strings,
 * and people send the words as a line.
 *
 *     *2\r\n$3\r\nGET\r\n$4\r\nname\r\n
 *     GET name\r\n
 */
import type { ByteQueue, Codec, Decoder } from 'rxjs-sockets/codecs';
import { encodeValue, invalid, type Limits, tooLong, type Value, ValueDecoder } from './resp.js';

/** The name of a command and its arguments. For an empty line, the request is empty. */
export type Request = readonly Buffer[];

const maxLine = 65_536; // bytes
const array = 0x2a; // '*'
const newline = 0x0a;

/**
 * The codec of the server: it decodes requests and encodes values. A value to encode is already in memory, so the codec
 * does not limit its size.
 */
export function requests(limits: Omit<Limits, 'maxDepth'>): Codec<Request, Value> {
  const unlimited = { maxLength: Infinity, maxValues: Infinity, maxDepth: Infinity };
  return {
    decoder: () => new RequestDecoder({ ...limits, maxDepth: 1 }),
    encoder: () => ({ encode: (value, into) => encodeValue(value, into, unlimited) }),
  };
}

class RequestDecoder implements Decoder<Request> {
  private readonly arrays: ValueDecoder;
  /** The search for the line end continues at this position in the stream. */
  private searched = 0;

  constructor(limits: Limits) {
    this.arrays = new ValueDecoder(limits, true);
  }

  decode(bytes: ByteQueue): Request | undefined {
    if (bytes.length === 0) return undefined;
    if (bytes.at(0) !== array) return this.decodeLine(bytes);
    const words = this.arrays.decode(bytes);
    return words === null ? [] : (words as Request | undefined);
  }

  private decodeLine(bytes: ByteQueue): Request | undefined {
    const end = bytes.indexOf(newline, Math.max(0, this.searched - bytes.position));
    if (end > maxLine || (end === -1 && bytes.length > maxLine)) throw tooLong('too big inline request');
    this.searched = bytes.position + bytes.length;
    if (end === -1) return undefined;
    this.searched = bytes.position + end + 1;
    const line = bytes
      .take(end + 1)
      .toString('latin1', 0, end)
      .replace(/\r$/, '');
    const words = wordsOf(line);
    // A web page can make a browser send commands to this port, in the body of an HTTP request. So a line that begins
    // with `POST` or `Host:` is refused.
    if (/^(post|host:)$/i.test(words[0]?.toString('latin1') ?? '')) throw invalid('this is not a web server');
    return words;
  }
}

/**
 * Matches a word and the blanks after the word. A word is bare, or in single quotes, or in double quotes. Double quotes
 * can contain escapes (`"a\n\x00"`).
 */
const word = /(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^ \t"'][^ \t]*))(?:[ \t]+|$)/sy;
const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: '\b', a: '\x07' };

function wordsOf(line: string): Request {
  const words: Buffer[] = [];
  for (let at = line.search(/[^ \t]|$/); at < line.length; at = word.lastIndex) {
    word.lastIndex = at;
    const match = word.exec(line);
    if (match === null) throw invalid('unbalanced quotes in request');
    const [, double, single, bare = ''] = match;
    const text = double !== undefined ? unescaped(double) : (single?.replaceAll("\\'", "'") ?? bare);
    words.push(Buffer.from(text, 'latin1'));
  }
  return words;
}

function unescaped(text: string): string {
  return text.replace(/\\(?:x([0-9a-f]{2})|(.))/gis, (_, hex: string | undefined, character = '') =>
    hex === undefined
      ? (escapes[character as string] ?? (character as string))
      : String.fromCharCode(parseInt(hex, 16)),
  );
}
