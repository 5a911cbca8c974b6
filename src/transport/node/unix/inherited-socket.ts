import { fstatSync, lstatSync, readFileSync, readlinkSync } from 'node:fs';
import type net from 'node:net';
import { maxPathBytes, parseAddress } from '../../../address-parsing/parse-address.js';
import { formatAddress } from '../../../address/format-address.js';
import type { Address } from '../../../address/address.js';
import { decodeUtf8 } from '../../../bytes/utf8.js';
import { SocketError } from '../../../errors/socket-error.js';
import { systemError } from '../../../errors/node-errors.js';
import type { UnixAddress } from './socket-path.js';

/** The owners that have already used their inherited socket. */
const used = new WeakSet<object>();

/**
 * Makes `server` listen on a socket that this process was started with. Closing the server also closes the socket. A
 * second call with the same `owner` fails, because the descriptor may refer to a different file by that time.
 *
 * @param owner - an object that identifies the server: the same object each time the same server listens
 * @throws the reason, if the server cannot listen on the socket
 */
export function listenInherited(server: net.Server, fd: number, backlog: number, owner: object): void {
  const address: Address = { transport: 'fd', fd };
  const action = `listen at ${formatAddress(address)}`;
  if (used.has(owner)) {
    throw new SocketError('EBADF', `${action}: EBADF (the socket was closed when the server stopped listening)`, {
      address,
    });
  }
  if (!isSocket(fd, action, address)) {
    throw new SocketError('ENOTSOCK', `${action}: ENOTSOCK (the descriptor is not a socket)`, { address });
  }
  used.add(owner);
  server.listen({ fd, backlog });
}

/**
 * Returns the address of an inherited unix socket. Node does not report this address, but Linux lists the address in
 * `/proc/net/unix`.
 *
 * @returns the address, or `undefined` if the address cannot be found. The address cannot be found on systems other
 * than Linux, for a socket of a different network namespace, and for a socket whose file is no longer at its path
 */
export function inheritedAddress(fd: number): UnixAddress | undefined {
  try {
    const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1] ?? '';
    const name = listedName(readFileSync('/proc/net/unix', 'latin1'), inode);
    const isFile = name !== undefined && lstatSync(name, { throwIfNoEntry: false })?.isSocket() === true;
    // A listed name that starts with '@' is an abstract name or the relative path of a file. If a file exists at that
    // path, nothing shows whether the name is abstract, so return no address.
    if (name?.startsWith('@') === true) return isFile ? undefined : unixAddress(abstractName(name));
    return isFile ? unixAddress(name) : undefined;
  } catch {
    // The socket is not listed, the list cannot be read, or the listed name is not a valid address.
    return undefined;
  }
}

/**
 * Finds the name of the socket with this inode. `table` is the text of `/proc/net/unix`, read as latin1. The table has
 * an `@` for each NUL of an abstract name.
 */
export function listedName(table: string, inode: string): string | undefined {
  // A path with a line break can imitate a line of the table. If two lines have the same inode, either line may be the
  // imitation, so use neither line.
  const [entry, ...others] = table
    .split(/\n(?=[\da-f]+: [\dA-F]{8} [\dA-F]{8} [\dA-F]{8} [\dA-F]{4} [\dA-F]{2} )/)
    .map((line) => /^[\da-f]+: (?:\w+ ){5} *(\d+) (.+)$/s.exec(line.replace(/\n$/, '')))
    .filter((found) => found?.[1] === inode);
  if (entry === undefined || others.length > 0) return undefined;
  return decodeUtf8(Buffer.from(entry?.[2] ?? '', 'latin1'));
}

/** Removes padding from an abstract name. Some versions of Node pad an abstract name to 108 bytes with NULs. */
function abstractName(listed: string): string {
  const name = Buffer.byteLength(listed) > maxPathBytes ? listed.replace(/@+$/, '') : listed;
  return `\0${name.slice(1)}`;
}

function unixAddress(path: string): UnixAddress | undefined {
  const address = parseAddress({ path });
  return address.transport === 'unix' ? address : undefined;
}

function isSocket(fd: number, action: string, address: Address): boolean {
  try {
    return fstatSync(fd).isSocket();
  } catch (cause) {
    throw systemError(cause, action, address);
  }
}
