import { Observable, Subscription } from 'rxjs';
import type { ConnectionState } from '../client/connection-state.js';
import { Session } from '../client/session.js';
import { SocketConnection } from '../connection/socket-connection.js';
import { SocketError } from '../errors/socket-error.js';

/** The clients that have a stream. A client has one connection, and two readers would take each other's bytes. */
const taken = new WeakSet<Session<any, any>>();

interface DialListener {
  connected(connection: SocketConnection<any, any>): void;
  /** The client ended before it was connected. */
  failed(error: unknown): void;
}

/** Takes a client for one stream: has it dial, and reports its first connection. */
export class ClientDial {
  readonly #client: Session<any, any>;
  readonly #subscription = new Subscription();

  /** @throws `ERR_OPTION_INVALID` if the client has an open stream */
  constructor(client: Session<any, any>) {
    if (taken.has(client)) {
      throw new SocketError(
        'ERR_OPTION_INVALID',
        'toNodeStream: this client has an open stream already, and a client has one connection: make a client for each stream',
      );
    }
    taken.add(client);
    this.#client = client;
  }

  /** Subscribes to the client, which dials. The listener may be called within this call. */
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
            // Another connection would be another stream.
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

  /** Gives the client back: another stream may take it. */
  release(): void {
    taken.delete(this.#client);
    this.#subscription.unsubscribe();
  }
}
