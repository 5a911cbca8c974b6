import type { Address } from '../address/address.js';
import { SocketError } from '../errors/socket-error.js';
import { describeValue } from '../errors/describe-value.js';
import { ipBytes, unmapped } from '../address-parsing/ip.js';

/** The addresses whose first `bits` are those of `bytes`: 4 bytes for IPv4, 16 for IPv6. */
interface Block {
  readonly bytes: Uint8Array;
  readonly bits: number;
}

/** Every peer of such a transport, which has no address to tell one from another; `unix:` is how that is written. */
const isWord = (entry: string): boolean => /^(?:unix|memory):?$/.test(entry);

/**
 * Checks the option `proxyProtocol.trusted` and makes what tells whose PROXY header is believed.
 *
 * IPv4 and IPv6 are apart: `::/0` trusts no IPv4 peer. An IPv4-mapped address, of a peer or in the list, is an IPv4
 * one. The zone of a link-local peer (`fe80::1%eth0`) is passed over, and the list has none. The bits of a block after
 * its prefix don't count: `10.1.2.3/8` is `10.0.0.0/8`.
 *
 * @param list - addresses, CIDR blocks, and the words `unix` and `memory`, each of which trusts every peer on such a
 *   socket: there the permissions of the socket file say who may connect. It is copied; an empty one trusts nobody.
 * @returns whether a peer is trusted, by its own address.
 * @throws `ERR_OPTION_INVALID`, at once.
 */
export function trustedPeers(list: readonly string[]): (peer: Address) => boolean {
  if (!Array.isArray(list)) throw invalid('an array', list);
  const blocks: Block[] = [];
  const words = new Set<string>();
  for (const entry of list as readonly unknown[]) {
    const block = typeof entry === 'string' ? blockOf(entry) : undefined;
    if (block !== undefined) blocks.push(block);
    else if (typeof entry === 'string' && isWord(entry)) words.add(entry.replace(':', ''));
    else throw invalid('made of IP addresses, CIDR blocks and the word unix', entry);
  }
  return (peer) => {
    if (peer.transport !== 'tcp') return words.has(peer.transport);
    const bytes = ipBytes(peer.host.replace(/%.*$/s, ''));
    return bytes !== undefined && blocks.some((block) => covers(block, unmapped(bytes)));
  };
}

function blockOf(entry: string): Block | undefined {
  const [, address = '', prefix] = /^([^/]+)(?:\/(0|[1-9]\d{0,2}))?$/.exec(entry) ?? [];
  const bytes = ipBytes(address);
  if (bytes === undefined) return undefined;
  const bits = prefix === undefined ? bytes.length * 8 : Number(prefix);
  if (bits > bytes.length * 8) return undefined;
  const short = unmapped(bytes);
  const less = (bytes.length - short.length) * 8;
  return bits >= less ? { bytes: short, bits: bits - less } : { bytes, bits };
}

function covers({ bytes, bits }: Block, address: Uint8Array): boolean {
  if (bytes.length !== address.length) return false;
  const whole = bits >> 3;
  for (let at = 0; at < whole; at++) if (bytes[at] !== address[at]) return false;
  return bits % 8 === 0 || (bytes[whole]! ^ address[whole]!) >> (8 - (bits % 8)) === 0;
}

function invalid(wanted: string, value: unknown): SocketError {
  return new SocketError('ERR_OPTION_INVALID', `proxyProtocol.trusted must be ${wanted}, not ${describeValue(value)}`);
}
