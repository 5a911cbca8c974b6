import type { Observable } from 'rxjs';
import type { Address } from '../address/address.js';
import type { Channel } from '../channel/channel.js';
import type { SocketError } from '../errors/socket-error.js';
import type { StartTlsOptions, TlsInfo } from '../transport/tls.js';

/**
 * Tells how a connection ended.
 *
 * @example
 * ```ts
 * connection.closed.subscribe(({ reason, error }) => console.log(reason, error?.code)); // 'failed', 'ECONNRESET'
 * ```
 * @see rule C12
 */
export interface Closed {
  /**
   * The connection that has ended, so that what `serve` gives makes an access log. `JSON.stringify` and a spread leave it
   * out (C28).
   */
  readonly connection: Connection<any, any>;
  /**
   * `'finished'`: both sides ended in order; `'destroyed'`: this side cut it off; `'failed'`: everything else (C12).
   */
  readonly reason: 'finished' | 'destroyed' | 'failed';
  /** What ended it; absent with `'finished'`, `ERR_CLOSED` with `'destroyed'` (C8). */
  readonly error?: SocketError;
  /** How many bytes were received, those that were discarded too. */
  readonly bytesRead: number;
  /** How many bytes the kernel has taken; the peer may have got fewer. */
  readonly bytesWritten: number;
}

/**
 * Counts what went over a connection so far.
 *
 * @example
 * ```ts
 * const { bytesRead, bytesWritten, opened } = connection.stats;
 * ```
 * @see {@link Connection.stats}
 */
export interface ConnectionStats {
  /** How many bytes were received, those that still wait or were discarded too. */
  readonly bytesRead: number;
  /** How many bytes the kernel has taken, 0 and more; `bufferedBytes` of a channel are not among them. */
  readonly bytesWritten: number;
  /** When it was established: for a server, when it was emitted. */
  readonly opened: Date;
}

/**
 * Is one connection: a channel with two addresses and an end. Servers emit them, and a client's state `connected` has
 * one.
 *
 * @typeParam In - what is received through the codec; `Buffer` without one
 * @typeParam Out - what is sent through it; bytes or text without one
 * @emits none; see its `data`, `bytes` and `closed`
 * @backpressure as of {@link Channel}; a connection that nobody reads is given up after `claimTimeout`
 * @teardown it lives until both sides have ended, or `close` or `destroy` is called; unsubscribing ends nothing
 * @example
 * ```ts
 * server.subscribe((connection) => {
 *   console.log(`${formatAddress(connection.remote)} has come`);
 *   connection.data.subscribe(connection.data);
 * });
 * ```
 * @see rules C1 to C21
 */
export interface Connection<In = Buffer, Out = Uint8Array | string> {
  /** A number that no other connection of this process has, counted from 1. */
  readonly id: number;
  /** The address of this end. */
  readonly local: Address;
  /** The address of the peer; that of an unnamed unix socket has the path `''` (A4). */
  readonly remote: Address;
  /**
   * The messages, through the codec; without a codec the chunks of bytes as they come.
   *
   * @emits each message of the peer, then its end (C1, C7, C8)
   * @backpressure as of {@link Channel}
   * @teardown unsubscribing keeps what was not emitted for the next subscriber (F1)
   * @example
   * ```ts
   * connection.data.subscribe((line) => console.log(line));
   * ```
   * @see rules C1 and C15
   */
  readonly data: Channel<In, Out>;
  /**
   * The same socket without the codec, for a protocol that changes its framing: see {@link Channel.framed}.
   *
   * @emits the chunks that were received and not decoded, from the first such byte on (C13)
   * @backpressure as of {@link Channel}
   * @teardown unsubscribing keeps what was not emitted for the next subscriber, of whichever view (F1, C13)
   * @example
   * ```ts
   * connection.bytes.subscribe((chunk) => hash.update(chunk));
   * ```
   * @see rules C13 and C15
   */
  readonly bytes: Channel<Buffer, Uint8Array | string>;
  /** What TLS knows of the peer; undefined without TLS, and until {@link Connection.startTls} has resolved (T9). */
  readonly tls: TlsInfo | undefined;
  /** What went over it so far: a new object at each look, which doesn't change by itself. */
  readonly stats: ConnectionStats;
  /**
   * How it ended. It never fails, and keeps no connection open.
   *
   * @emits one value when the connection has ended, replayed to whoever comes later, then completion (C12)
   * @teardown unsubscribing ends the watch, nothing else
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
   * What was sent before goes out in the clear first. What is sent from then on waits, and follows the handshake. Subscribers
   * and views stay, and `tls` tells who the peer is.
   *
   * Call it in the turn in which you send the last words in the clear, or receive the peer's. Bytes that were received and
   * not decoded, and bytes that arrive in the clear later, may come from an attacker on the way: they fail the connection
   * with `ERR_TLS`, and none of them is emitted.
   *
   * @param options - what `listen` takes as `tls` where the connection was accepted, what `connect` takes where it was
   * dialled; pass the same object for every connection, since each object is prepared once. Its `handshakeTimeout`, or
   * else that of `listen` or `connect`, bounds the whole of it: milliseconds from the call, default 10,000
   * @returns a promise of what `tls` tells from then on
   * @throws none. Rejects with `ERR_OPTION_INVALID` for options that could never work, for a transport without TLS and after
   * an earlier call; with `ERR_CLOSED`, or the error that ended the connection, where its sending or its receiving side
   * has ended. These change nothing. A handshake that fails ends the connection with `ERR_TLS`, and one that takes too
   * long with `ERR_TIMEOUT_HANDSHAKE`: the promise rejects with that error
   * @backpressure what is sent during the handshake counts in `bufferedBytes`, and `overflow` acts
   * @example
   * ```ts
   * connection.data.next('220 go ahead');
   * const { protocol } = await connection.startTls({ key, cert }); // 'TLSv1.3'
   * ```
   * @see https://datatracker.ietf.org/doc/html/rfc3207, rule T10
   */
  startTls(options: StartTlsOptions): Promise<TlsInfo>;
  /**
   * Closes gracefully: flushes what was sent, sends the FIN, and reads and discards until the peer's FIN, so that
   * nothing of the reply is lost on its way.
   *
   * @returns a promise that resolves when the connection has ended, in whatever way; the same one at a second call
   * @emits to subscribers that aren't held what the peer still sends, then its end (C17)
   * @throws none, and never rejects; after `closeTimeout` it is forced, which `closed` tells as `ERR_TIMEOUT_CLOSE`
   * @backpressure none: input that nobody reads is discarded from now on (C17)
   * @example
   * ```ts
   * connection.data.next('bye');
   * await connection.close();
   * ```
   * @see rules C11 and C17
   */
  close(): Promise<void>;
  /**
   * Closes gracefully at the end of an `await using` block; the same as {@link Connection.close}.
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
   * Ends it now: a reset where the transport has one, a plain end on unix sockets (C20). What waits is dropped.
   *
   * @param reason - the `cause` of the `ERR_CLOSED` that this side is told; none by default
   * @emits `ERR_CLOSED` to the subscribers of its channels, at once (C8, F10), and `destroyed` in `closed` (C12)
   * @teardown everything of this connection ends
   * @example
   * ```ts
   * connection.destroy(new Error('not welcome'));
   * ```
   * @see rules C8, C12 and C20
   */
  destroy(reason?: unknown): void;
}
