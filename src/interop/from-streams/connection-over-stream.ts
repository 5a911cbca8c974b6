import type { Codec } from '../../codecs/codec.js';
import type { SocketError } from '../../errors/socket-error.js';
import { listenSettings } from '../../options/settings.js';
import type { ConnectionOwner } from '../../connection/connection-owner.js';
import { SocketConnection } from '../../connection/socket-connection.js';
import type { TransportSocket } from '../../transport/transport.js';

export interface StreamSocket extends TransportSocket {
  /** Sets the error with which `reset` destroys or aborts the stream. */
  setResetReason(error: SocketError): void;
}

/**
 * Opens a connection on `socket`. The program decides how long its stream is allowed to be idle, so the connection has
 * no timeout except `closeTimeout`.
 *
 * @param halfOpen - whether the sending side stays open after the peer has ended its stream (C7)
 */
export function connectionOver<In, Out>(
  socket: StreamSocket,
  codec: Codec<In, Out>,
  halfOpen: boolean,
): SocketConnection<In, Out> {
  const settings = listenSettings<In, Out>({ codec, halfOpen, halfOpenTimeout: 0, claimTimeout: 0 });
  const owner: ConnectionOwner<SocketConnection<In, Out>> = {
    hasIncidents: false,
    finishing: (_connection, error) => {
      if (error !== undefined) socket.setResetReason(error);
    },
    outlives: () => false,
    connectionClosed: () => undefined,
  };
  return new SocketConnection(socket, settings, owner).open();
}

/**
 * Returns the reason with which the program destroyed the connection. If the program gave no reason, returns `error`.
 */
export function destroyReason(error: SocketError): unknown {
  return error.code === 'ERR_CLOSED' ? (error.cause ?? error) : error;
}
