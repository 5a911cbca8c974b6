import type net from 'node:net';
import type { Address } from '../../address/address.js';
import { inheritedAddress } from './unix/inherited-socket.js';

/** The address of every unnamed peer. */
const unnamed: Address = Object.freeze({ transport: 'unix', path: '' });

/** Returns the address of this end of a connected socket; for a unix socket it returns `unix`. */
export function localAddressOf(socket: net.Socket, unix: Address): Address {
  if (unix.transport !== 'tcp' && socket.localAddress === undefined) return unix;
  return tcpAddress(socket.localAddress, socket.localPort);
}

/**
 * Returns the address of the other end.
 *
 * @param dialled - the address that this end has dialled, if it is a client's
 * @param bound - the address of the server that has accepted the socket, if it is a server's
 */
export function remoteAddressOf(socket: net.Socket, dialled: Address | undefined, bound?: Address): Address {
  if (dialled?.transport === 'unix' || (socket.remoteAddress === undefined && dialled !== undefined)) return dialled;
  if (bound?.transport === 'unix') return unnamed;
  // A peer that has already closed has no address, over TCP and unix sockets alike, so the server's address decides.
  if (socket.remoteAddress === undefined && bound?.transport !== 'tcp') return unnamed;
  return tcpAddress(socket.remoteAddress, socket.remotePort);
}

/** Returns the address that a server is bound to, with the port that the kernel chose, or the address of an inherited socket. */
export function boundAddressOf(server: net.Server, asked: Address): Address {
  const bound = server.address();
  if (bound === null || typeof bound === 'string') {
    return asked.transport === 'fd' ? (inheritedAddress(asked.fd) ?? asked) : asked;
  }
  return { transport: 'tcp', host: bound.address, port: bound.port };
}

/** Returns the same address with `tls: true`. */
export function withTls(address: Address): Address {
  return address.transport === 'tcp' ? { ...address, tls: true } : address;
}

/** Returns a TCP address, which is the unspecified one for a peer that has already closed. */
function tcpAddress(host: string | undefined, port: number | undefined): Address {
  return { transport: 'tcp', host: unmapped(host ?? '0.0.0.0'), port: port ?? 0 };
}

/** Turns an IPv4-mapped address into IPv4: a dual-stack listener reports IPv4 peers as `::ffff:127.0.0.1`. */
function unmapped(host: string): string {
  return host.startsWith('::ffff:') && host.includes('.') ? host.slice(7) : host;
}
