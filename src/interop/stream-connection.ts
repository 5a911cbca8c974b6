import type { Codec } from '../codecs/codec.js';
import type { SocketError } from '../errors/socket-error.js';
import { listenSettings } from '../options/settings.js';
import { type ConnectionOwner, SocketConnection } from '../connection/socket-connection.js';
import type { TransportSocket } from '../transport/transport.js';

/** A stream of somebody else's, as a socket. */
export interface StreamSocket extends TransportSocket {
  /** Tells why `reset` is about to be called, for those who use the stream as well. */
  failing(error: SocketError): void;
}

/**
 * Opens a connection over a stream. It has no timer of its own but `closeTimeout`: how long the stream may be silent, or
 * unread, is the matter of whoever made it.
 *
 * @param halfOpen - whether the sending side goes on after the receiving side has ended (C7)
 */
export function connectionOver<In, Out>(
  socket: StreamSocket,
  codec: Codec<In, Out>,
  halfOpen: boolean,
): SocketConnection<In, Out> {
  const settings = listenSettings<In, Out>({ codec, halfOpen, halfOpenTimeout: 0, claimTimeout: 0 });
  const keeper: ConnectionOwner<In, Out> = {
    reports: false,
    finishing: (_connection, error) => {
      if (error !== undefined) socket.failing(error);
    },
    outlives: () => false,
    connectionClosed: () => undefined,
  };
  return new SocketConnection(socket, settings, keeper).open();
}

/** What a stream that is given up is destroyed or aborted with: the reason that the user gave, or what has failed. */
export function reasonFor(error: SocketError): unknown {
  return error.code === 'ERR_CLOSED' ? (error.cause ?? error) : error;
}
