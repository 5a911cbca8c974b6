import fc from 'fast-check';
import type { Address } from '../../../src/address/address.js';
import { filePath, port } from '../address/arbitrary-address.js';

/** A header, and the client that it names, or `undefined` if the real address applies. */
export interface HeaderSample {
  readonly bytes: Buffer;
  readonly remote: Address | undefined;
}

/** The parts of a header of version 2. Each part may be wrong. The default is a connection from an IPv4 client. */
export interface Version2 {
  /** By default, version 2 and the command PROXY. */
  readonly command?: number;
  /** The family and the protocol. By default, TCP over IPv4. */
  readonly kind?: number;
  readonly addresses?: Uint8Array;
  /** Type-length-value triples. */
  readonly triples?: readonly Uint8Array[];
  /** Whether the header ends with a correct checksum. */
  readonly checksum?: boolean;
  /** The length that the header announces. It does not include the first 16 bytes. */
  readonly length?: number;
}

export const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
export const someAddresses = Buffer.of(192, 0, 2, 7, 198, 51, 100, 1, 0xc3, 0x50, 0x01, 0xbb);
export const someRemote: Address = { transport: 'tcp', host: '192.0.2.7', port: 50_000 };

export function version2(parts: Version2 = {}): Buffer {
  const { command = 0x21, kind = 0x11, addresses = someAddresses, triples = [], checksum = false } = parts;
  const rest = Buffer.concat([addresses, ...triples, ...(checksum ? [triple(0x03, Buffer.alloc(4))] : [])]);
  const { length = rest.length } = parts;
  const header = Buffer.concat([signature, Buffer.of(command, kind, length >> 8, length & 0xff), rest]);
  if (checksum) header.writeUInt32BE(slowCrc32c(header), header.length - 4);
  return header;
}

export function triple(type: number, value: Uint8Array, length = value.length): Buffer {
  return Buffer.concat([Buffer.of(type, length >> 8, length & 0xff), value]);
}

/** The CRC-32C as defined, bit by bit. */
function slowCrc32c(bytes: Uint8Array): number {
  let value = ~0;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (0x82f63b78 & -(value & 1));
  }
  return ~value >>> 0;
}

/** The 8 numbers of an IPv6 address. Many are 0, and some addresses are IPv4-mapped. */
export const ipV6Groups = (): fc.Arbitrary<readonly number[]> => {
  const group = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff }));
  return fc.oneof(
    { weight: 4, arbitrary: fc.array(group, { minLength: 8, maxLength: 8 }) },
    { weight: 1, arbitrary: fc.tuple(group, group).map((last) => [0, 0, 0, 0, 0, 0xffff, ...last]) },
  );
};

/** An IPv6 address in any notation: with leading zeros, in upper case, with '::', or with an IPv4 end. */
export const ipV6Text = (groups: readonly number[]): fc.Arbitrary<string> =>
  fc
    .record({ width: fc.integer({ min: 1, max: 4 }), isUpper: fc.boolean(), isDotted: fc.boolean(), gap: fc.nat(7) })
    .chain(({ width, isUpper, isDotted, gap }) => {
      const hex = groups.map((group) => group.toString(16).padStart(width, '0'));
      const texts = isUpper ? hex.map((text) => text.toUpperCase()) : hex;
      if (isDotted) texts.splice(6, 2, dotted(groups.slice(6)));
      let end = gap;
      while (groups[end] === 0 && end < (isDotted ? 6 : 8)) end++;
      if (end === gap) return fc.constant(texts.join(':'));
      return fc
        .integer({ min: gap + 1, max: end })
        .map((stop) => `${texts.slice(0, gap).join(':')}::${texts.slice(stop).join(':')}`);
    });

const dotted = (groups: readonly number[]): string => groups.flatMap((group) => [group >> 8, group & 0xff]).join('.');

const isMapped = (groups: readonly number[]): boolean =>
  groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;

/** The canonical form of RFC 5952, but never with an IPv4 end. An IPv4-mapped address becomes IPv4. */
export function canonicalHost(groups: readonly number[]): string {
  if (isMapped(groups)) return dotted(groups.slice(6));
  let [from, count] = [0, 0];
  for (let at = 0; at < 8; at++) {
    let run = 0;
    while (groups[at + run] === 0) run++;
    if (run > count) [from, count] = [at, run];
  }
  const texts = groups.map((group) => group.toString(16));
  if (count < 2) return texts.join(':');
  return `${texts.slice(0, from).join(':')}::${texts.slice(from + count).join(':')}`;
}

const groupBytes = (groups: readonly number[]): Buffer =>
  Buffer.from(groups.flatMap((group) => [group >> 8, group & 0xff]));

const portBytes = (...ports: readonly number[]): Buffer =>
  Buffer.from(ports.flatMap((port) => [port >> 8, port & 0xff]));

