import type { Observable, Subscriber, TeardownLogic } from 'rxjs';
import { Acceptor } from './acceptor.js';
import { parseAddress } from '../address-parsing/parse-address.js';
import type { Address, AddressInput } from '../address/address.js';
import type { Connection } from '../connection/connection.js';
import { SocketError } from '../errors/socket-error.js';
import { Flow } from '../flow/flow.js';
import type { Hold } from '../flow/hold.js';
import { listenSettings } from '../options/settings.js';
import type { ShutdownOptions } from '../options/shutdown-options.js';
import type { ListenOptions } from '../options/listen-options.js';
import { endsServer } from '../flow/reported-errors.js';
import { nodeTransport } from '../transport/node/node-transport.js';

/**
 * Makes a server, which binds its address when somebody subscribes to it.
 *
 * @typeParam In - what its connections receive
 * @typeParam Out - what they send
 * @param address - where to listen; an omitted host means loopback (A2), port 0 takes a free one
 * @param options - see {@link ListenOptions}; none by default
 * @returns the server, a Flow of connections; nothing is bound yet (S1)
 * @emits none by itself
 * @throws `ERR_ADDRESS_INVALID` and `ERR_OPTION_INVALID`, at once (A5); what depends on the world is a notification
 * (S3)
 * @backpressure as of {@link Server}
 * @teardown as of {@link Server}
 * @example
 * ```ts
 * const server = listen('tcp://localhost:7000', { codec: lines() });
 * server.subscribe(({ data }) => data.subscribe(data)); // an echo server, at each client's pace
 * ```
 * @see https://man7.org/linux/man-pages/man2/listen.2.html, rules A2, A5 and S1 to S9
 */
export function listen<In = Buffer, Out = Uint8Array | string>(
  address: AddressInput,
  options: ListenOptions<In, Out> = {},
): Server<In, Out> {
  const where = parseAddress(address);
  const settings = listenSettings(options);
  const transport = settings.transport ?? nodeTransport;
  // What an abstract name has no use for is refused where it was given, not where it is the default.
  if (where.transport === 'unix' && where.path.startsWith('\0') && options.mode !== undefined) {
    throw new SocketError('ERR_OPTION_INVALID', 'mode: an abstract name has no permissions', { address: where });
  }
  transport.checkListen(where, settings);
  return new Server(new Acceptor(where, settings, transport));
}

/**
 * Accepts connections: a Flow of them, which doesn't accept while it is held. All its subscribers share one listener.
 *
 * Apart from `hold`, which keeps further clients in the kernel's queue, it is equivalent to:
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
 * @typeParam In - what its connections receive; `Buffer` by default, as without a codec
 * @typeParam Out - what they send; bytes or text by default
 * @emits each accepted connection once, in order, before anything was read from it (S2); completion after {@link
 * Server.shutdown}; a `SocketError` if it can't be bound, after which it may be subscribed to again (S3)
 * @backpressure while it is held, up to `backlog` clients wait in the kernel's queue; where the listener can't be
 * stopped, up to `acceptQueue` wait in the process, and one more is reset (S5)
 * @teardown when the last subscriber leaves, the listener is closed, the socket file removed, and whoever still waits
 * is reset; emitted connections live on (S1)
 * @example
 * ```ts
 * for await (const connection of server) await serveOne(connection); // one client after the other
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
   * Tells the bound address, with the port that was taken. Subscribing to it binds nothing.
   *
   * @returns an Observable that never fails
   * @emits the address once it is bound, at once if it is; completes when the listener is closed, for whatever reason
   * (S10)
   * @teardown unsubscribing ends the watch, nothing else
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
   * Gives the connections that were emitted and have not ended, also after the server itself has.
   *
   * @returns the set, always the same one; it changes by itself
   * @backpressure `maxConnections` bounds it
   * @teardown a connection leaves it when it has ended
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
   * Tells what went wrong without ending the server, for a log.
   *
   * @returns a hot Observable that never fails
   * @emits why a connection failed, as its `closed` tells it; why a client was not accepted: `ERR_LIMIT_CONNECTIONS` over
   * `maxConnections` or `acceptQueue` (S5), `ERR_TLS`, `ERR_PROXY_HEADER`, `ERR_TIMEOUT_HANDSHAKE`; `EMFILE`, at most once
   * a second, while the process is short of file descriptors (S15). Completes after {@link Server.shutdown}
   * @backpressure none: what nobody is subscribed to is not kept
   * @teardown unsubscribing ends the watch, nothing else
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
   * Ends the server for good, and drains it: what was received is still answered.
   *
   * It stops accepting. Each connection's receiving side then completes after what was already received, as if the peer
   * had finished; an unfinished frame is dropped. Handlers of {@link serve} and sends from a source (`sendFrom`, `sendTo`,
   * `relay`, a Flow subscribed to a channel) run to their end, and subscribers that hold their Flow, such as `for await`
   * and the paced operators, get what was received at their own pace. Then everything is flushed, and the connection
   * closes gracefully. A connection with nothing in progress closes at once. At `deadline` what is left is aborted: a
   * reset where the transport has one, and `ERR_TIMEOUT_CLOSE` in `closed`.
   *
   * A handler that never ends by itself, such as one that sends an `interval`, learns of the shutdown by the completion
   * of `connection.data`: end its source with `takeUntil(data.pipe(ignoreElements(), endWith(true)))`.
   *
   * @param options - see {@link ShutdownOptions}; none by default
   * @returns a promise that resolves when sockets, timers and the socket file are gone; the same one at a second call
   * @emits completion of {@link Server.listening} at once; of the server and of {@link Server.incidents} once every
   * connection has ended
   * @throws `ERR_OPTION_INVALID` as a rejection, for a bad option; nothing else
   * @teardown the listener is closed, the socket file removed; whoever still waits to be accepted is reset
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
   * Shuts the server down at the end of an `await using` block; the same as {@link Server.shutdown}.
   *
   * @returns the promise of `shutdown`
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
   * Stops accepting: further clients wait in the kernel's queue until the Hold is released, and are then served in the
   * order in which they came.
   *
   * @returns the Hold (F2)
   * @backpressure up to `backlog` clients wait in the kernel, or up to `acceptQueue` here where the listener can't be
   * stopped
   * @teardown releasing the Hold (F11)
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
