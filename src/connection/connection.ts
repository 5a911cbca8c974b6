import type { Observable } from 'rxjs';
import type { Address } from '../address/address.js';
import type { Channel } from '../channel/channel.js';
import type { SocketError } from '../errors/socket-error.js';
import type { StartTlsOptions, TlsInfo } from '../transport/tls.js';

/**
 * Reports how a connection ended.
 *
 * @example
 * ```ts
 * connection.closed.subscribe(({ reason, error }) => console.log(reason, error?.code)); // 'failed', 'ECONNRESET'
 * ```
 * @see rule C12
 */
export interface Closed {
  /**
   * The connection that has ended, so that the output of `serve` makes an access log. `JSON.stringify` and a spread leave
   * it out.
   */
  readonly connection: Connection<any, any>;
  /**
   * `'finished'`: both sides ended in order; `'destroyed'`: this side destroyed it; `'failed'`: everything else.
   */
  readonly reason: 'finished' | 'destroyed' | 'failed';
  /** The error that ended it: absent with `'finished'`, `ERR_CLOSED` with `'destroyed'`. */
  readonly error?: SocketError;
  /** How many bytes were received, including discarded ones. */
  readonly bytesRead: number;
  /** How many bytes the kernel has accepted; the peer may have received fewer. */
  readonly bytesWritten: number;
}

/**
 * Counts the bytes of a connection so far.
 *
 * @example
 * ```ts
 * const { bytesRead, bytesWritten, opened } = connection.stats;
 * ```
 * @see {@link Connection.stats}
 */
export interface ConnectionStats {
  /** How many bytes were received, including those that are still buffered or were discarded. */
  readonly bytesRead: number;
  /** How many bytes the kernel has accepted; the `bufferedBytes` of a channel are not among them. */
  readonly bytesWritten: number;
  /** When the connection was established, or, on a server, emitted. */
  readonly opened: Date;
}

/**
 * Is one connection: a channel with two addresses and an end. A server emits its connections, and a client has one in its
 * state `connected`. It lives until both sides have ended, or until `close` or `destroy` is called: unsubscribing ends
 * nothing. A connection that nobody reads is given up after `claimTimeout`.
 *
 * @typeParam In - what is received through the codec; `Buffer` without one
 * @typeParam Out - what is sent through it; bytes or text without one
 * @example
 * ```ts
 * server.subscribe((connection) => {
 *   console.log(`${formatAddress(connection.remote)} has come`);
 *   connection.data.subscribe(connection.data);
 * });
 * ```
 * @see rules C1 to C29
 */
export interface Connection<In = Buffer, Out = Uint8Array | string> {
  /** The number of the connection, unique in this process, counted from 1. */
  readonly id: number;
  /** The address of this end. */
  readonly local: Address;
  /** The address of the peer; an unnamed unix socket has the path `''`. */
  readonly remote: Address;
  /**
   * Sends and receives messages through the codec; without a codec it emits chunks of bytes as they come.
   *
   * @example
   * ```ts
   * connection.data.subscribe((line) => console.log(line));
   * ```
   * @see {@link Channel}
   */
  readonly data: Channel<In, Out>;
  /**
   * Sends and receives bytes without the codec, for a protocol that changes its framing: see {@link Channel.framed}. It
   * emits chunks from the first byte on that no other view has decoded.
   *
   * @example
   * ```ts
   * connection.bytes.subscribe((chunk) => hash.update(chunk));
   * ```
   * @see rule C13
   */
  readonly bytes: Channel<Buffer, Uint8Array | string>;
  /** The protocol and the certificate of the peer; undefined without TLS, and until {@link Connection.startTls} resolves. */
  readonly tls: TlsInfo | undefined;
  /** The bytes so far: a snapshot, new at each access. */
  readonly stats: ConnectionStats;
  /**
   * Emits once how the connection ended, to late subscribers too, and completes. It never fails, and does not keep the
   * connection open.
   *
   * @example
   * ```ts
   * const { reason } = await firstValueFrom(connection.closed); // 'finished'
   * ```
   * @see rule C12
   */
  readonly closed: Observable<Closed>;
  /**
   * Starts TLS on this connection (STARTTLS): as a server where it was accepted, as a client where it was dialled.
   *
   * Values that were sent before go out in the clear first. Values that are sent from then on are buffered until the
   * handshake is over. Subscribers and views stay.
   *
   * Call it in the turn in which you send the last message in the clear, or receive the peer's. Bytes that were received and
   * not decoded, and bytes that arrive in the clear later, may come from an attacker on the way: they fail the connection
   * with `ERR_TLS`, and none of them is emitted.
   *
   * @param options - the option `tls` of `listen` where the connection was accepted, of `connect` where it was dialled.
   * Pass the same object for every connection, because each object is prepared once. Its `handshakeTimeout`, or else that
   * of `listen` or `connect`, limits the time from the call to the end of the handshake: milliseconds, default 10,000
   * @returns a promise of the new value of `tls`. It rejects with `ERR_OPTION_INVALID` for options that could never work,
   * for a transport without TLS and after an earlier call, and with `ERR_CLOSED`, or the error that ended the connection,
   * if one of its sides has ended; the connection stays as it is then. If the handshake fails or takes too long, the
   * connection fails with `ERR_TLS` or `ERR_TIMEOUT_HANDSHAKE`, and the promise rejects with that error
   * @backpressure values that are sent during the handshake count in `bufferedBytes`, and `overflow` acts
   * @example
   * ```ts
   * connection.data.next('220 go ahead');
   * const { protocol } = await connection.startTls({ key, cert }); // 'TLSv1.3'
   * ```
   * @see https://datatracker.ietf.org/doc/html/rfc3207, rule T10
   */
  startTls(options: StartTlsOptions): Promise<TlsInfo>;
  /**
   * Closes gracefully: flushes what was sent, sends the FIN, and reads until the peer's FIN, so that unread input can't
   * turn the close into a reset that destroys the reply on its way. Subscribers that aren't held still get what the peer
   * sends; all other input is discarded. After `closeTimeout` the connection fails with `ERR_TIMEOUT_CLOSE`.
   *
   * @returns a promise that resolves when the connection has ended, however it did, and never rejects; each call returns
   * the same one
   * @example
   * ```ts
   * connection.data.next('bye');
   * await connection.close();
   * ```
   * @see rule C11
   */
  close(): Promise<void>;
  /**
   * Closes gracefully at the end of an `await using` block, as {@link Connection.close} does.
   *
   * @returns the promise of `close`
   * @example
   * ```ts
   * await using connection = await client.open();
   * ```
   * @see rule C29
   */
  [Symbol.asyncDispose](): Promise<void>;
  /**
   * Ends the connection now: a reset where the transport has one, a plain end on unix sockets. Everything that is buffered
   * is dropped. Subscribers of its channels get `ERR_CLOSED` at once, and `closed` emits `destroyed`.
   *
   * @param reason - the `cause` of that `ERR_CLOSED`; none by default
   * @example
   * ```ts
   * connection.destroy(new Error('not welcome'));
   * ```
   * @see rule C20
   */
  destroy(reason?: unknown): void;
}
