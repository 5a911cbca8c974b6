import net from 'node:net';
import type { Address } from '../address/address.js';
import { canonicalIp } from '../address-parsing/ip.js';
import { invalidOption } from '../validation/checks.js';

/**
 * Whether an entry names a transport without IP addresses. An entry that names a transport trusts all peers of that
 * transport.
 */
const isWord = (entry: string): boolean => /^(?:unix|memory):?$/.test(entry);

/**
 * Checks the option `proxyProtocol.trusted`. Returns a function that reports whether a peer's PROXY header is trusted.
 *
 * IPv4 and IPv6 are matched separately: `::/0` trusts no IPv4 peer. An IPv4-mapped address counts as an IPv4 address,
 * both in the list and as the address of a peer. The zone of a link-local peer (`fe80::1%eth0`) is ignored; entries of
 * the list have no zone. The bits of a block after its prefix are ignored: `10.1.2.3/8` means `10.0.0.0/8`.
 *
 * @param list - IP addresses, CIDR blocks, and the words `unix` and `memory`. Each word trusts every peer of the
 * transport that it names. The list is copied
 * @throws `ERR_OPTION_INVALID`
 */
export function trustedPeers(list: readonly string[]): (peer: Address) => boolean {
  const option = 'proxyProtocol.trusted';
  if (!Array.isArray(list)) throw invalidOption(option, 'an array', list);
  // One BlockList for both families would compare IPv4 peers as IPv4-mapped addresses, so an IPv6 block could match
  // IPv4 peers.
  const blocks = { 4: new net.BlockList(), 6: new net.BlockList() };
  const words = new Set<string>();
  for (const entry of list as readonly unknown[]) {
    const block = typeof entry === 'string' ? blockOf(entry) : undefined;
    if (block !== undefined) blocks[block.family].addSubnet(block.address, block.prefix, `ipv${block.family}`);
    else if (typeof entry === 'string' && isWord(entry)) words.add(entry.replace(':', ''));
    else throw invalidOption(option, 'a list of IP addresses, CIDR blocks, and the word unix', entry);
  }
  return (peer) => {
    if (peer.transport !== 'tcp') return words.has(peer.transport);
    const host = canonicalIp(peer.host.replace(/%.*$/s, ''));
    if (host === undefined) return false;
    return net.isIPv4(host) ? blocks[4].check(host, 'ipv4') : blocks[6].check(host, 'ipv6');
  };
}

interface Block {
  readonly address: string;
  readonly family: 4 | 6;
  readonly prefix: number;
}

function blockOf(entry: string): Block | undefined {
  const [, text = '', digits] = /^([^/]+)(?:\/(0|[1-9]\d{0,2}))?$/.exec(entry) ?? [];
  const address = canonicalIp(text);
  if (address === undefined) return undefined;
  const bits = net.isIPv4(text) ? 32 : 128;
  const prefix = digits === undefined ? bits : Number(digits);
  if (prefix > bits) return undefined;
  if (!net.isIPv4(address)) return { address, family: 6, prefix };
  // A block of only IPv4-mapped addresses has a prefix of at least 96 bits. A block with a shorter prefix counts as
  // IPv6.
  const short = prefix - (bits - 32);
  return short >= 0 ? { address, family: 4, prefix: short } : { address: text, family: 6, prefix };
}
