import type { Address } from '../address/address.js';
import type { SocketError } from '../errors/socket-error.js';
import type { FlushScheduler } from '../scheduling/flush-scheduler.js';
import type { ClientTls, ServerTls, StartTlsOptions, TlsInfo } from './tls.js';

/**
 * Carries bytes over Node's sockets, within the process, or over a medium that you implement. One transport serves any
 * number of servers and clients.
 *
 * @example
 * ```ts
 * const network = memoryTransport();
 * const watched: Transport = {
 *   checkListen: (address, options) => network.checkListen(address, options),
 *   checkConnect: (address, options) => network.checkConnect(address, options),
 *   listen: (address, options, events) => network.listen(address, options, events),
 *   connect(address, options, events) {
 *     dialled.push(formatAddress(address));
 *     return network.connect(address, options, events);
 *   },
 * };
 * ```
 * @see {@link TransportSocket}, which describes a connection
 */
export interface Transport {
  /**
   * Throws if `listen` could never succeed with this address and these options. The library calls `checkListen` before
   * `listen`.
   *
   * @param address - a well-formed address
   * @param options - the options that will be passed to `listen`
   * @throws `ERR_ADDRESS_INVALID` or `ERR_OPTION_INVALID`
   */
  checkListen(address: Address, options: ListenerOptions): void;
  /**
   * Throws if `connect` could never succeed with this address and these options. The library calls `checkConnect`
   * before `connect`.
   *
   * @param address - a well-formed address
   * @param options - the options that will be passed to `connect`
   * @throws `ERR_ADDRESS_INVALID` or `ERR_OPTION_INVALID`
   */
  checkConnect(address: Address, options: DialOptions): void;
  /**
   * Binds an address, and accepts connections at this address. This method never throws, and calls `events` only after
   * it has returned.
   *
   * @param address - an address that `checkListen` accepts
   * @param options - the options of the listener and of its sockets
   * @param events - receives the bound address and each connection, or the error if the address cannot be bound
   * @returns the listener
   */
  listen(address: Address, options: ListenerOptions, events: ListenerEvents): Listener;
  /**
   * Dials an address. This method never throws, and calls `events` only after it has returned.
   *
   * @param address - an address that `checkConnect` accepts
   * @param options - the options of the socket
   * @param events - receives the outcome: exactly one method is called, or no method if the attempt is aborted
   * @returns the attempt, which can be aborted
   */
  connect(address: Address, options: DialOptions, events: DialEvents): Dial;
}

/**
 * Configures a listener of a {@link Transport}.
 *
 * @see {@link ListenOptions} for the defaults
 */
export interface ListenerOptions extends SocketOptions {
  /** The maximum number of clients in the kernel's queue, at least 1 (S5). */
  readonly backlog: number;
  /** The permissions of a socket file. The permissions are set before the first client can connect (S9). */
  readonly mode: number;
  /** Whether to replace a socket file on which no process listens. */
  readonly stale: 'replace' | 'fail';
  /** Whether several processes are allowed to listen on the same port. */
  readonly reusePort: boolean;
  /** The TLS options; undefined for plain text. */
  readonly tls: ServerTls | undefined;
  /**
   * The peers whose PROXY headers are trusted. If this option is given, every connection must start with a header. If
   * the option is undefined, no header is expected.
   */
  readonly proxyProtocol: { readonly trusted: readonly string[] } | undefined;
  /** The time within which a client must complete its PROXY header and its TLS handshake, in ms; 0 means no limit. */
  readonly handshakeTimeout: number;
  /**
   * The maximum number of handshakes in progress at the same time. The transport does not limit open connections; the
   * server limits them.
   */
  readonly maxConnections: number;
}

/**
 * Configures an attempt to connect.
 *
 * @see {@link ConnectOptions} for the defaults
 */
