import type tls from 'node:tls';
import type { SocketError } from '../../../errors/socket-error.js';

export interface SecureSocket {
  readonly socket: tls.TLSSocket;
  /**
   * Whether the peer is allowed to end the stream with a FIN but without a close_notify, except within a frame (T11).
   */
  readonly allowHalfClosed: boolean;
}

/** Exactly one of these methods is called. */
export interface HandshakeEvents {
  onSecure(secure: SecureSocket): void;
  onError(error: SocketError): void;
}