const line = (...fields: readonly (string | number)[]): Buffer =>
  Buffer.from(`PROXY ${fields.join(' ')}\r\n`, 'latin1');

export const namedVersion1 = (): fc.Arbitrary<HeaderSample> =>
  fc.oneof(
    fc.tuple(fc.ipV4(), fc.ipV4(), port(), port()).map(([source, destination, port, called]) => ({
      bytes: line('TCP4', source, destination, port, called),
      remote: { transport: 'tcp' as const, host: source, port },
    })),
    fc
      .tuple(ipV6Groups(), ipV6Groups(), port(), port())
      .chain(([source, destination, port, called]) =>
        fc.tuple(ipV6Text(source), ipV6Text(destination)).map(([from, to]) => ({
          bytes: line('TCP6', from, to, port, called),
          remote: { transport: 'tcp' as const, host: canonicalHost(source), port },
        })),
      )
      .filter(({ bytes }) => bytes.length <= 107),
  );

export const version1Header = (): fc.Arbitrary<HeaderSample> =>
  fc.oneof(
    { weight: 4, arbitrary: namedVersion1() },
    {
      weight: 1,
      arbitrary: fc
        .uint8Array({ maxLength: 91 })
        .map((ignored) => Buffer.from(ignored.map((byte) => (byte === 0x0a || byte === 0x0d ? 0x20 : byte))))
        .chain((ignored) => fc.constantFrom(line('UNKNOWN'), line('UNKNOWN', ignored.toString('latin1'))))
        .map((bytes) => ({ bytes, remote: undefined })),
    },
  );

/** Type-length-value triples of any type except the checksum's. */
const triples = (): fc.Arbitrary<readonly Buffer[]> =>
  fc.array(
    fc
      .tuple(fc.constantFrom(0x01, 0x02, 0x04, 0x05, 0x20, 0x30, 0xe0, 0xea, 0xff), fc.uint8Array({ maxLength: 300 }))
      .map(([type, value]) => triple(type, value)),
    { maxLength: 4 },
  );

const unixField = (path: string): Buffer => Buffer.concat([Buffer.from(path), Buffer.alloc(108)]).subarray(0, 108);

const namedAddresses = (): fc.Arbitrary<{ kind: number; addresses: Buffer; remote: Address }> =>
  fc.oneof(
    fc.tuple(fc.uint8Array({ minLength: 8, maxLength: 8 }), port(), port()).map(([ips, port, called]) => ({
      kind: 0x11,
      addresses: Buffer.concat([ips, portBytes(port, called)]),
      remote: { transport: 'tcp' as const, host: ips.slice(0, 4).join('.'), port },
    })),
    fc.tuple(ipV6Groups(), ipV6Groups(), port(), port()).map(([source, destination, port, called]) => ({
      kind: 0x21,
      addresses: Buffer.concat([groupBytes(source), groupBytes(destination), portBytes(port, called)]),
      remote: { transport: 'tcp' as const, host: canonicalHost(source), port },
    })),
    fc.tuple(fc.oneof(filePath(), fc.constant('')), filePath()).map(([path, called]) => ({
      kind: 0x31,
      addresses: Buffer.concat([unixField(path), unixField(called)]),
      remote: { transport: 'unix' as const, path: path.startsWith('@') ? `./${path}` : path },
    })),
  );

/** Headers of version 2 that name their client. Some have a checksum. With `checksum: true`, all have one. */
export const namedVersion2 = (options: { checksum?: true } = {}): fc.Arbitrary<HeaderSample> =>
  fc
    .tuple(namedAddresses(), triples(), options.checksum === true ? fc.constant(true) : fc.boolean())
    .map(([{ kind, addresses, remote }, triples, checksum]) => ({
      bytes: version2({ kind, addresses, triples, checksum }),
      remote,
    }));

const version2Header = (): fc.Arbitrary<HeaderSample> =>
  fc.oneof(
    { weight: 4, arbitrary: namedVersion2() },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.constantFrom([0x20, 0x00], [0x21, 0x00], [0x20, 0x11]), triples(), fc.boolean())
        .map(([[command = 0, kind = 0], triples, checksum]) => ({
          bytes: version2({
            command,
            kind,
            addresses: kind === 0 ? Buffer.alloc(0) : someAddresses,
            triples,
            checksum,
          }),
          remote: undefined,
        })),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.constantFrom(0x00, 0x11, 0x21, 0x31, 0x32, 0xff), fc.uint8Array({ max: 2, maxLength: 600 }))
        .map(([kind, block]) => ({
          bytes: version2({ command: 0x20, kind, addresses: block }),
          remote: undefined,
        })),
    },
  );

export const proxyHeader = (): fc.Arbitrary<HeaderSample> => fc.oneof(version1Header(), version2Header());
