import { filter, from, mergeMap, Observable, type ObservableInput, type OperatorFunction } from 'rxjs';
import type { Closed, Connection } from '../connection.js';
import { SocketConnection } from '../socket-connection.js';
import { SocketError } from '../errors.js';
import { mergeMapPaced } from './merge-map-paced.js';

export interface ServeOptions {
  readonly concurrent?: number;
}

type Handler<In, Out> = (connection: Connection<In, Out>) => ObservableInput<Out> | void;

export function serve<In, Out>(
  handler: Handler<In, Out>,
  options: ServeOptions = {},
): OperatorFunction<Connection<In, Out>, Closed> {
  const { concurrent } = options;
  const attend = (connection: Connection<In, Out>): Observable<Closed> => attended(connection, handler);
  return concurrent === undefined ? mergeMap(attend) : mergeMapPaced(attend, concurrent);
}

/** One connection with its handler: emits how it ended. */
function attended<In, Out>(connection: Connection<In, Out>, handler: Handler<In, Out>): Observable<Closed> {
  return new Observable((subscriber) => {
    subscriber.add(connection.closed.subscribe(subscriber));
    let replies: ObservableInput<Out> | void;
    try {
      replies = handler(connection);
    } catch (cause) {
      fail(connection, cause);
      return;
    }
    if (replies === undefined) return;
    const sending = connection.data.sendFrom(defined(replies)).subscribe({
      complete: () => {
        if (connection instanceof SocketConnection) connection.finishUnread();
      },
      error: (cause: unknown) => {
        // Where the connection itself has ended, that is what its handler was told.
        if (!connection.data.closed) fail(connection, cause);
      },
    });
    subscriber.add(sending);
  });
}

function fail<In, Out>(connection: Connection<In, Out>, cause: unknown): void {
  const error = new SocketError('ERR_HANDLER', `the handler failed: ${String(cause)}`, {
    address: connection.remote,
    cause,
  });
  if (connection instanceof SocketConnection) connection.fail(error);
}

/** An async function that returns nothing has nothing to send. */
function defined<T>(replies: ObservableInput<T>): ObservableInput<T> {
  if (!(replies instanceof Promise)) return replies;
  return from(replies).pipe(filter((value) => value !== undefined));
}
