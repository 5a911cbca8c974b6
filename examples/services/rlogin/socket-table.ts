/** The kernel's table of TCP sockets, which Linux shows in /proc: it leads from two addresses to a descriptor, or to a process. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { endianness } from 'node:os';
import type { Address } from 'rxjs-sockets';

/** A socket of this machine. */
export interface Socket {
  /** A number that no other socket has. */
  readonly inode: string;
  /** The user that made it, whoever holds it now. */
  readonly uid: number;
}

/**
 * Finds the TCP socket of this machine that has these two ends.
 *
 * @returns undefined where there is no such socket, or no Linux
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

/** Finds the descriptor of a connection of this process; undefined where there is none, or no Linux. */
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
    return undefined; // the descriptor with which the folder was read is closed by now
  }
}

function rows(): string[] {
  return ['/proc/self/net/tcp', '/proc/self/net/tcp6'].flatMap((path) => {
    try {
      return readFileSync(path, 'latin1').split('\n').slice(1, -1);
    } catch {
      return []; // no Linux, or no IPv6
    }
  });
}

/** How a row shows an IPv4 address if an IPv6 socket has it. */
const mapped = '0000000000000000FFFF0000'.replace('FFFF0000', endianness() === 'LE' ? 'FFFF0000' : '0000FFFF');

function asIPv6(end: string): string {
  return end.length === '0100007F:0201'.length ? mapped + end : end;
}

/** How a row shows an address and a port: each 32 bits of the address in the byte order of the machine, in hexadecimal. */
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
  // URL writes every spelling of an address in one way, such as ::ffff:7f00:1 for ::FFFF:127.0.0.1.
  const [address = ''] = host.split('%');
  const [head = '', tail = ''] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const groups = [head, tail].map((part) => (part === '' ? [] : part.split(':')));
  const missing = 8 - groups.flat().length;
  const all = [...(groups[0] ?? []), ...Array.from({ length: missing }, () => '0'), ...(groups[1] ?? [])];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}
