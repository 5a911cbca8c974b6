import net from 'node:net';
import type { Address } from '../address/address.js';
import type { ByteQueue } from '../bytes/byte-queue.js';
import { describeValue } from '../errors/describe-value.js';
import { malformed, type ProxyHeader, tcpRemote } from './proxy-header.js';

/** With its CRLF: the longest line that the protocol knows. */
const longest = 107;

/** One of the texts that single spaces separate. */
interface Field {
  /** What it has to be, for people. */
  readonly wanted: string;
  /** Whether `text` is such a field. */
  holds(text: string): boolean;
  /** Whether `text` is one, or becomes one with more characters. */
  begins(text: string): boolean;
}

const keyword = word('PROXY');
const protocol = word('TCP4', 'TCP6', 'UNKNOWN');
const port = field('a port from 0 to 65535, without leading zeros', isPort, ['', '0']);
const numbers = ['', '0', '.0', '0.0', '.0.0', '0.0.0', '.0.0.0', '0.0.0.0'];
const ipV4 = field('an IPv4 address without leading zeros', net.isIPv4, numbers);
// An address that is begun lacks a group, the sequence '::', or numbers of the IPv4 address that it may end in: that is
// how inet_ntop, and so haproxy, writes IPv4-mapped ones, though the protocol's text has groups of digits only.
const ipV6 = field('an IPv6 address', isIPv6, ['', ':', '::', '0', '.0', '0.0', '.0.0', '0.0.0']);

const tcp4 = [keyword, protocol, ipV4, ipV4, port, port];
const tcp6 = [keyword, protocol, ipV6, ipV6, port, port];

/** As `parseProxyHeader`, for the line of text that is version 1. */
export function parseVersion1(bytes: ByteQueue): ProxyHeader | undefined {
  const text = bytes.peek(Math.min(bytes.length, longest)).toString('latin1');
  const end = text.indexOf('\r');
  const isWhole = end !== -1;
  const line = isWhole ? text.slice(0, end) : text;
  const after = isWhole ? text[end + 1] : undefined;
  if (line.includes('\n') || (after !== undefined && after !== '\n')) {
    throw malformed(`version 1 must end in CR and LF, and have neither of them alone, but is ${describeValue(text)}`);
  }
  if (line.length > longest - 2)
    throw malformed(`version 1 must end within ${longest} bytes, but is ${describeValue(text)}`);
  const remote = judge(line, isWhole);
  return after === undefined ? undefined : { remote, length: end + 2 };
}

/** Throws where `line` is none, nor the beginning of one; gives the source that it names once it is whole. */
function judge(line: string, isWhole: boolean): Address | undefined {
  const texts = line.split(' ');
  const isUnknown = texts[0] === 'PROXY' && texts[1] === 'UNKNOWN';
  if (isUnknown && (isWhole || texts.length > 2)) return undefined; // what follows is to be ignored
  const fields = texts[1] === 'TCP6' ? tcp6 : tcp4;
  for (const [index, text] of texts.entries()) {
    const isOpen = !isWhole && index === texts.length - 1;
    const field = fields[index];
    if (field === undefined)
      throw malformed(`version 1 must have ${fields.length} fields, but is ${describeValue(line)}`);
    if (!(isOpen ? field.begins(text) : field.holds(text))) {
      throw malformed(
        `version 1 must have ${field.wanted} in the place of ${describeValue(text)}, but is ${describeValue(line)}`,
      );
    }
  }
  if (!isWhole) return undefined;
  if (texts.length < fields.length)
    throw malformed(`version 1 must have ${fields.length} fields, but is ${describeValue(line)}`);
  return tcpRemote(texts[2]!, Number(texts[4]));
}

function word(...choices: readonly string[]): Field {
  return {
    wanted: choices.join(' or '),
    holds: (text) => choices.includes(text),
    begins: (text) => choices.some((choice) => choice.startsWith(text)),
  };
}

/** A field of which all that is begun can be completed with one of `endings`. */
function field(wanted: string, holds: (text: string) => boolean, endings: readonly string[]): Field {
  return { wanted, holds, begins: (text) => endings.some((ending) => holds(text + ending)) };
}

function isIPv6(text: string): boolean {
  return net.isIPv6(text) && !text.includes('%'); // without a zone
}

function isPort(text: string): boolean {
  return /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535;
}
