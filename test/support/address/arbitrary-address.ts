import fc from 'fast-check';
import type { Address, AddressInput } from '../../../src/address/address.js';

/** The longest unix path or abstract name, in bytes of UTF-8. */
const longestName = 107;

const fits = (text: string): boolean =>
  text.trim() !== '' && !text.includes('\0') && Buffer.byteLength(text) <= longestName;

/** Any text that may be the path of a file or an abstract name, with spaces, line ends, '%', '@', '?' and emoji. */
const name = (): fc.Arbitrary<string> =>
  fc.string({ unit: 'binary', minLength: 1, maxLength: longestName }).filter(fits);

/** Paths of socket files. Many of them look like abstract names. */
export const filePath = (): fc.Arbitrary<string> =>
  fc
    .oneof(
      name(),
      name().map((text) => `/${text}`),
      name().map((text) => `@${text}`),
    )
    .filter((text) => fits(text.startsWith('@') ? `./${text}` : text));

export const port = (): fc.Arbitrary<number> => fc.nat(65_535);

/** IPv6 addresses, some of them with a zone. */
const ipV6 = (): fc.Arbitrary<string> =>
  fc
    .tuple(fc.ipV6(), fc.constantFrom('', '%eth0', '%1', '%br-lan.2', '%wg_0'))
    .map(([address, zone]) => address + zone);

/** Names and IP addresses, without brackets. */
const host = (): fc.Arbitrary<string> =>
  fc.oneof(fc.domain(), fc.constantFrom('localhost', 'my_host', 'münchen', '::', '0.0.0.0'), fc.ipV4(), ipV6());

/** Any address that `parseAddress` may return. */
export const address = (): fc.Arbitrary<Address> =>
  fc.oneof(
    fc
      .tuple(host(), port(), fc.boolean())
      .map(([host, port, tls]): Address => ({ transport: 'tcp', host, port, ...(tls ? { tls } : {}) })),
    filePath().map((path): Address => ({ transport: 'unix', path: path.startsWith('@') ? `./${path}` : path })),
    name().map((text): Address => ({ transport: 'unix', path: `\0${text}` })),
    fc.string({ minLength: 1 }).map((text): Address => ({ transport: 'memory', name: text })),
    fc.nat().map((fd): Address => ({ transport: 'fd', fd })),
  );

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host);

/** Every form of valid input for `parseAddress`, except service names, because their ports depend on the machine. */
export const addressInput = (): fc.Arbitrary<AddressInput> =>
  fc.oneof(
    address(),
    fc
      .tuple(fc.constantFrom('tcp', 'tls'), fc.oneof(host(), fc.constant('')), port(), fc.constantFrom('', '/'))
      .map(([scheme, host, port, end]) => `${scheme}://${bracketed(host)}:${port}${end}`),
    filePath()
      .map((path) => `unix:${path}`)
      .filter((text) => text !== 'unix:@'),
    name().map((text) => `memory:${text}`),
    fc.nat().map((fd) => `fd:${fd}`),
    fc
      .tuple(fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6()), port())
      .map(([host, port]) => new URL(`tcp://${bracketed(host)}:${port}`)),
    filePath().map((path) => new URL(`unix:${encodeURIComponent(path)}`)),
    fc.record({ port: port(), host: host() }, { requiredKeys: ['port'] }),
    filePath().map((path) => ({ path })),
    name().map((text) => ({ path: `\0${text}` })),
    fc.nat().map((fd) => ({ fd })),
  );
