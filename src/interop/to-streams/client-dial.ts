import { Observable, Subscription } from 'rxjs';
import type { ConnectionState } from '../../client/connection-state.js';
import { Session } from '../../client/session.js';
import { SocketConnection } from '../../connection/socket-connection.js';
import { SocketError } from '../../errors/socket-error.js';

/**
 * The clients that have an open stream. If one client had two streams, each stream would miss the bytes that the other
 * stream has read.
 */
const clientsWithStream = new WeakSet<Session<any, any>>();

interface DialListener {
  connected(connection: SocketConnection<any, any>): void;
  failed(error: unknown): void;
}

/** Makes a client dial for one stream, and reports the client's first connection. */
export class ClientDial {
  readonly #client: Session<any, any>;
  readonly #subscription = new Subscription();

  /** @throws `ERR_OPTION_INVALID` if the client already has an open stream */
  constructor(client: Session<any, any>) {
    if (clientsWithStream.has(client)) {
      throw new SocketError(
        'ERR_OPTION_INVALID',
        'toNodeStream: the client already has an open stream; use a client for each stream',
      );
    }
    clientsWithStream.add(client);
    this.#client = client;
  }

  /** `start` may call a method of `listener` before `start` returns. */
  start(listener: DialListener): void {
    const states = new Observable<ConnectionState<any, any>>((subscriber) => this.#client.watch(subscriber));
    let isConnected = false;
    const ended = (error: unknown): void => {
      if (!isConnected) listener.failed(error);
    };
    this.#subscription.add(
      states.subscribe({
        next: (state) => {
          if (isConnected) {
            // The stream ends when its connection ends, so the client must not dial again.
            if (state.status === 'disconnected') this.#subscription.unsubscribe();
          } else if (state.status === 'connected' && state.connection instanceof SocketConnection) {
            isConnected = true;
            listener.connected(state.connection);
          }
        },
        error: ended,
        complete: () => {
          ended(new SocketError('ERR_CLOSED', 'the client ended before it was connected'));
        },
      }),
    );
  }

  release(): void {
    clientsWithStream.delete(this.#client);
    this.#subscription.unsubscribe();
  }
}
