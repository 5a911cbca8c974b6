import { fstatSync } from 'node:fs';
import type net from 'node:net';
import { type Address, formatAddress } from '../address.js';
import { SocketError, systemError } from '../errors.js';

/** Servers whose inherited socket was used, by what they were made with. */
const used = new WeakSet<object>();

/**
 * Has `server` listen on a socket that this process was started with. It belongs to the server from then on, and is
 * closed with it; afterwards its number may be that of something else, so it is never used twice.
 *
 * @param owner - what is the same for each run of one server
 * @throws why it can't be
 */
export function listenInherited(server: net.Server, fd: number, backlog: number, owner: object): void {
  const address: Address = { transport: 'fd', fd };
  const action = `listen at ${formatAddress(address)}`;
  if (used.has(owner)) {
    throw new SocketError('EBADF', `${action}: EBADF (it was closed when the server stopped listening)`, { address });
  }
  if (!isSocket(fd, action, address)) {
    throw new SocketError('ENOTSOCK', `${action}: ENOTSOCK (it is no socket)`, { address });
  }
  used.add(owner);
  server.listen({ fd, backlog });
}

function isSocket(fd: number, action: string, address: Address): boolean {
  try {
    return fstatSync(fd).isSocket();
  } catch (cause) {
    throw systemError(cause, action, address);
  }
}
