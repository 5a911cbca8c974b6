import {
  EMPTY,
  from,
  mergeMap,
  Observable,
  type ObservableInput,
  type OperatorFunction,
  Subscription,
  tap,
} from 'rxjs';
import { Channel } from '../channel/channel.js';
import { host } from '../channel/internal-access.js';
import type { Closed, Connection } from '../connection/connection.js';
import { SocketError } from '../errors/socket-error.js';
import { handlerError } from '../errors/handler-error.js';
import type { SendLane } from '../io/send-lane.js';
import { pacedFrom } from '../flow/pulled-flow.js';
import { SocketConnection } from '../connection/socket-connection.js';
import { mergeMapPaced } from '../flow/merge-map-paced.js';
import { checkExactOptions, integer, optional } from '../validation/checks.js';

/**
 * Configures {@link serve}.
 *
 * @example
 * ```ts
 * const options: ServeOptions = { concurrent: 100 };
 * ```
 * @see rules S5 and S6
 */
export interface ServeOptions {
  /**
   * The maximum number of connections that are served at the same time, at least 1. While that many connections are
   * served, the server is held.
   *
   * @defaultValue `undefined`: as many as `maxConnections` allows
   * @unit connections
   */
  readonly concurrent?: number | undefined;
}

/**
 * Serves each connection with a handler. `serve` sends the values that the handler returns, closes the connection, and
 * emits how the connection ended. An error in a handler ends only that handler's connection.
 *
 * `serve` also handles errors, and discards unread input. Apart from errors and unread input, `serve` is equivalent to:
 *
 * ```ts
 * function served<In, Out>(handler: (connection: Connection<In, Out>) => ObservableInput<Out>) {
 *   return mergeMap((connection: Connection<In, Out>) => {
 *     connection.data.sendFrom(handler(connection)).subscribe({ complete: () => connection.close() });
 *     return connection.closed;
 *   });
 * }
 * ```
 *
 * The handler is called when a connection is emitted. The handler may return:
 *
 * - an Observable, an iterable or any other source that RxJS accepts: the values of this source are sent.
 * - a promise: the promise's value is sent, unless the value is `undefined`. So an async function can also send
 *   everything itself, and return nothing.
 * - nothing: in this case, the handler has to end the connection itself.
 *
 * If a handler throws, or the source that the handler has returned fails, the handler's connection fails with
 * `ERR_HANDLER`. The connection's `closed` and the server's `incidents` report this error.
 *
 * @typeParam In - the messages that the connections receive
 * @typeParam Out - the messages that the connections send
 * @param handler - serves one connection
 * @param options - see {@link ServeOptions}
 * @returns an operator that emits how each connection ended. The operator's output completes when the server has
 * completed and every connection has closed. Unsubscribing stops the server and the handlers' sources, and closes the
 * connections gracefully. If the operator is applied to a server, the result is a Flow, and holding the result holds
 * the server
 * @throws `ERR_OPTION_INVALID` for a bad option; with `concurrent`, `ERR_NOT_A_FLOW` if the operator is applied to a
 * plain Observable
 * @backpressure while the connection is not writable, an iterable from the handler is not pulled, and a Flow from the
 * handler is held, as with {@link Channel.sendFrom}. With `concurrent`, further clients wait in the kernel's queue
 * @example
 * ```ts
 * const served = server.pipe(serve(({ data }) => data.pipe(map((line) => line.toUpperCase()))));
 * served.subscribe(({ reason, bytesRead }) => console.log(reason, bytesRead));
 * ```
 * @see rules S5 and S6
 */
export function serve<In, Out>(
  handler: (connection: Connection<In, Out>) => ObservableInput<Out> | PromiseLike<Out | void> | void,
  options: ServeOptions = {},
): OperatorFunction<Connection<In, Out>, Closed> {
  const checks = { concurrent: optional(integer(1, Number.MAX_SAFE_INTEGER)) };
  const { concurrent } = checkExactOptions('serve', checks, options);
  const project = (connection: Connection<In, Out>): Observable<Closed> => serveOne(connection, handler);
  return concurrent === undefined ? mergeMap(project) : mergeMapPaced(project, concurrent);
}