export interface DialOptions extends SocketOptions {
  /** The IP address to dial from. If `family` is given, this address must belong to that family (K20). */
  readonly localAddress: string | undefined;
  /** The port to dial from; 0 lets the system choose. */
  readonly localPort: number;
  /** Which addresses of a host name to dial: 4 for IPv4, 6 for IPv6, undefined for both families. */
  readonly family: 4 | 6 | undefined;
  /**
   * The TLS options. If undefined, a `tls://` address uses the default options, and any other address uses plain text.
   */
  readonly tls: ClientTls | undefined;
}

/**
 * Configures a socket, accepted or dialled.
 *
 * @see {@link ConnectionOptions} for the defaults
 */
export interface SocketOptions {
  /** Whether TCP sends small writes without delay (TCP_NODELAY). */
  readonly noDelay: boolean;
  /** The time without traffic, in ms, after which TCP probes whether the peer is alive; 0 means never. */
  readonly keepAlive: number;
}

/**
 * A server socket that listens on an address, or is about to listen. A listener reports its events to {@link
 * ListenerEvents}.
 */
export interface Listener {
  /**
   * Whether `hold` leaves new clients in the kernel's queue. If `stoppable` is not true, up to `acceptQueue` clients
   * wait in the process (S5).
   */
  readonly stoppable?: boolean;
  /**
   * Stops accepting clients. Up to `backlog` new clients then wait in the kernel's queue. A listener that cannot stop
   * continues to call `onConnection`.
   */
  hold(): void;
  /** Resumes accepting clients, in the order in which they arrived. `onConnection` is called only in a later turn. */
  release(): void;
  /**
   * Releases the address, and resets the clients that have not been accepted yet. Accepted connections stay open. No
   * event follows.
   *
   * @returns a promise that resolves when the system has released everything, or undefined if the system has already
   * released everything. The promise never rejects
   */
  close(): Promise<void> | void;
}

/**
 * Receives the events of a {@link Listener}. `onListening` is called first; connections and incidents follow. If the
 * address cannot be bound, only `onError` is called.
 */
export interface ListenerEvents {
  /**
   * Called once, when the listener is bound.
   *
   * @param address - the bound address, with the port that the system chose
   */
  onListening(address: Address): void;
  /**
   * Called for each accepted client. The receiver must open or reset the socket. The socket reads nothing before
   * {@link TransportSocket.open}.
   *
   * @param socket - the socket of the client
   */
  onConnection(socket: TransportSocket): void;
  /**
   * Called if the address cannot be bound.
   *
   * @param error - the reason, with the errno's name as its `code`, and with the address
   */
  onError(error: SocketError): void;
  /**
   * Called when a client could not be accepted. The listener stays open.
   *
   * @param error - the reason
   */
  onIncident(error: SocketError): void;
}

/** An attempt to connect. */
export interface Dial {
  /** Aborts the attempt: no event follows, and no socket stays open. */
  abort(): void;
}

/** Receives the outcome of an attempt to connect: exactly one method is called, or no method after `abort`. */
export interface DialEvents {
  /**
   * Called when the attempt has succeeded. The receiver must open or reset the socket. The socket reads nothing before
   * {@link TransportSocket.open}.
   *
   * @param socket - the connected socket
   */
  onConnect(socket: TransportSocket): void;
  /**
   * Called when the attempt has failed.
   *
   * @param error - the reason, with the errno's name as its `code`, and with the address
   */
  onError(error: SocketError): void;
}

