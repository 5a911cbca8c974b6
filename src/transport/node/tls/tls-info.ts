import type tls from 'node:tls';
import { describeValue } from '../../../errors/describe-value.js';
import type { TlsInfo } from '../../tls.js';

/** Describes the peer. A client's `session` is replaced whenever the server sends a new session. */
export function tlsInfo(socket: tls.TLSSocket, isClient: boolean): TlsInfo {
  const { servername } = socket as { servername?: string | false | null };
  const { alpnProtocol, authorizationError } = socket as {
    alpnProtocol: string | false | null;
    authorizationError: unknown;
  };
  const info: { -readonly [Name in keyof TlsInfo]: TlsInfo[Name] } = {
    authorized: socket.authorized,
    ...(authorizationError === undefined || authorizationError === null
      ? {}
      : { authorizationError: describeValue(authorizationError) }),
    peerCertificate: socket.getPeerCertificate(),
    ...(typeof servername === 'string' ? { servername } : {}),
    ...(typeof alpnProtocol === 'string' ? { alpnProtocol } : {}),
    protocol: socket.getProtocol() ?? 'unknown',
  };
  if (isClient) {
    // With TLS 1.3, a client can resume only a session that the server has sent after the handshake.
    const session = info.protocol !== 'TLSv1.3' || socket.isSessionReused() ? socket.getSession() : undefined;
    if (session !== undefined) info.session = session;
    socket.on('session', (latest) => {
      info.session = latest;
    });
  }
  return info;
}
