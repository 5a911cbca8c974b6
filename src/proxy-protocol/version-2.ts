import { parseAddress } from '../address-parsing/parse-address.js';
import type { Address } from '../address/address.js';
import { decodeUtf8 } from '../bytes/utf8.js';
import type { ByteQueue } from '../bytes/byte-queue.js';
import { crc32c } from './crc32c.js';
import { malformed, type ProxyHeader, tcpRemote } from './proxy-header.js';

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
/** The size, in bytes, of the part of a header before the addresses. */
const fixedSize = 16;
/**
 * The maximum size of a header. The length field would allow a header of 65,551 bytes, too many to buffer for every
 * client that is not accepted yet. nginx also accepts up to 4,096 bytes.
 */
const longest = 4_096;

/** The size of a unix path in a header, with the path's NUL and padding. */
const pathSize = 108;
const checksumType = 0x03;

interface Family {
  /** The size, in bytes, of the source address and the destination address together. */
  readonly size: number;
  /**
   * Parses the source address. Absent for datagram families, which are not supported. The specification treats an
   * unsupported family like an unspecified family.
   */
  source?(addresses: Buffer): Address;
}

/** The families, by the byte that encodes the family and the protocol. */
const families: Readonly<Partial<Record<number, Family>>> = {
  0x11: { size: 12, source: (addresses) => tcpRemote(addresses.subarray(0, 4).join('.'), addresses.readUInt16BE(8)) },
  0x21: { size: 36, source: (addresses) => tcpRemote(ipV6(addresses.subarray(0, 16)), addresses.readUInt16BE(32)) },
  0x31: { size: 2 * pathSize, source: (addresses) => unixRemote(addresses.subarray(0, pathSize)) },
  0x12: { size: 12 },
  0x22: { size: 36 },
  0x32: { size: 2 * pathSize },
};

/** Parses a header of version 2, which is binary, with the same contract as `parseProxyHeader`. */
export function parseVersion2(bytes: ByteQueue): ProxyHeader | undefined {
  const { length } = bytes;
  const wrong = signature.findIndex((byte, index) => index < length && bytes.at(index) !== byte);
  if (wrong !== -1) throw malformed(`the signature of version 2 is wrong at byte ${wrong + 1}`);
  if (length < 13) return undefined;
  const isLocal = isLocalCommand(bytes.at(12));
  if (length < 14) return undefined;
  const kind = bytes.at(13);
  const family = isLocal ? undefined : namedFamily(kind); // LOCAL: "discard the protocol block including the family"
  if (length < fixedSize) return undefined;
  const total = fixedSize + bytes.uint(14, 2, 'big');
  const least = fixedSize + (family?.size ?? 0);
  if (total < least) throw malformed(`version 2 must have at least ${least} bytes with its addresses, not ${total}`);
  if (total > longest) throw malformed(`version 2 must have at most ${longest} bytes, not ${total}`);
  if (length < total) return undefined;
  const header = bytes.peek(total);
  verify(header, fixedSize + (families[kind]?.size ?? 0), family !== undefined);
  return { remote: family?.source?.(header.subarray(fixedSize)), length: total };
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

/**
 * Returns the family that `kind` encodes, or `undefined` if the family is unspecified. Throws for an unknown family.
 */
function namedFamily(kind: number): Family | undefined {
  const family = families[kind];
  if (family === undefined && kind !== 0) {
    const text = `0x${kind.toString(16).padStart(2, '0')}`;
    throw malformed(
      `the family and protocol of version 2 must be 0x11, 0x12, 0x21, 0x22, 0x31, 0x32 or 0, not ${text}`,
    );
  }
  return family;
}

/**
 * Checks the bytes after the addresses, from `at` on. If the header names an address family, these bytes must be
 * type-length-value triples. A checksum in a triple must be right, even if the header names no family.
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
    if (isNamed) throw malformed('a type-length-value triple of version 2 exceeds the header');
    return;
  }
  if (checksums.length > 1) throw malformed('version 2 must have at most one CRC-32C');
  for (const checksum of checksums) {
    const zeroed = Buffer.from(header).fill(0, checksum, checksum + 4);
    if (crc32c(zeroed) !== header.readUInt32BE(checksum)) throw malformed('the CRC-32C of version 2 is wrong');
  }
}

/**
 * Parses a path up to its first NUL. A path that starts with a NUL becomes `''`, even if the path is an abstract name.
 * The header does not give the length of an abstract name, so the name cannot be distinguished from padding.
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
    throw malformed('the unix path of version 2 is not a valid address', cause);
  }
}