type Handler<In, Out> = (connection: Connection<In, Out>) => ObservableInput<Out> | PromiseLike<Out | void> | void;

function serveOne<In, Out>(connection: Connection<In, Out>, handler: Handler<In, Out>): Observable<Closed> {
  return new Observable((subscriber) => {
    let isOpen = true;
    subscriber.add(
      connection.closed.subscribe({
        next: (closed) => {
          isOpen = false;
          subscriber.next(closed);
        },
        error: (error: unknown) => subscriber.error(error),
        complete: () => subscriber.complete(),
      }),
    );
    try {
      const replies = handler(connection);
      if (replies !== undefined) subscriber.add(sendReplies(connection, replies));
    } catch (cause) {
      fail(connection, cause);
    }
    return () => {
      if (isOpen) void connection.close();
    };
  });
}

function sendReplies<In, Out>(
  connection: Connection<In, Out>,
  replies: ObservableInput<Out> | PromiseLike<Out | void>,
): Subscription {
  const { data } = connection;
  let isReported = false;
  const failing = tap<Out>({
    error: (cause: unknown) => {
      isReported = true;
      // A handler that fails with `ERR_CLOSED` only because its connection has ended is not at fault.
      if (!data.closed || !(cause instanceof SocketError && cause.code === 'ERR_CLOSED')) fail(connection, cause);
    },
  });
  // An async function is awaited to its end, even if the function itself ends the sending side.
  const sending = isPromise(replies)
    ? task(
        data,
        from(replies as PromiseLike<Out>).pipe(
          failing,
          mergeMap((value) => (value === undefined ? EMPTY : data.sendFrom([value]))),
        ),
      )
    : data.sendFrom(pacedFrom(replies).pipe(failing));
  // `failing` has already handled errors from the source. Any other error means that the sending side has ended.
  const finish = (): void => finishServing(connection);
  const subscription = sending.subscribe({ complete: finish, error: finish });
  // After the connection has ended, `sending` no longer awaits the async function. So report an error of the function
  // here.
  if (isPromise(replies)) {
    replies.then(undefined, (cause: unknown) => {
      if (subscription.closed && !isReported) fail(connection, cause);
    });
  }
  return subscription;
}

/** Makes a shutdown wait for `work` (S7). The idle timers are paused while `work` reads nothing (C27). */
function task(data: Channel<any, any>, work: Observable<never>): Observable<never> {
  return new Observable((subscriber) => {
    const lane = laneOf(data);
    if (lane === undefined) return work.subscribe(subscriber);
    lane.beginFunction();
    subscriber.add(work.subscribe(subscriber));
    return () => {
      lane.finishFunction();
    };
  });
}

function finishServing(connection: Connection<any, any>): void {
  const ours = socketConnectionOf(connection);
  if (ours !== undefined) ours.completeAndClose();
  else void connection.close();
}

function fail(connection: Connection<any, any>, cause: unknown): void {
  const ours = socketConnectionOf(connection);
  if (ours !== undefined) ours.failedBy(cause);
  else connection.destroy(handlerError(cause, connection.remote, 'the handler'));
}

/**
 * Returns the library's own connection. The argument may be an object in which the program has wrapped that connection.
 */
function socketConnectionOf({ data }: Connection<any, any>): SocketConnection<any, any> | undefined {
  const owner = data instanceof Channel ? data[host] : undefined;
  return owner instanceof SocketConnection ? owner : undefined;
}

function laneOf(data: Channel<any, any>): SendLane | undefined {
  return data instanceof Channel ? data[host].lane : undefined;
}

function isPromise(replies: object): replies is PromiseLike<unknown> {
  return typeof (replies as { then?: unknown }).then === 'function';
}
