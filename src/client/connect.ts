import { Observable, type Observer, Subscription } from 'rxjs';
import { assertDialable, parseAddress } from '../address-parsing/parse-address.js';
import type { AddressInput } from '../address/address.js';
import type { Channel } from '../channel/channel.js';
import type { ConnectionState } from './connection-state.js';
import type { Connection } from '../connection/connection.js';
import { SocketError } from '../errors/socket-error.js';
import { connectSettings } from '../options/settings.js';
import type { ConnectOptions } from '../options/connect-options.js';
import { Session } from './session.js';
import { nodeTransport } from '../transport/node/node-transport.js';

/**
 * Makes a client, which dials its address when somebody subscribes to it or to its `data`.
 *
 * @typeParam In - what it receives
 * @typeParam Out - what it sends
 * @param address - where to connect to; an omitted host means loopback (A2); a port is from 1 to 65,535
 * @param options - see {@link ConnectOptions}; none by default
 * @returns the client, an Observable of its state; nothing is dialled yet (K1)
 * @emits none by itself
 * @throws `ERR_ADDRESS_INVALID` and `ERR_OPTION_INVALID`, at once (A5); what depends on the world is a notification
 * (K3)
 * @backpressure as of {@link Channel}
 * @teardown as of {@link Client}
 * @example
 * ```ts
 * const client = connect('tcp://localhost:7000', { codec: lines() });
 * client.data.subscribe((line) => console.log(line)); // subscribe = receive
 * client.data.next('hello'); // next = send
 * ```
 * @see https://man7.org/linux/man-pages/man2/connect.2.html, rules A5, K1 to K5, K7 to K17 and K20
 */
export function connect<In = Buffer, Out = Uint8Array | string>(
  address: AddressInput,
  options: ConnectOptions<In, Out> = {},
): Client<In, Out> {
  const where = parseAddress(address);
  assertDialable(where);
  const settings = connectSettings(options);
  const transport = settings.transport ?? nodeTransport;
  transport.checkConnect(where, settings);
  return new Client(new Session(where, settings, transport));
}

/**
 * Connects: an Observable of the state of its connection, with one channel for the data. All subscribers, of the states
 * and of the data, share one connection.
 *
 * Without `reconnect`, and apart from `data`, whose subscribers count as well, it is equivalent to:
 *
 * ```ts
 * const client = new Observable<{ status: string }>((subscriber) => {
 *   let failure: Error | undefined;
 *   subscriber.next({ status: 'connecting' });
 *   const socket = createConnection(address, () => subscriber.next({ status: 'connected' }));
 *   socket.on('error', (error) => (failure = error));
 *   socket.on('close', () => {
 *     subscriber.next({ status: 'disconnected' });
 *     if (failure === undefined) subscriber.complete();
 *     else subscriber.error(failure);
 *   });
 *   return () => socket.end();
 * }).pipe(share({ connector: () => new ReplaySubject(1) }));
 * ```
 *
 * @typeParam In - what it receives; `Buffer` by default, as without a codec
 * @typeParam Out - what it sends; bytes or text by default
 * @emits the current state, then each change (K2); completion after the peer's clean end, a `SocketError` after a
 * failure (K3). With `reconnect` it dials again instead, until the policy gives up, `data` was completed and all of it
 * sent, or `overflow` ends it (K4, K5)
 * @backpressure none of its own: see {@link Client.data}
 * @teardown when the last subscriber leaves, of the states and of the data, an attempt is aborted (K7) and a connection
 * closed gracefully (K1); it may be subscribed to again and dials anew (K8)
 * @example
 * ```ts
 * client.subscribe({
 *   next: ({ status }) => console.log(status), // 'connecting', 'connected', 'disconnected'
 *   error: (error: unknown) => console.log(String(error)), // 'SocketError: connect to …: ECONNREFUSED …'
 * });
 * ```
 * @see rules K1 to K5 and K7 to K17
 */
export class Client<In = Buffer, Out = Uint8Array | string> extends Observable<ConnectionState<In, Out>> {
  /**
   * What it receives and sends: one channel, whichever connection is there.
   *
   * @emits each message of the server, then its end (C7, C8), which with `reconnect` is that of the client: an unfinished
   * frame of a connection that was lost is dropped (K4). Subscribing again dials anew (K8)
   * @backpressure as of {@link Channel}; what is sent before there is a connection waits, up to `maxBuffered` (C2), and
   * once an attempt or a connection has ended `whileDisconnected` says what becomes of it (K4)
   * @teardown as of {@link Client}
   * @example
   * ```ts
   * client.data.next('hello'); // waits
   * client.data.subscribe((line) => console.log(line)); // dials
   * ```
   * @see rules C2, K1, K4, K8, K9, K12 to K15 and K17
   */
  readonly data: Channel<In, Out>;

  /** @internal */
  constructor(session: Session<In, Out>) {
    super((subscriber) => session.watch(subscriber));
    this.data = session.data;
  }

  /**
   * Connects, and gives the connection as a promise: for a program that wants one connection, and not its states.
   *
   * It subscribes to the client, and stays subscribed until that connection ends. With `reconnect` it waits for the first
   * attempt that succeeds.
   *
   * @returns a promise of the connection that is there, or of the next one. It rejects with the error of the client, or
   * with `ERR_CLOSED`, if the client ends before there is one
   * @teardown closing the connection, or its end, ends the subscription
   * @example
   * ```ts
   * await using connection = await client.open();
   * await connection.data.send('hello');
   * ```
   * @see rule K19
   */
  open(): Promise<Connection<In, Out>> {
    return new Promise((resolve, reject) => {
      const subscription = new Subscription();
      let isOpen = false;
      subscription.add(
        this.subscribe({
          next: (state) => {
            if (state.status !== 'connected' || isOpen) return;
            isOpen = true;
            const leave = (): void => subscription.unsubscribe();
            subscription.add(state.connection.closed.subscribe({ complete: leave, error: leave }));
            resolve(state.connection);
          },
          // After it has resolved, `closed` and the channels of the connection tell how it ended.
          error: reject,
          complete: () => {
            reject(new SocketError('ERR_CLOSED', 'open: the client ended before it was connected'));
          },
        }),
      );
    });
  }

  // The overload to use comes last, as in a Flow, for the sake of TypeScript's error message.
  /** @deprecated as in RxJS: pass an observer instead. */
  override subscribe(
    next: ((state: ConnectionState<In, Out>) => void) | null | undefined,
    error: ((error: unknown) => void) | null | undefined,
    complete?: (() => void) | null,
  ): Subscription;
  /**
   * Subscribes to the states, and dials if nobody was subscribed yet.
   *
   * @param observer - an observer or a function for the states; without one they are dropped, and the client dials all
   * the same
   * @returns the Subscription; unsubscribing the last one, of the states and of `data`, closes the connection
   * @see rules K1 and K2
   */
  override subscribe(
    observer?: Partial<Observer<ConnectionState<In, Out>>> | ((state: ConnectionState<In, Out>) => void),
  ): Subscription;
  override subscribe(
    observer?: Partial<Observer<ConnectionState<In, Out>>> | ((state: ConnectionState<In, Out>) => void) | null,
    error?: ((error: unknown) => void) | null,
    complete?: (() => void) | null,
  ): Subscription {
    // eslint-disable-next-line rxjs-x/prefer-observer, @typescript-eslint/no-deprecated -- whatever of RxJS's forms it was called in
    return super.subscribe(observer as (state: ConnectionState<In, Out>) => void, error, complete);
  }
}
