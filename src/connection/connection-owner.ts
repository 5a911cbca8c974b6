import type { Origin } from '../errors/error-origin.js';
import type { SocketError } from '../errors/socket-error.js';
import type { Closed } from './connection.js';

/** The server or the client that a connection `C` belongs to. */
export interface ConnectionOwner<C> extends Origin {
  /** Called when the connection is about to end its sending side. `error` is set if the connection has failed. */
  finishing(connection: C, error?: SocketError): void;
  /** Returns whether the owner will open another connection after `connection`. */
  outlives(connection: C): boolean;
  /** Called when a handler fails after its connection has failed or ended. */
  failedAfter?(error: SocketError): void;
  /** Called when the connection has closed, just before its `closed` emits. */
  connectionClosed(connection: C, outcome: Closed): void;
}
