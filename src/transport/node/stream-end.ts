import type net from 'node:net';
import type { TlsStreamEnd } from './internals/close-notify.js';
import type { NodeInternals } from './internals/internals.js';

/** How the peer has ended its stream. */
export type StreamEnd =
  | { readonly how: 'finished' }
  /** A FIN arrived without the close_notify that should have ended the TLS stream. */
  | { readonly how: 'truncated' }
  | { readonly how: 'reset'; readonly error: Error };

/** Returns how a stream without TLS has ended. Call after `'end'`. */
export function plainEnd(socket: net.Socket, internals: NodeInternals): StreamEnd {
  const error = internals.hiddenReset(socket);
  return error === undefined ? { how: 'finished' } : { how: 'reset', error };
}

/**
 * Returns how a TLS stream has ended. Call after `'end'`.
 *
 * @param raw - the socket below TLS
 * @param end - the result of `watchTlsEnd`
 * @param mayLackNotify - whether the peer is a server that has sent bytes. A Node server sends no close_notify if it
 * ends the stream in the same turn as its first write
 */
export function tlsEnd(
  raw: net.Socket,
  end: TlsStreamEnd,
  internals: NodeInternals,
  mayLackNotify: boolean,
): StreamEnd {
  // After a close_notify the stream is complete, even if the connection was reset afterwards.
  if (!end.isTruncated) return { how: 'finished' };
  const plain = plainEnd(raw, internals);
  if (plain.how === 'reset') return plain;
  return mayLackNotify ? plain : { how: 'truncated' };
}
