import net from 'node:net';
import type { Address } from '../address/address.js';
import type { ByteQueue } from '../bytes/byte-queue.js';
import { describeValue } from '../errors/describe-value.js';
import { malformed, type ProxyHeader, tcpRemote } from './proxy-header.js';

/** The maximum size of a header of version 1, with its CRLF. */
const longest = 107;

interface Field {
  readonly requirement: string;
  /** Whether `text` meets the requirement. */
  holds(text: string): boolean;
  /** Whether `text` meets the requirement, or is the beginning of a text that meets it. */
  begins(text: string): boolean;
}

const keyword = word('PROXY');
const protocol = word('TCP4', 'TCP6', 'UNKNOWN');
const port = field('a port from 0 to 65535, without leading zeros', isPort, ['', '0']);
const numbers = ['', '0', '.0', '0.0', '.0.0', '0.0.0', '.0.0.0', '0.0.0.0'];
const ipV4 = field('an IPv4 address without leading zeros', net.isIPv4, numbers);
// The specification allows only groups of hexadecimal digits in an IPv6 address. But inet_ntop, and therefore haproxy,
// writes the end of an IPv4-mapped address in the notation of IPv4, so this notation is also accepted.
const ipV6 = field('an IPv6 address', isIPv6, ['', ':', '::', '0', '.0', '0.0', '.0.0', '0.0.0']);

const tcp4 = [keyword, protocol, ipV4, ipV4, port, port];
const tcp6 = [keyword, protocol, ipV6, ipV6, port, port];

/** Parses a header of version 1, a line of text, with the same contract as `parseProxyHeader`. */
export function parseVersion1(bytes: ByteQueue): ProxyHeader | undefined {
  const text = bytes.peek(Math.min(bytes.length, longest)).toString('latin1');
  const end = text.indexOf('\r');
  const isComplete = end !== -1;
  const line = isComplete ? text.slice(0, end) : text;
  const after = isComplete ? text[end + 1] : undefined;
  if (line.includes('\n') || (after !== undefined && after !== '\n')) {
    throw malformed(`version 1 must end in CRLF and must not contain CR or LF alone, got ${describeValue(text)}`);
  }
  if (line.length > longest - 2)
    throw malformed(`version 1 must end within ${longest} bytes, got ${describeValue(text)}`);
  const remote = parseLine(line, isComplete);
  return after === undefined ? undefined : { remote, length: end + 2 };
}

/** Throws if `line` cannot be a header or the beginning of a header. Returns the source address of a complete line. */
function parseLine(line: string, isComplete: boolean): Address | undefined {
  const texts = line.split(' ');
  const isUnknown = texts[0] === 'PROXY' && texts[1] === 'UNKNOWN';
  if (isUnknown && (isComplete || texts.length > 2)) return undefined; // the rest of the line is ignored
  const fields = texts[1] === 'TCP6' ? tcp6 : tcp4;
  for (const [index, text] of texts.entries()) {
    const isUnfinished = !isComplete && index === texts.length - 1;
    const field = fields[index];
    if (field === undefined) throw malformed(`version 1 must have ${fields.length} fields, got ${describeValue(line)}`);
    if (!(isUnfinished ? field.begins(text) : field.holds(text))) {
      throw malformed(
        `version 1 must have ${field.requirement} instead of ${describeValue(text)}, got ${describeValue(line)}`,
      );
    }
  }
  if (!isComplete) return undefined;
  if (texts.length < fields.length)
    throw malformed(`version 1 must have ${fields.length} fields, got ${describeValue(line)}`);
  return tcpRemote(texts[2]!, Number(texts[4]));
}

function word(...choices: readonly string[]): Field {
  return {
    requirement: choices.join(' or '),
    holds: (text) => choices.includes(text),
    begins: (text) => choices.some((choice) => choice.startsWith(text)),
  };
}

/** Makes a field. For each beginning of a valid text, `endings` needs an ending that makes the text valid. */
function field(requirement: string, holds: (text: string) => boolean, endings: readonly string[]): Field {
  return { requirement, holds, begins: (text) => endings.some((ending) => holds(text + ending)) };
}

function isIPv6(text: string): boolean {
  return net.isIPv6(text) && !text.includes('%'); // without a zone
}

function isPort(text: string): boolean {
  return /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535;
}
