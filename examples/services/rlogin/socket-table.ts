/** Reads Linux's table of TCP sockets in /proc, to find the socket or the descriptor for two addresses. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { endianness } from 'node:os';
import type { Address } from 'rxjs-sockets';

export interface Socket {
  /** The number of the socket, which is unique on this machine. */
  readonly inode: string;
  /** The user that created the socket. A different user may hold it now. */
  readonly uid: number;
}

/**
 * Finds this machine's TCP socket with these two addresses. Returns undefined if there is none, or if the system is not
 * Linux.
 */
export function socketOf(local: Address, remote: Address): Socket | undefined {
  if (local.transport !== 'tcp' || remote.transport !== 'tcp') return undefined;
  const ends = `${rowName(local.host, local.port)} ${rowName(remote.host, remote.port)}`;
  for (const row of rows()) {
    const [, from = '', to = '', , , , , uid, , inode] = row.trim().split(/\s+/);
    if (inode === undefined || inode === '0' || `${asIPv6(from)} ${asIPv6(to)}` !== ends) continue;
    return { inode, uid: Number(uid) };
  }
  return undefined;
}

/**
 * Finds the descriptor of a connection of this process. Returns undefined if there is none, or if the system is not
 * Linux.
 */
export function descriptorOf({
  local,
  remote,
}: {
  readonly local: Address;
  readonly remote: Address;
}): number | undefined {
  const inode = socketOf(local, remote)?.inode;
  if (inode === undefined) return undefined;
  const found = readdirSync('/proc/self/fd').find((fd) => linkOf(`/proc/self/fd/${fd}`) === `socket:[${inode}]`);
  return found === undefined ? undefined : Number(found);
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined; // `readdirSync` has closed its own descriptor
  }
}

function rows(): string[] {
  return ['/proc/self/net/tcp', '/proc/self/net/tcp6'].flatMap((path) => {
    try {
      return readFileSync(path, 'latin1').split('\n').slice(1, -1);
    } catch {
      return []; // not Linux, or no IPv6
    }
  });
}

/** The prefix that makes an IPv4 address an IPv6 address, as in the rows of IPv6 sockets. */
const mapped = '0000000000000000FFFF0000'.replace('FFFF0000', endianness() === 'LE' ? 'FFFF0000' : '0000FFFF');

function asIPv6(end: string): string {
  return end.length === '0100007F:0201'.length ? mapped + end : end;
}

/**
 * Formats an address and a port as in a row: in hexadecimal, with each group of 32 bits of the address in the machine's
 * byte order.
 */
function rowName(host: string, port: number): string {
  const words = isIPv4(host)
    ? Buffer.concat([Buffer.alloc(10), Buffer.from([255, 255]), bytesOfIPv4(host)])
    : bytesOfIPv6(host);
  const shown = endianness() === 'LE' ? words.swap32() : words;
  return `${shown.toString('hex')}:${port.toString(16).padStart(4, '0')}`.toUpperCase();
}

function bytesOfIPv4(host: string): Buffer {
  return Buffer.from(host.split('.').map(Number));
}

function bytesOfIPv6(host: string): Buffer {
  // URL normalizes the spelling of an address, such as ::FFFF:127.0.0.1 to ::ffff:7f00:1.
  const [address = ''] = host.split('%');
  const [head = '', tail = ''] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const groups = [head, tail].map((part) => (part === '' ? [] : part.split(':')));
  const missing = 8 - groups.flat().length;
  const all = [...(groups[0] ?? []), ...Array.from({ length: missing }, () => '0'), ...(groups[1] ?? [])];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}
