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
  /** The connection that has ended. `JSON.stringify` and a spread leave this member out. */
  readonly connection: Connection<any, any>;
  /**
   * `'finished'`: both sides ended cleanly. `'destroyed'`: this side destroyed the connection. `'failed'`: all other
   * cases.
   */
  readonly reason: 'finished' | 'destroyed' | 'failed';
  /**
   * The error that ended the connection: absent if `reason` is `'finished'`, `ERR_CLOSED` if `reason` is `'destroyed'`.
   */
  readonly error?: SocketError;
  /** The number of received bytes, including discarded bytes. */
  readonly bytesRead: number;
  /** The number of bytes that the kernel has accepted; the peer may have received fewer bytes. */
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
  /** The number of received bytes, including buffered and discarded bytes. */
  readonly bytesRead: number;
  /** The number of bytes that the kernel has accepted. The `bufferedBytes` of the channels are not included. */
  readonly bytesWritten: number;
  /** The time at which a client established the connection, or a server emitted it. */
  readonly opened: Date;
}

/**
 * A connection: its channels, the addresses of both ends, and how it ended. A server emits its connections. A client's
 * state `connected` contains its connection.
 *
 * A connection lives until both sides have ended, until it fails, or until you call `close` or `destroy`. Unsubscribing
 * from its channels does not end a connection, but an unused connection ends after `claimTimeout`.
 *
 * @typeParam In - the messages received through the codec; `Buffer` without a codec
 * @typeParam Out - the messages sent through the codec; bytes or text without a codec
 * @example
 * ```ts
 * server.subscribe((connection) => {
 *   console.log(`${formatAddress(connection.remote)} has connected`);
 *   connection.data.subscribe(connection.data);
 * });
 * ```
 * @see rules C1 to C29
 */
export interface Connection<In = Buffer, Out = Uint8Array | string> {
  /** A number that no other connection of this process has. The connections get the numbers 1, 2, 3 and so on. */
  readonly id: number;
  /** The address of this end. */
  readonly local: Address;
  /**
   * The address of the peer, or, with `proxyProtocol`, the client's address in the PROXY header. The address has
   * `tls: true` if this side dialled it with TLS. The path of an unnamed unix socket is `''`. A TCP client that
   * disconnected before its address was read has the address `0.0.0.0:0`.
   */
  readonly remote: Address;
  /**
   * Sends and receives messages through the codec. Without a codec, `data` emits chunks of bytes as they arrive.
   *
   * @example
   * ```ts
   * connection.data.subscribe((line) => console.log(line));
   * ```
   * @see {@link Channel}
   */
  readonly data: Channel<In, Out>;
  /**
   * Sends and receives bytes without the codec, for a protocol that changes its framing: see {@link Channel.framed}.
   * `bytes` begins with the first byte that no other view has decoded.
   *
   * @example
   * ```ts
   * connection.bytes.subscribe((chunk) => hash.update(chunk));
   * ```
   * @see rule C13
   */
  readonly bytes: Channel<Buffer, Uint8Array | string>;
  /**
   * The TLS protocol and the peer's certificate. `tls` is undefined if the connection does not use TLS. If
   * {@link Connection.startTls} starts TLS later, `tls` is undefined until the promise of that call resolves.
   */
  readonly tls: TlsInfo | undefined;
  /** The byte counts so far. Each access takes a new snapshot. */
  readonly stats: ConnectionStats;
  /**
   * Reports once how the connection ended, and completes. Late subscribers get the same report. `closed` never fails,
   * and a subscription to it does not keep the connection open.
   *
   * @example
   * ```ts
   * const { reason } = await firstValueFrom(connection.closed); // 'finished'
   * ```
   * @see rule C12
   */
  readonly closed: Observable<Closed>;
  /**
   * Starts TLS on this connection (STARTTLS): as a server if the connection was accepted or if you set
   * `isServer: true`, otherwise as a client.
   *
   * Values that you sent before the call go out first, unencrypted. Values that you send after the call are buffered
   * until the handshake has finished. Subscribers and views stay attached.
   *
   * Call `startTls` in the turn in which you send your last unencrypted message, or receive the peer's last unencrypted
   * message. Unencrypted bytes after that message may come from an attacker on the network. Such bytes fail the
   * connection with `ERR_TLS`, and are never emitted, even if they arrived before the call.
   *
   * @param options - the TLS options, as for `listen` if this side is the TLS server, or as for `connect` if this side
   * is the TLS client. Pass the same object for every connection, so that the library prepares the options only once.
   * `handshakeTimeout` limits the time from the call to the end of the handshake, in milliseconds. The default is the
   * `handshakeTimeout` of `listen` or `connect`, which is 10,000 unless you set it
   * @returns a promise of the new value of `tls`. If the handshake fails or takes too long, the connection fails with
   * `ERR_TLS` or `ERR_TIMEOUT_HANDSHAKE`, and the promise rejects with that error. If the handshake cannot start, only
   * the promise rejects. The error is `ERR_OPTION_INVALID` for wrong options, for a transport without TLS, and after an
   * earlier call of `startTls`. If the sending or the receiving side has ended, the error is `ERR_CLOSED` or the error
   * that ended the connection
   * @backpressure `bufferedBytes` includes the values sent during the handshake, and `overflow` applies to them
   * @example
   * ```ts
   * connection.data.next('220 go ahead');
   * const { protocol } = await connection.startTls({ key, cert }); // 'TLSv1.3'
   * ```
   * @see https://datatracker.ietf.org/doc/html/rfc3207, rule T10
   */
  startTls(options: StartTlsOptions): Promise<TlsInfo>;
  /**
   * Closes gracefully: flushes everything sent, sends the FIN, and reads until the peer's FIN. The subscribers of a
   * channel that is not held still get the peer's data. All other input is discarded. After `closeTimeout` the
   * connection fails with `ERR_TIMEOUT_CLOSE`.
   *
   * @returns a promise that resolves when the connection has ended, for whatever reason. The promise never rejects.
   * Each call of `close` returns the same promise
   * @example
   * ```ts
   * connection.data.next('bye');
   * await connection.close();
   * ```
   * @see rule C11
   */
  close(): Promise<void>;
  /**
   * Calls {@link Connection.close} at the end of an `await using` block.
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
   * Ends the connection at once. A TCP connection is reset. A unix socket, which has no reset, is closed. All buffered
   * data is dropped. The subscribers of the connection's channels get `ERR_CLOSED`, and `closed` emits `destroyed`.
   *
   * @param reason - the `cause` of the `ERR_CLOSED` that the subscribers get; `undefined` by default
   * @example
   * ```ts
   * connection.destroy(new Error('not welcome'));
   * ```
   * @see rule C20
   */
  destroy(reason?: unknown): void;
}
