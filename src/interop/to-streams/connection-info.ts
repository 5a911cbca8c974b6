import type { Address } from '../../address/address.js';
import type { Connection } from '../../connection/connection.js';
import type { TlsInfo } from '../../transport/tls.js';

/** The properties of a connection that a `net.Socket` exposes: both addresses, and the state of TLS. */
export type ConnectionInfo = Partial<Pick<Connection, 'local' | 'remote' | 'tls'>>;

/** An address in the form in which `net.Socket` exposes it. */
export interface SocketAddress {
  readonly host: string;
  readonly port: number;
  readonly family: string;
}

/** Converts the address of one end. Returns undefined if it is not a TCP address. */
export function tcpAddress(address: Address | undefined): SocketAddress | undefined {
  if (address?.transport !== 'tcp') return undefined;
  const { host, port } = address;
  return { host, port, family: host.includes(':') ? 'IPv6' : 'IPv4' };
}

/** Returns the members that only a `tls.TLSSocket` has. */
export function tlsMembers(tls: TlsInfo): object {
  return {
    encrypted: true,
    authorized: tls.authorized,
    authorizationError: tls.authorizationError ?? null,
    alpnProtocol: tls.alpnProtocol ?? false,
    servername: tls.servername ?? false,
    getPeerCertificate: () => tls.peerCertificate,
    getProtocol: () => tls.protocol,
    getSession: () => tls.session,
  };
}
