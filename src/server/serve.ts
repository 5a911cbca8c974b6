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
import { host } from '../channel/channel-host.js';
import type { Closed, Connection } from '../connection/connection.js';
import { SocketError } from '../errors/socket-error.js';
import { handlerError } from '../errors/node-errors.js';
import type { SendLane } from '../io/outbound.js';
import { pacedFrom } from '../flow/pulled-flow.js';
import { SocketConnection } from '../connection/socket-connection.js';
import { mergeMapPaced } from '../flow/merge-map-paced.js';
import { checkOptions, integer, optional, refuseUnknown } from '../validation/checks.js';

/**
 * Sets how {@link serve} serves.
 *
 * @backpressure `concurrent` bounds how many clients are served at once
 * @example
 * ```ts
 * const options: ServeOptions = { concurrent: 100 };
 * ```
 * @see rules S5 and S6
 */
export interface ServeOptions {
  /**
   * How many connections may be served at once; the server is held while so many are. A whole number from 1; default
   * none: as many as `maxConnections` allows.
   */
  readonly concurrent?: number | undefined;
}

/**
 * Has a handler serve each connection: sends what the handler gives, closes the connection after it, and tells how each
 * ended. What goes wrong in a handler ends its own connection alone.
 *
 * Apart from the handling of errors and of the input that nobody reads, it is equivalent to:
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
 * @typeParam In - what the connections receive
 * @typeParam Out - what they send
 * @param handler - called with each connection within its emission. What it gives is sent; an iterable is pulled, a Flow
 * is held, while the connection isn't writable. The value of a promise is sent unless it is `undefined`, so an async
 * function may send by itself, and the connection ends after it. A handler that returns nothing at all looks after its
 * connection itself
 * @param options - see {@link ServeOptions}; none by default
 * @returns an operator; applied to a server it makes a Flow, and holding that holds the server
 * @emits how each connection ended, when it has; completes when the server has completed and every connection ended.
 * What a handler throws or fails with is no error of it: it is `ERR_HANDLER` in that connection's `closed`, and in the
 * server's `incidents` (S6)
 * @throws `ERR_OPTION_INVALID`, at once, for a bad `concurrent`; `ERR_NOT_A_FLOW`, at once, where with `concurrent` it is
 * applied to what is no Flow (F6)
 * @backpressure the handler's source waits for the peer, as with {@link Channel.sendFrom}; with `concurrent`, further
 * clients wait in the kernel's queue (S5)
 * @teardown unsubscribing stops the handlers' sources and the server, and closes the connections that were served
 * gracefully (C11)
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
  const { concurrent } = checkOptions(checks, options);
  refuseUnknown('serve', checks, options);
  const attend = (connection: Connection<In, Out>): Observable<Closed> => attended(connection, handler);
  return concurrent === undefined ? mergeMap(attend) : mergeMapPaced(attend, concurrent);
}

type Handler<In, Out> = (connection: Connection<In, Out>) => ObservableInput<Out> | PromiseLike<Out | void> | void;

/** One connection with its handler: emits how it ended. */
function attended<In, Out>(connection: Connection<In, Out>, handler: Handler<In, Out>): Observable<Closed> {
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
      if (replies !== undefined) subscriber.add(answered(connection, replies));
    } catch (cause) {
      fail(connection, cause);
    }
    return () => {
      if (isOpen) void connection.close();
    };
  });
}

/** Sends what the handler gives, and ends the connection after it. */
function answered<In, Out>(
  connection: Connection<In, Out>,
  replies: ObservableInput<Out> | PromiseLike<Out | void>,
): Subscription {
  const { data } = connection;
  let isKnown = false;
  const failing = tap<Out>({
    error: (cause: unknown) => {
      isKnown = true;
      // That its connection ends while it sends is no failure of a handler.
      if (!data.closed || !(cause instanceof SocketError && cause.code === 'ERR_CLOSED')) fail(connection, cause);
    },
  });
  // An async function is heard to its end, also where it ends the sending side itself; what gives nothing sends nothing.
  const sending = isPromise(replies)
    ? task(
        data,
        from(replies as PromiseLike<Out>).pipe(
          failing,
          mergeMap((value) => (value === undefined ? EMPTY : data.sendFrom([value]))),
        ),
      )
    : data.sendFrom(pacedFrom(replies).pipe(failing));
  // An error that `failing` was not told of means that the sending side has ended before: there is no more to send.
  const finish = (): void => finishServing(connection);
  const subscription = sending.subscribe({ complete: finish, error: finish });
  // Nobody waits any more for an async function whose connection has ended, but a fault of its own is not to be lost.
  if (isPromise(replies)) {
    replies.then(undefined, (cause: unknown) => {
      if (subscription.closed && !isKnown) fail(connection, cause);
    });
  }
  return subscription;
}

/** Has a shutdown wait for `work` (S7), and no silence count while it reads nothing (C27). */
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

/** Ends the sending side, and the connection once nobody reads it any more. */
function finishServing(connection: Connection<any, any>): void {
  const port = portOf(connection);
  if (port !== undefined) port.finishUnread();
  else void connection.close();
}

function fail(connection: Connection<any, any>, cause: unknown): void {
  const port = portOf(connection);
  if (port !== undefined) port.failedBy(cause);
  else connection.destroy(handlerError(cause, connection.remote, 'the handler'));
}

/** What is behind the channel of a connection, which itself may be one that a user has wrapped around ours. */
function portOf({ data }: Connection<any, any>): SocketConnection<any, any> | undefined {
  const port = data instanceof Channel ? data[host] : undefined;
  return port instanceof SocketConnection ? port : undefined;
}

function laneOf(data: Channel<any, any>): SendLane | undefined {
  return data instanceof Channel ? data[host].lane : undefined;
}

function isPromise(replies: object): replies is PromiseLike<unknown> {
  return typeof (replies as { then?: unknown }).then === 'function';
}