/**
 * A connected socket, on which a {@link Connection} is built.
 *
 * The contract between the library and a socket:
 *
 * - The library calls `open` once. Before `open`, the socket reads nothing and reports nothing. To discard an unopened
 *   socket, the library calls `reset` instead of `open`.
 * - The socket calls the methods of {@link SocketEvents} in later turns, never while one of its own methods is running.
 * - After `write` or `writeAll` has returned false, the library calls neither method until the socket has called
 *   `onDrain`. The library writes nothing after `end`, `reset` or `onClose`.
 * - A write that fails does not throw. A failed write returns false, and `onClose` reports the error. After a failed
 *   write, `unsent` may be `Infinity`.
 * - `pause`, `resume` and `reset` can be called at any time after `open`. After `onClose`, `pause`, `resume` and
 *   `reset` do nothing.
 * - The socket closes after `reset` or `drop`, after a failure, or when `end` has been called and the peer has sent its
 *   FIN. When the socket has closed, it calls `onClose` once, as its last event.
 *
 * @example
 * ```ts
 * class EchoSocket implements TransportSocket {
 *   readonly local: Address = { transport: 'memory', name: 'echo' };
 *   readonly remote: Address = this.local;
 *   readonly scheduler = scheduler;
 *   readonly tls = undefined;
 *   readonly unsent = 0;
 *   private events: SocketEvents | undefined;
 *
 *   open(events: SocketEvents): void {
 *     this.events = events;
 *   }
 *   write(data: Uint8Array | string, encoding: 'utf8' | 'latin1'): boolean {
 *     const echo = typeof data === 'string' ? Buffer.from(data, encoding) : Buffer.from(data);
 *     queueMicrotask(() => this.events?.onData(echo));
 *     return true;
 *   }
 *   writeAll(pieces: readonly Uint8Array[]): boolean {
 *     return this.write(Buffer.concat(pieces), 'latin1');
 *   }
 *   end(): void {
 *     queueMicrotask(() => this.events?.onEnd());
 *     this.reset();
 *   }
 *   reset(): void {
 *     queueMicrotask(() => this.events?.onClose(undefined));
 *   }
 *   pause(): void {} // it has no peer that could be made to wait
 *   resume(): void {}
 * }
 * ```
 */
export interface TransportSocket {
  /** The address of this end. */
  readonly local: Address;
  /** The address of the other end. */
  readonly remote: Address;
  /** Combines the messages of one turn into one write. All sockets of a transport share one scheduler (C3). */
  readonly scheduler: FlushScheduler;
  /**
   * The TLS protocol and the peer's certificate. Undefined without TLS, and before the handshake of `startTls` has
   * succeeded.
   */
  readonly tls: TlsInfo | undefined;
  /** How many bytes of the last write the kernel has not taken yet; `Infinity` if the number is unknown (C4). */
  readonly unsent: number;
  /**
   * Starts to read, and to report events. The library calls `open` once.
   *
   * @param events - receives all events
   */
  open(events: SocketEvents): void;
  /** Stops reading, so that the peer has to wait. At most one more chunk is reported (F3). */
  pause(): void;
  /** Resumes reading. */
  resume(): void;
  /**
   * Writes bytes or text. The socket keeps the part that the kernel does not take, and sends this part later.
   *
   * @param data - text, or bytes that the caller does not change until the kernel has taken them
   * @param encoding - the encoding of text
   * @returns true if the kernel has taken everything; otherwise false, and `onDrain` follows, or `onClose` if the write
   * fails
   */
  write(data: Uint8Array | string, encoding: 'utf8' | 'latin1'): boolean;
  /**
   * Writes several pieces together, as `write` writes a single piece.
   *
   * @param pieces - the pieces, at least one
   * @returns true if the kernel has taken everything; otherwise false, as for `write`
   */
  writeAll(pieces: readonly Uint8Array[]): boolean;
  /** Sends a FIN after the written bytes. The receiving side stays open until the peer sends its FIN (C6). */
  end(): void;
  /**
   * Closes both sides immediately, even after `end`. The connection is reset if the transport can reset a connection
   * (C8, C20). `onClose` follows.
   */
  reset(): void;
  /**
   * Closes the socket without a reset. The library calls `drop` after `end`, so that the kernel still delivers the
   * bytes that it has taken (C11). A socket without the method `drop` is reset instead.
   */
  drop?(): void;
  /**
   * Prepares to start TLS on this socket, without sending anything yet. The sockets of a transport without TLS do not
   * have the method `startTls`.
   *
   * @param options - server options if the socket was accepted or `isServer` is true, otherwise client options
   * @returns a function that starts the handshake. The library calls this function at most once, after the kernel has
   * taken every write, and writes nothing more until `secured` is called. If the handshake fails, `onClose` reports the
   * error. The handshake also fails if the socket has read unencrypted bytes that it has not reported
   * @throws `ERR_OPTION_INVALID` for options that can never work
   * @example
   * ```ts
   * const start = socket.startTls?.({ ca: authority });
   * start?.(() => console.log(socket.tls?.protocol));
   * ```
   * @see rule T10
   */
  startTls?(options: StartTlsOptions): (secured: () => void) => void;
  /**
   * Settings that only Node's sockets have; absent on any other socket.
   *
   * @internal
   */
  readonly controls?: SocketControls | undefined;
}

