import type net from 'node:net';
import type { Address } from '../../address/address.js';
import { inheritedName } from './unix/inherited-socket.js';

/** All unnamed peers have this one. */
const unnamed: Address = Object.freeze({ transport: 'unix', path: '' });

/** The name of this end of a connected socket; a unix socket's is known from elsewhere. */
export function localName(socket: net.Socket, unix: Address): Address {
  if (unix.transport !== 'tcp' && socket.localAddress === undefined) return unix;
  return tcpName(socket.localAddress, socket.localPort);
}

/** The name of the other end, which is `dialled` where this end has dialled it, or has come to a server at `bound`. */
export function remoteName(socket: net.Socket, dialled: Address | undefined, bound?: Address): Address {
  if (dialled?.transport === 'unix' || (socket.remoteAddress === undefined && dialled !== undefined)) return dialled;
  if (bound?.transport === 'unix') return unnamed;
  // A peer that has gone before it could be asked tells no address, whatever it came over.
  if (socket.remoteAddress === undefined && bound?.transport !== 'tcp') return unnamed;
  return tcpName(socket.remoteAddress, socket.remotePort);
}

/** The name that a server got: with the port that the kernel chose, say, or that of an inherited socket, if it has one. */
export function boundName(server: net.Server, asked: Address): Address {
  const name = server.address();
  if (name === null || typeof name === 'string') {
    return asked.transport === 'fd' ? (inheritedName(asked.fd) ?? asked) : asked;
  }
  return { transport: 'tcp', host: name.address, port: name.port };
}

/** The same name, as one behind which TLS is spoken. */
export function withTls(address: Address): Address {
  return address.transport === 'tcp' ? { ...address, tls: true } : address;
}

/** A peer that has gone before it could be asked has the unspecified address. */
function tcpName(host: string | undefined, port: number | undefined): Address {
  return { transport: 'tcp', host: unmapped(host ?? '0.0.0.0'), port: port ?? 0 };
}

/** A dual-stack listener gives IPv4 peers as `::ffff:127.0.0.1`. */
function unmapped(host: string): string {
  return host.startsWith('::ffff:') && host.includes('.') ? host.slice(7) : host;
}
