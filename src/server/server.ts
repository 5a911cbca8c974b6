import type { Observable, Subscriber, TeardownLogic } from 'rxjs';
import type { Address } from '../address/address.js';
import type { Connection } from '../connection/connection.js';
import { SocketError } from '../errors/socket-error.js';
import { Flow } from '../flow/flow.js';
import type { Hold } from '../flow/hold.js';
import { endsServer } from '../flow/reported-errors.js';
import type { ShutdownOptions } from '../options/shutdown-options.js';
import { Acceptor } from './acceptor.js';

/**
 * A Flow of accepted connections. All subscribers share one listener. While the Flow is held, the listener accepts no
 * clients.
 *
 * Apart from `hold`, the Flow is equivalent to:
 *
 * ```ts
 * const server = new Observable<Socket>((subscriber) => {
 *   const listener = createServer({ allowHalfOpen: true }, (socket) => subscriber.next(socket));
 *   listener.on('error', (error) => subscriber.error(error));
 *   listener.listen(address);
 *   return () => listener.close();
 * }).pipe(share());
 * ```
 *
 * A server emits connections in the order in which they were accepted. Nothing is read from a connection before it is
 * emitted. The Flow completes after {@link Server.shutdown}. The Flow fails with a `SocketError` if the server's
 * address cannot be bound; a new subscription tries to bind again.
 *
 * When the last subscriber leaves, the listener is closed, the socket file is removed, and clients that have not been
 * emitted yet are reset. Emitted connections stay open.
 *
 * @typeParam In - the messages that the server's connections receive; `Buffer` by default, as without a codec
 * @typeParam Out - the messages that the server's connections send; bytes or text by default
 * @backpressure while the server is held, up to `backlog` clients wait in the kernel's queue. If the listener cannot
 * stop accepting, up to `acceptQueue` clients wait in the process, and further clients are reset
 * @example
 * ```ts
 * for await (const connection of server) await serveOne(connection); // one client at a time
 * ```
 * @see rules S1 to S17
 */
export class Server<In = Buffer, Out = Uint8Array | string> extends Flow<Connection<In, Out>> {
  private readonly acceptor: Acceptor<In, Out>;

  /** @internal */
  constructor(acceptor: Acceptor<In, Out>) {
    super();
    this.acceptor = acceptor;
  }

  /**
   * Emits the bound address, with the actual port. Subscribing to `listening` does not bind the server.
   *
   * @returns an Observable that emits the address when the server is bound, or immediately if the server is bound
   * already. The Observable completes when the listener is closed, and never fails
   * @example
   * ```ts
   * server.listening.subscribe((address) => console.log(`at ${formatAddress(address)}`));
   * ```
   * @see rules S1 and S10
   */
  get listening(): Observable<Address> {
    return this.acceptor.listening;
  }

  /**
   * The emitted connections that are still open. The set stays valid after the server has completed.
   *
   * @returns a live set, always the same object, with at most `maxConnections` members
   * @example
   * ```ts
   * for (const connection of server.connections) connection.data.next('the server will be back in a minute');
   * ```
   * @see rule S1
   */
  get connections(): ReadonlySet<Connection<In, Out>> {
    return this.acceptor.connections;
  }

  /**
   * Emits errors that do not end the server, so that you can log them:
   *
   * - the error of each failed connection, which is also the `error` in the connection's `closed`;
   * - the error of each client that was not accepted: `ERR_LIMIT_CONNECTIONS` (beyond `maxConnections` or
   *   `acceptQueue`), `ERR_TLS`, `ERR_PROXY_HEADER` or `ERR_TIMEOUT_HANDSHAKE`;
   * - the error of each handler that fails after its connection has already failed or ended;
   * - `EMFILE` or `ENFILE`, at most once a second, while too few file descriptors are free.
   *
   * @returns a hot Observable without a buffer, which completes after {@link Server.shutdown} and never fails
   * @example
   * ```ts
   * server.incidents.subscribe((error) => console.log(error.code, error.message));
   * ```
   * @see rules S4, S5 and S15
   */
  get incidents(): Observable<SocketError> {
    return this.acceptor.incidents;
  }

  /**
   * Closes the server for good, after its handlers have finished with the received data.
   *
   * 1. The server stops accepting, removes its socket file, and resets clients that have not been emitted yet. {@link
   *    Server.listening} completes.
   * 2. Each connection's receiving side completes after the data already received, as if the peer had sent a FIN. An
   *    unfinished frame is dropped.
   * 3. Handlers of {@link serve}, and sends from a source (`sendFrom`, `sendTo`, `relay`, a Flow subscribed to a
   *    channel), run to completion. Subscribers that hold their Flow, such as `for await` and the paced operators, read
   *    the received data at their own pace.
   * 4. A connection without work in progress flushes its data and closes gracefully.
   * 5. At `deadline` the remaining connections are aborted. The `closed` of each aborted connection reports
   *    `ERR_TIMEOUT_CLOSE`. If the transport can reset a connection, the peer gets a reset.
   * 6. When every connection has closed, the server and {@link Server.incidents} complete.
   *
   * If a handler returns an endless source, such as an `interval`, end that source when `connection.data` completes:
   * `takeUntil(data.pipe(ignoreElements(), endWith(true)))`.
   *
   * @param options - see {@link ShutdownOptions}
   * @returns a promise that resolves when all sockets are closed, all timers are stopped, and the socket file is
   * removed. A second call returns the same promise. The promise rejects only for a bad option, with
   * `ERR_OPTION_INVALID`
   * @example
   * ```ts
   * await server.shutdown({ deadline: 1_000 });
   * ```
   * @see rules C11, S7, S10, S11 and S14
   */
  shutdown(options: ShutdownOptions = {}): Promise<void> {
    return this.acceptor.shutdown(options);
  }

  /**
   * Calls {@link Server.shutdown} at the end of an `await using` block.
   *
   * @example
   * ```ts
   * await using server = listen('tcp://localhost:7000', { codec: lines() });
   * ```
   * @see rule C29
   */
  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  /**
   * Stops accepting clients. Further clients wait in the kernel's queue. When the Hold is released, the waiting clients
   * are accepted in the order in which they arrived.
   *
   * @returns the Hold; release the Hold to accept clients again
   * @example
   * ```ts
   * const hold = server.hold();
   * await warmUp();
   * hold.release();
   * ```
   * @see rule S5
   */
  override hold(): Hold {
    return this.acceptor.multicast.hold();
  }

  /** @internal */
  override get [endsServer](): boolean {
    return true;
  }

  protected override _subscribe(subscriber: Subscriber<Connection<In, Out>>): TeardownLogic {
    return this.acceptor.multicast.add(subscriber);
  }
}
