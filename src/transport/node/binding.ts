import { once } from 'node:events';
import { lstatSync, statSync } from 'node:fs';
import type net from 'node:net';
import { dirname } from 'node:path';
import type { Address } from '../../address/address.js';
import { formatAddress } from '../../address/format-address.js';
import { systemError } from '../../errors/node-errors.js';
import { SocketError } from '../../errors/socket-error.js';
import type { ListenerOptions } from '../transport.js';
import { listenInherited } from './unix/inherited-socket.js';
import { claimSocketFile } from './unix/socket-file.js';
import type { UnixAddress } from './unix/socket-path.js';

/** The socket file of a server, published or not. */
export interface FileBinding {
  /**
   * Removes the file, or stops the attempt to publish the file. Call `close` before you close the server, because
   * another process may replace the file of a server that no longer listens.
   *
   * @returns a promise that resolves when all work on the file has finished
   */
  close(): Promise<void>;
}

/** Receives the result of publishing a socket file: exactly one method is called, or no method after `close`. */
export interface FileEvents {
  onPublished(): void;
  onError(cause: unknown): void;
}

/** Whether a server at `address` has a socket file. An abstract unix socket has no file. */
export function hasFile(address: Address): boolean {
  return address.transport === 'unix' && !address.path.startsWith('\0');
}

/**
 * Makes `server` listen at `address`. The server emits `'listening'` or `'error'`. If the address has a socket file,
 * clients can connect only when the file has been published. `onPublished` reports that the file has been published. If
 * the path is free, the file is published before this function returns (S12), and `onPublished` is called later.
 *
 * @returns the socket file, if the address has a socket file
 * @throws Node's error, if binding fails during the call
 */
export function bind(
  server: net.Server,
  address: Address,
  options: ListenerOptions,
  events: FileEvents,
): FileBinding | undefined {
  const { backlog, reusePort } = options;
  if (address.transport === 'fd') listenInherited(server, address.fd, backlog, options);
  else if (address.transport === 'tcp') {
    server.listen({ host: address.host, port: address.port, backlog, ...(reusePort ? { reusePort } : {}) });
  } else if (address.transport === 'unix') {
    if (hasFile(address)) return bindFile(server, address, options, events);
    server.listen({ path: address.path, backlog });
  }
  return undefined;
}

function bindFile(server: net.Server, address: UnixAddress, options: ListenerOptions, events: FileEvents): FileBinding {
  const claiming = new AbortController();
  const { signal } = claiming;
  const listen = (path: string): Promise<unknown> | undefined => {
    // The processes of a cluster cannot share the socket file, so each process has to bind its own file.
    server.listen({ path, backlog: options.backlog, exclusive: true });
    return server.listening ? undefined : once(server, 'listening', { signal });
  };
  const settled = claimSocketFile(address, options, listen, signal).then(
    () => {
      if (!signal.aborted) events.onPublished();
    },
    (cause: unknown) => {
      if (!signal.aborted) events.onError(cause);
    },
  );
  return {
    close(): Promise<void> {
      claiming.abort();
      return settled;
    },
  };
}

/**
 * Returns the error for a server that cannot listen at `address` (S3). libuv reports a missing folder as EACCES, so
 * this function checks whether the folder exists.
 */
export function bindError(cause: unknown, address: Address): SocketError {
  const action = `listen at ${formatAddress(address)}`;
  const error = systemError(cause, action, address);
  if (address.transport === 'fd' && error.code === 'EINVAL') {
    return new SocketError('EINVAL', `${action}: EINVAL (the descriptor is not a listening socket)`, {
      address,
      cause,
    });
  }
  if (address.transport !== 'unix' || !hasFile(address)) return error;
  if (error.code === 'EADDRINUSE' && isNoSocket(address.path)) {
    const message = `${action}: the file at this path is not a socket`;
    return new SocketError('ERR_NOT_A_SOCKET', message, { address, cause });
  }
  if (error.code === 'EADDRINUSE') {
    const hint = 'if no server listens there, remove the file';
    return new SocketError('EADDRINUSE', `${error.message}; ${hint}`, { address, cause });
  }
  const folder = dirname(address.path);
  if (error.code !== 'EACCES' || !isMissing(folder)) return error;
  return new SocketError('ENOENT', `${action}: ENOENT (the folder ${folder} does not exist)`, { address, cause });
}

function isNoSocket(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSocket() === false;
}

function isMissing(path: string): boolean {
  try {
    statSync(path);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}
