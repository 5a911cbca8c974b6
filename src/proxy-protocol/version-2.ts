import { parseAddress } from '../address-parsing/parse-address.js';
import type { Address } from '../address/address.js';
import { decodeUtf8 } from '../bytes/utf8.js';
import type { ByteQueue } from '../bytes/byte-queue.js';
import { crc32c } from './crc32c.js';
import { malformed, type ProxyHeader, tcpRemote } from './proxy-header.js';

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
/** The signature, version and command, family and protocol, and the length of the rest. */
const fixed = 16;
/**
 * The longest header that is taken. Its length field could tell 65,551 bytes, and every connection that has not been
 * accepted yet could make the process keep as many. The protocol aims at 536, and this is what nginx takes too.
 */
const longest = 4_096;

/** A unix path with its NUL, and what pads it. */
const pathSize = 108;
const checksumType = 0x03;

/** What the addresses of one family look like. */
interface Family {
  /** The bytes of the source and the destination together. */
  readonly size: number;
  /**
   * Reads the source; the destination is where the proxy was called, which nothing is done with. There is none for
   * datagrams: the protocol wants what is valid and not supported to be as good as an unspecified family.
   */
  source?(addresses: Buffer): Address;
}

/** By the byte that tells the family and the protocol. */
const families: Readonly<Partial<Record<number, Family>>> = {
  0x11: { size: 12, source: (addresses) => tcpRemote(addresses.subarray(0, 4).join('.'), addresses.readUInt16BE(8)) },
  0x21: { size: 36, source: (addresses) => tcpRemote(ipV6(addresses.subarray(0, 16)), addresses.readUInt16BE(32)) },
  0x31: { size: 2 * pathSize, source: (addresses) => unixRemote(addresses.subarray(0, pathSize)) },
  0x12: { size: 12 },
  0x22: { size: 36 },
  0x32: { size: 2 * pathSize },
};

/** As `parseProxyHeader`, for the bytes that are version 2. */
export function parseVersion2(bytes: ByteQueue): ProxyHeader | undefined {
  const { length } = bytes;
  const wrong = signature.findIndex((byte, index) => index < length && bytes.at(index) !== byte);
  if (wrong !== -1) throw malformed(`the signature of version 2 is wrong at byte ${wrong + 1}`);
  if (length < 13) return undefined;
  const isLocal = isLocalCommand(bytes.at(12));
  if (length < 14) return undefined;
  const kind = bytes.at(13);
  const family = isLocal ? undefined : namedFamily(kind); // LOCAL: "discard the protocol block including the family"
  if (length < fixed) return undefined;
  const total = fixed + bytes.uint(14, 2, 'big');
  const least = fixed + (family?.size ?? 0);
  if (total < least) throw malformed(`version 2 must have at least ${least} bytes with its addresses, not ${total}`);
  if (total > longest) throw malformed(`version 2 must have at most ${longest} bytes, not ${total}`);
  if (length < total) return undefined;
  const header = bytes.peek(total);
  verify(header, fixed + (families[kind]?.size ?? 0), family !== undefined);
  return { remote: family?.source?.(header.subarray(fixed)), length: total };
}

function ipV6(bytes: Buffer): string {
  return (bytes.toString('hex').match(/.{4}/g) ?? []).join(':');
}

function isLocalCommand(byte: number): boolean {
  const [version, command] = [byte >> 4, byte & 0xf];
  if (version !== 2) throw malformed(`the binary header must have version 2, not ${version}`);
  if (command > 1) throw malformed(`the command of version 2 must be LOCAL or PROXY, not ${command}`);
  return command === 0;
}

/** Gives the family that a source is named in, or `undefined` where it is not specified: then the real address stands. */
function namedFamily(kind: number): Family | undefined {
  const family = families[kind];
  if (family === undefined && kind !== 0) {
    const shown = `0x${kind.toString(16).padStart(2, '0')}`;
    throw malformed(
      `the family and protocol of version 2 must be 0x11, 0x12, 0x21, 0x22, 0x31, 0x32 or 0, not ${shown}`,
    );
  }
  return family;
}

/**
 * Checks what follows the addresses, from `at` on: type-length-value triples, and the checksum where one is among them.
 * Where no source is named, the protocol leaves open what the block is made of: then what is no triples passes.
 */
function verify(header: Buffer, at: number, isNamed: boolean): void {
  const checksums: number[] = [];
  while (at + 3 <= header.length) {
    const [value, size] = [at + 3, header.readUInt16BE(at + 1)];
    if (header[at] === checksumType && size === 4) checksums.push(value);
    else if (header[at] === checksumType && isNamed) throw malformed(`a CRC-32C must have 4 bytes, not ${size}`);
    at = value + size;
  }
  if (at !== header.length) {
    if (isNamed) throw malformed('a type-length-value triple of version 2 goes over the end of the header');
    return;
  }
  if (checksums.length > 1) throw malformed('version 2 must have one CRC-32C at most');
  for (const checksum of checksums) {
    const zeroed = Buffer.from(header).fill(0, checksum, checksum + 4);
    if (crc32c(zeroed) !== header.readUInt32BE(checksum)) throw malformed('the CRC-32C of version 2 is wrong');
  }
}

/**
 * Reads a path up to its NUL; `''` where it begins with one. An abstract name begins with one too, but without its
 * length nothing tells it from the padding behind an unnamed socket's.
 */
function unixRemote(bytes: Buffer): Address {
  const end = bytes.indexOf(0);
  if (end === -1) throw malformed(`the unix path of version 2 must end in a NUL within ${pathSize} bytes`);
  if (end === 0) return { transport: 'unix', path: '' };
  const path = decodeUtf8(bytes.subarray(0, end));
  if (path === undefined) throw malformed('the unix path of version 2 must be UTF-8');
  try {
    return parseAddress({ path });
  } catch (cause) {
    throw malformed('the unix path of version 2 is no address', cause);
  }
}
