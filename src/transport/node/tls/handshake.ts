import type tls from 'node:tls';
import type { SocketError } from '../../../errors/socket-error.js';

/** A socket whose TLS handshake has succeeded. */
export interface SecureSocket {
  readonly socket: tls.TLSSocket;
  /** Whether a FIN without a close_notify between two frames is a proper end of the stream (T11). */
  readonly allowHalfClosed: boolean;
}

/** Receives how a handshake ends: exactly one of the two is called. */
export interface HandshakeEvents {
  onSecure(secure: SecureSocket): void;
  onError(error: SocketError): void;
}
