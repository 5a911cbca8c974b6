import type { Address } from '../../../address/address.js';
import { systemError } from '../../../errors/node-errors.js';
import { SocketError } from '../../../errors/socket-error.js';

/** Converts an error from a TLS socket: network errors keep their codes, and all other errors become `ERR_TLS`. */
export function tlsError(cause: unknown, action: string, address?: Address): SocketError {
  const code = (cause as { code?: unknown } | undefined)?.code;
  // The codes of OpenSSL's own errors have underscores, or are EPROTO.
  const isSystem = typeof code === 'string' && /^E[A-Z\d]+$/.test(code) && code !== 'EPROTO';
  return isSystem ? systemError(cause, action, address) : handshakeError(cause, action, address);
}

/** Converts an error from a handshake. Even an error of the network becomes `ERR_TLS`; a `SocketError` is unchanged. */
export function handshakeError(cause: unknown, action = 'the TLS handshake failed', address?: Address): SocketError {
  if (cause instanceof SocketError) return cause;
  return new SocketError('ERR_TLS', `${action}: ${detailOf(cause)}`, { address, cause });
}

/** Strips the error codes, file names and line numbers with which OpenSSL surrounds the reason. */
function detailOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return /:error:[^:]*:[^:]*:[^:]*:([^:]+):/.exec(cause.message)?.[1] ?? cause.message;
}
