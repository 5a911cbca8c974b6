import type { Address } from '../../address/address.js';
import type { Connection } from '../../connection/connection.js';
import type { TlsInfo } from '../../transport/tls.js';

export type ConnectionInfo = Partial<Pick<Connection, 'local' | 'remote' | 'tls'>>;

export interface SocketAddress {
  readonly host: string;
  readonly port: number;
  readonly family: string;
}

export function tcpAddress(address: Address | undefined): SocketAddress | undefined {
  if (address?.transport !== 'tcp') return undefined;
  const { host, port } = address;
  return { host, port, family: host.includes(':') ? 'IPv6' : 'IPv4' };
}

/** Returns the members that a `tls.TLSSocket` has and a plain `net.Socket` does not have. */
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
