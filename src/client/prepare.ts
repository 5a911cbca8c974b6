import { Subscription, from } from 'rxjs';
import type { SocketConnection } from '../connection/socket-connection.js';
import { originOf } from '../errors/error-origin.js';
import { handlerError } from '../errors/handler-error.js';
import { SocketError } from '../errors/socket-error.js';
import type { Prepare } from '../options/connect-options.js';

/**
 * Runs the client's option `prepare` on a connection that was just opened (K18).
 *
 * @param done - called at most once, when `prepare` or the connection has ended. `error` is set if `prepare` has
 * failed, or if the connection has ended first
 * @returns a Subscription. Unsubscribing before `done` is called stops `prepare` and resets the connection
 */
export function prepareConnection<In, Out>(
  connection: SocketConnection<In, Out>,
  prepare: Prepare<In, Out>,
  done: (error?: SocketError) => void,
): Subscription {
  const running = new Subscription();
  let isOver = false;
  const end = (error?: SocketError): void => {
    // The connection may have failed although `prepare` has completed. If so, wait for `closed`, which is about to
    // report the connection's error.
    if (isOver || (error === undefined && connection.hasFailed)) return;
    isOver = true;
    running.unsubscribe();
    if (error !== undefined) connection.destroy(error);
    done(error);
  };
  const failed = (cause: unknown): void => {
    // If `prepare` fails only because its connection has failed, report the connection's error.
    const isOwn = cause instanceof SocketError && originOf(cause) === connection;
    end(isOwn ? cause : handlerError(cause, connection.remote, 'prepare'));
  };
  running.add(
    connection.closed.subscribe({
      next: ({ error }) => {
        const message = 'the connection ended before `prepare` had completed';
        end(error ?? new SocketError('ERR_CLOSED', message, { address: connection.remote }));
      },
      error: failed,
    }),
  );
  try {
    const work = prepare(connection);
    if (work === undefined) end();
    else running.add(from(work).subscribe({ error: failed, complete: () => end() }));
  } catch (cause) {
    failed(cause);
  }
  return new Subscription(() => {
    if (isOver) return;
    isOver = true;
    running.unsubscribe();
    connection.destroy();
  });
}
