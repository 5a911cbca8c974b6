import type net from 'node:net';
import type { Address } from '../../address/address.js';
import type { HandleName, StreamHandle } from './internals/stream-handle.js';
import { inheritedAddress } from './unix/inherited-socket.js';

/** The addresses of a socket, as a `net.Socket` has them; undefined for a unix socket, or if the socket has closed. */
export interface SocketNames {
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}

export function localNameOf(handle: StreamHandle): SocketNames {
  const name: HandleName = {};
  handle.getsockname?.(name);
  return { localAddress: name.address, localPort: name.port };
}

export function remoteNameOf(handle: StreamHandle): SocketNames {
  const name: HandleName = {};
  handle.getpeername?.(name);
  return { remoteAddress: name.address, remotePort: name.port };
}

/** The address of a unix peer without a path. */
const unnamed: Address = Object.freeze({ transport: 'unix', path: '' });

/** Returns the local address of a connected socket, or `unix` for a unix socket. */
export function localAddressOf(socket: SocketNames, unix: Address): Address {
  if (unix.transport !== 'tcp' && socket.localAddress === undefined) return unix;
  return tcpAddress(socket.localAddress, socket.localPort);
}

/**
 * @param dialled - the address that was dialled, if this end is the client
 * @param bound - the address of the server, if the socket was accepted
 */
export function remoteAddressOf(socket: SocketNames, dialled: Address | undefined, bound?: Address): Address {
  if (dialled?.transport === 'unix' || (socket.remoteAddress === undefined && dialled !== undefined)) return dialled;
  if (bound?.transport === 'unix') return unnamed;
  // If the socket has no `remoteAddress`, it is a unix socket, or a TCP socket that has already closed. If the server's
  // address is not a TCP address, treat the peer as a unix socket.
  if (socket.remoteAddress === undefined && bound?.transport !== 'tcp') return unnamed;
  return tcpAddress(socket.remoteAddress, socket.remotePort);
}

export function boundAddressOf(server: net.Server, asked: Address): Address {
  const bound = server.address();
  if (bound === null || typeof bound === 'string') {
    return asked.transport === 'fd' ? (inheritedAddress(asked.fd) ?? asked) : asked;
  }
  return { transport: 'tcp', host: bound.address, port: bound.port };
}

export function withTls(address: Address): Address {
  return address.transport === 'tcp' ? { ...address, tls: true } : address;
}

/** Returns a TCP address; for a socket that has already closed, the address is `0.0.0.0` with port 0. */
function tcpAddress(host: string | undefined, port: number | undefined): Address {
  return { transport: 'tcp', host: unmapped(host ?? '0.0.0.0'), port: port ?? 0 };
}

/** Converts an IPv4-mapped address to IPv4, because a dual-stack listener reports IPv4 peers as `::ffff:127.0.0.1`. */
function unmapped(host: string): string {
  return host.startsWith('::ffff:') && host.includes('.') ? host.slice(7) : host;
}
