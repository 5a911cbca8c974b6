/**
 * Reads Linux's table of TCP sockets in /proc. The functions find the socket, or the file descriptor, for two
 * addresses.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { endianness } from 'node:os';
import type { Address } from 'rxjs-sockets';

export interface Socket {
  /** The inode number of the socket. No other socket on this machine has this number. */
  readonly inode: string;
  /** The id of the user that created the socket. A process of a different user may hold the socket now. */
  readonly uid: number;
}

/**
 * Finds this machine's TCP socket with the addresses `local` and `remote`. Returns undefined if there is no such
 * socket, or if the system is not Linux.
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
 * Finds the file descriptor of a connection of this process. Returns undefined if there is no such descriptor, or if
 * the system is not Linux.
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
    return undefined; // the descriptor that `readdirSync` itself used is already closed
  }
}

function rows(): string[] {
  return ['/proc/self/net/tcp', '/proc/self/net/tcp6'].flatMap((path) => {
    try {
      return readFileSync(path, 'latin1').split('\n').slice(1, -1);
    } catch {
      return []; // the system is not Linux, or has no IPv6
    }
  });
}

/** The prefix that makes an IPv4 address an IPv6 address, as in the rows of IPv6 sockets. */
const mapped = '0000000000000000FFFF0000'.replace('FFFF0000', endianness() === 'LE' ? 'FFFF0000' : '0000FFFF');

function asIPv6(end: string): string {
  return end.length === '0100007F:0201'.length ? mapped + end : end;
}

/**
 * Formats an address and a port as a row of the table shows them: in hexadecimal, with each group of 32 bits of the
 * address in the byte order of the machine.
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
  // `URL` normalizes the spelling of an address: for example, ::FFFF:127.0.0.1 becomes ::ffff:7f00:1.
  const [address = ''] = host.split('%');
  const [head = '', tail = ''] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const groups = [head, tail].map((part) => (part === '' ? [] : part.split(':')));
  const missing = 8 - groups.flat().length;
  const all = [...(groups[0] ?? []), ...Array.from({ length: missing }, () => '0'), ...(groups[1] ?? [])];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}
