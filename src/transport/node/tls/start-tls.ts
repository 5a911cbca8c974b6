import type net from 'node:net';
import type { Address } from '../../../address/address.js';
import type { ServerTls, StartTlsOptions } from '../../tls.js';
import { checkClientTls } from './check-tls-options.js';
import { secureClient } from './client-handshake.js';
import type { HandshakeEvents } from './handshake.js';
import type { TlsAcceptors } from './server-handshakes.js';

/** Starts the handshake on `raw`, which must no longer have a reader. */
export type TlsStarter = (raw: net.Socket, remote: Address, events: HandshakeEvents) => void;

/**
 * Whether this end is the TLS server, because this end has accepted the connection, or because `isServer` is true
 * (T10).
 */
export function isTlsServer(options: StartTlsOptions, dialled: Address | undefined): boolean {
  return dialled === undefined || (Object(options) as { readonly isServer?: unknown }).isServer === true;
}

/**
 * Prepares to start TLS on an open connection (T10). Throws `ERR_OPTION_INVALID` for options that cannot work.
 *
 * @param dialled - the address that this end has dialled; undefined if this end has accepted the connection
 */
export function prepareTls(
  options: StartTlsOptions,
  dialled: Address | undefined,
  acceptors: TlsAcceptors,
): TlsStarter {
  if (dialled !== undefined && !isTlsServer(options, dialled)) {
    checkClientTls(options);
    return (raw, _remote, events) => {
      secureClient(raw, options, dialled, events);
    };
  }
  const acceptor = acceptors.of(options as ServerTls);
  const server = acceptor.prepare();
  return (raw, remote, events) => {
    acceptor.secure(raw, remote, events, server);
  };
}
