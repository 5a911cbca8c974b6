import net from 'node:net';

/**
 * Returns the family of an IP address, or `undefined` for any other text. An IPv6 address may have a zone
 * (`fe80::1%eth0`).
 */
export function ipFamily(text: string): 4 | 6 | undefined {
  const [, address = '', zone] = /^([^%]*)(%[^\s\p{Cc}/\\?#@:%[\]]+)?$/u.exec(text) ?? [];
  if (net.isIPv6(address)) return 6;
  return net.isIPv4(address) && zone === undefined ? 4 : undefined;
}

/**
 * Returns the canonical form of an IP address that has no zone, or `undefined` for any other text. An IPv4-mapped
 * address (`::ffff:10.0.0.1`) becomes the IPv4 address.
 */
export function canonicalIp(text: string): string | undefined {
  if (text.includes('%')) return undefined;
  if (net.isIPv4(text)) return text;
  if (!net.isIPv6(text)) return undefined;
  const { address } = new net.SocketAddress({ address: text, family: 'ipv6' });
  if (!address.includes('.')) return address;
  if (address.startsWith('::ffff:')) return address.slice('::ffff:'.length);
  // Node writes an obsolete IPv4-compatible address with dots (`::0.1.0.0`). A URL writes the same address in
  // hexadecimal (`::1:0`).
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}