/**
 * The settings of a `net.Socket`. A stream that replaces a `net.Socket` passes its settings on to these methods (I2).
 */
export interface SocketControls {
  ref(): void;
  unref(): void;
  setNoDelay(on: boolean): void;
  /** `delay`: the time without traffic before the first probe, in ms. */
  setKeepAlive(on: boolean, delay: number): void;
}

/**
 * Receives the events of a {@link TransportSocket}. `onClose` is the last event.
 *
 * @example
 * ```ts
 * const events: SocketEvents = {
 *   onData: (chunk) => console.log(chunk.toString()),
 *   onEnd: () => socket.end(),
 *   onDrain: () => console.log('more can be written'),
 *   onClose: (error) => console.log(error?.code ?? 'in order'),
 * };
 * socket.open(events);
 * ```
 */
export interface SocketEvents {
  /**
   * Called with received bytes. The receiver may call {@link TransportSocket.pause} during this call.
   *
   * @param chunk - at least one byte; the receiver may keep the chunk
   */
  onData(chunk: Buffer): void;
  /**
   * Called when the peer has ended its sending side. All bytes that the peer sent have already been reported.
   *
   * @param cutOff - given if the transport knows that the stream was cut off before the peer ended it
   */
  onEnd(cutOff?: StreamCutOff): void;
  /** Called when the kernel has taken all bytes of a write that returned false. */
  onDrain(): void;
  /**
   * Called once, when the socket has closed.
   *
   * @param error - the failure that closed the socket; undefined after a clean end or `reset`
   */
  onClose(error: SocketError | undefined): void;
}

/**
 * Describes the end of a stream that was cut off. A TLS stream, for example, is cut off if a FIN arrives without a
 * close_notify.
 *
 * @see rules T5 and T11
 */
export interface StreamCutOff {
  /**
   * The error with which the connection fails, unless `mayBeComplete` is true. Whether `mayBeComplete` is true or
   * false, an incomplete last frame makes the connection fail with `ERR_FRAME_TRUNCATED` instead.
   */
  readonly error: SocketError;
  /** Whether the connection accepts this end of the stream if the last frame is complete. */
  readonly mayBeComplete: boolean;
}

/**
 * Receives the events of a socket that may lend its chunks. The socket may overwrite a chunk that it has lent as soon
 * as `onData` has returned.
 *
 * @internal
 */
export interface BorrowingSocketEvents extends SocketEvents {
  /**
   * Whether the receiver keeps chunks, so that each chunk should have its own memory. Absent if the receiver cannot
   * accept chunks that the socket may overwrite later.
   */
  readonly keeps?: boolean;
  /**
   * The buffer into which the next bytes belong, if this buffer is known. The socket may read into this buffer, and
   * pass the filled part as the chunk.
   */
  readonly room?: Buffer | undefined;
}

/**
 * Returns the name of an option that applies only to TCP, if such an option is given.
 *
 * @internal
 */
export function tcpOnlyOption({ localAddress, localPort, family }: DialOptions): string | undefined {
  if (localAddress !== undefined) return 'localAddress';
  if (localPort > 0) return 'localPort';
  return family === undefined ? undefined : 'family';
}
