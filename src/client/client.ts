import { Observable, type Observer, Subscription } from 'rxjs';
import type { Channel } from '../channel/channel.js';
import type { Connection } from '../connection/connection.js';
import { SocketError } from '../errors/socket-error.js';
import type { ConnectionState } from './connection-state.js';
import { Session } from './session.js';

/**
 * Connects to a server. The client is an Observable of its connection's states. Its channel `data` sends and receives.
 * All subscribers to the states and to `data` share one connection.
 *
 * A subscriber gets the current state, then each later state. Without `reconnect`, the Observable completes when the
 * peer has ended the connection cleanly. The Observable fails with a `SocketError` if the attempt or the connection
 * fails.
 *
 * With `reconnect`, the client dials again after such an end or failure. The client itself ends when the `reconnect`
 * policy gives up, or when more than `maxBuffered` bytes would be queued (see `overflow`). After `data.complete()`, the
 * client ends as soon as a connection on which everything was sent has ended.
 *
 * When the last subscriber leaves, the client aborts its attempt, or closes its connection gracefully. On the next
 * subscription, the client dials again.
 *
 * Without `reconnect`, and without subscribers to `data`, a client is equivalent to:
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
 * @typeParam In - the values that the client receives; `Buffer` without a codec
 * @typeParam Out - the values that the client sends; bytes or text without a codec
 * @example
 * ```ts
 * client.subscribe({
 *   next: ({ status }) => console.log(status), // 'connecting', 'connected', 'disconnected'
 *   error: (error: unknown) => console.log(String(error)), // 'SocketError: connect to …: ECONNREFUSED …'
 * });
 * ```
 * @see rule K1
 */
export class Client<In = Buffer, Out = Uint8Array | string> extends Observable<ConnectionState<In, Out>> {
  /**
   * Receives and sends on the client's connection and, with `reconnect`, on each later connection.
   *
   * `data` emits each message from the server, and ends when the client ends. If a connection is lost inside a frame
   * and the client reconnects, the bytes of that frame are dropped.
   *
   * Values that you send before or during the first attempt are queued, up to `maxBuffered`, and are sent as soon as a
   * connection opens. When an attempt or a connection has ended, the option `whileDisconnected` decides what happens to
   * values that you send before the next connection opens.
   *
   * @example
   * ```ts
   * client.data.next('hello'); // waits
   * client.data.subscribe((line) => console.log(line)); // dials
   * ```
   * @see rule K4
   */
  readonly data: Channel<In, Out>;

  /** @internal */
  constructor(session: Session<In, Out>) {
    super((subscriber) => session.watch(subscriber));
    this.data = session.data;
  }

  /**
   * Connects, and returns a promise of the connection. Use `open` if you want one connection instead of the states.
   *
   * `open` stays subscribed to the client until the connection ends. With `reconnect`, the promise waits until an
   * attempt succeeds, however long that takes. To stop waiting, call `client.data.error(reason)` or abort the `signal`.
   * The client then ends, and the promise rejects with `ERR_CLOSED`.
   *
   * @returns a promise of the current connection, or of the next connection. If the client ends first, the promise
   * rejects with the client's error, or with `ERR_CLOSED`
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
          error: reject,
          complete: () => {
            reject(new SocketError('ERR_CLOSED', 'open: the client ended before it was connected'));
          },
        }),
      );
    });
  }

  // The recommended overload comes last, because TypeScript's error messages refer to the last overload.
  /** @deprecated as in RxJS: pass an observer instead. */
  override subscribe(
    next: ((state: ConnectionState<In, Out>) => void) | null | undefined,
    error: ((error: unknown) => void) | null | undefined,
    complete?: (() => void) | null,
  ): Subscription;
  /**
   * Subscribes to the states. The first subscription makes the client dial.
   *
   * @param observer - an observer of the states, or a function. Omit the observer if you only want the client to dial
   * @returns the Subscription. When the states and `data` have no subscribers left, the client closes its connection
   */
  override subscribe(
    observer?: Partial<Observer<ConnectionState<In, Out>>> | ((state: ConnectionState<In, Out>) => void),
  ): Subscription;
  override subscribe(
    observer?: Partial<Observer<ConnectionState<In, Out>>> | ((state: ConnectionState<In, Out>) => void) | null,
    error?: ((error: unknown) => void) | null,
    complete?: (() => void) | null,
  ): Subscription {
    // eslint-disable-next-line rxjs-x/prefer-observer, @typescript-eslint/no-deprecated -- passes on each of RxJS's call forms
    return super.subscribe(observer as (state: ConnectionState<In, Out>) => void, error, complete);
  }
}
