import type net from 'node:net';
import type { TlsStreamEnd } from './internals/close-notify.js';
import type { NodeInternals } from './internals/internals.js';

/** How the peer has ended its stream. */
export type StreamEnd =
  | { readonly how: 'finished' }
  /** Only a FIN came, where TLS should have ended the stream. */
  | { readonly how: 'truncated' }
  | { readonly how: 'reset'; readonly error: Error };

/** How the stream of a socket without TLS has ended, once `'end'` has come. */
export function plainEnd(socket: net.Socket, internals: NodeInternals): StreamEnd {
  const error = internals.hiddenReset(socket);
  return error === undefined ? { how: 'finished' } : { how: 'reset', error };
}

/**
 * How a stream of TLS has ended, once `'end'` has come.
 *
 * @param raw - the socket below TLS
 * @param end - has watched the socket of TLS since the handshake
 * @param mayLackNotify - whether the peer is a server that has sent something: a server on Node sends no close_notify when
 * it ends in the turn of its first write
 */
export function tlsEnd(
  raw: net.Socket,
  end: TlsStreamEnd,
  internals: NodeInternals,
  mayLackNotify: boolean,
): StreamEnd {
  // A stream that TLS has ended is whole, whatever became of the transport below it.
  if (!end.isTruncated) return { how: 'finished' };
  const plain = plainEnd(raw, internals);
  if (plain.how === 'reset') return plain;
  return mayLackNotify ? plain : { how: 'truncated' };
}
