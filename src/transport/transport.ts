import type { Address } from '../address/address.js';
import type { SocketError } from '../errors/socket-error.js';
import type { FlushScheduler } from '../scheduling/flush-scheduler.js';
import type { ClientTls, ServerTls, StartTlsOptions, TlsInfo } from './tls.js';

/**
 * Carries bytes over Node's sockets, in memory, or over a medium that you implement. One transport serves any number of
 * servers and clients.
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
   * Throws if `listen` could never succeed with this address and these options. Called before `listen`.
   *
   * @param address - a well-formed address
   * @param options - the options that will be passed to `listen`
   * @throws `ERR_ADDRESS_INVALID` or `ERR_OPTION_INVALID`
   */
  checkListen(address: Address, options: ListenerOptions): void;
  /**
   * Throws if `connect` could never succeed with this address and these options. Called before `connect`.
   *
   * @param address - a well-formed address
   * @param options - the options that will be passed to `connect`
   * @throws `ERR_ADDRESS_INVALID` or `ERR_OPTION_INVALID`
   */
  checkConnect(address: Address, options: DialOptions): void;
  /**
   * Binds an address and starts accepting connections. It never throws, and calls `events` only after it has returned.
   *
   * @param address - an address that `checkListen` accepts
   * @param options - the options of the listener and of its sockets
   * @param events - is notified of the bound address and of each connection, or of a failure to bind
   * @returns the listener
   */
  listen(address: Address, options: ListenerOptions, events: ListenerEvents): Listener;
  /**
   * Dials an address. It never throws, and calls `events` only after it has returned.
   *
   * @param address - an address that `checkConnect` accepts
   * @param options - the options of the socket
   * @param events - is notified of the outcome: exactly one of its methods is called, unless the attempt is aborted
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
  /** The number of clients that may wait in the kernel's queue, at least 1 (S5). */
  readonly backlog: number;
  /** The permissions of a socket file. They are set before the first client can connect (S9). */
  readonly mode: number;
  /** Whether to replace a socket file on which no process listens. */
  readonly stale: 'replace' | 'fail';
  /** Whether several processes may listen on the same port. */
  readonly reusePort: boolean;
  /** The TLS options; undefined for plain text. */
  readonly tls: ServerTls | undefined;
  /**
   * The peers whose PROXY headers are trusted; every connection must then start with a header. If undefined, no header
   * is expected.
   */
  readonly proxyProtocol: { readonly trusted: readonly string[] } | undefined;
  /** The time that the PROXY header and the TLS handshake of a client may take together, in ms; 0 means no limit. */
  readonly handshakeTimeout: number;
  /**
   * The number of handshakes that may be in progress at once. The server, not the transport, limits open connections.
   */
  readonly maxConnections: number;
}

/**
 * Configures an attempt to connect.
 *
 * @see {@link ConnectOptions} for the defaults
 */
export interface DialOptions extends SocketOptions {
  /** The IP address to dial from. If `family` is also given, the address is of that family (K20). */
  readonly localAddress: string | undefined;
  /** The port to dial from; 0 lets the system choose. */
  readonly localPort: number;
  /** Whether to dial only the IPv4 or only the IPv6 addresses of a host name; undefined for both. */
  readonly family: 4 | 6 | undefined;
  /** The TLS options. Undefined means plain text, or default options at a `tls://` address. */
  readonly tls: ClientTls | undefined;
}

/**
 * Configures a socket, accepted or dialled.
 *
 * @see {@link ConnectionOptions} for the defaults
 */
export interface SocketOptions {
  /** Whether small writes are sent at once (TCP_NODELAY). */
  readonly noDelay: boolean;
  /** The time without traffic, in ms, after which TCP probes whether the peer is alive; 0 means never. */
  readonly keepAlive: number;
}

/** A server socket: it listens on an address, or is about to. Its events are reported to {@link ListenerEvents}. */
export interface Listener {
  /**
   * Whether `hold` leaves further clients in the kernel's queue. If not, they wait in the process, up to `acceptQueue` (S5).
   */
  readonly stoppable?: boolean;
  /**
   * Stops accepting, so that up to `backlog` clients wait in the kernel's queue. A listener that cannot stop keeps
   * calling `onConnection`.
   */
  hold(): void;
  /** Resumes accepting clients, in the order in which they arrived. `onConnection` is called in a later turn. */
  release(): void;
  /**
   * Releases the address, and resets the clients that have not been accepted yet. Accepted connections stay open. No
   * event follows.
   *
   * @returns a promise that resolves when the system has released everything, and never rejects; undefined if
   * everything is already released
   */
  close(): Promise<void> | void;
}

/**
 * Is notified by a {@link Listener}: `onListening` first, then connections and incidents. If binding fails, only
 * `onError` is called.
 */
export interface ListenerEvents {
  /**
   * Called once, when the listener is bound.
   *
   * @param address - the bound address, with the port that the system chose
   */
  onListening(address: Address): void;
  /**
   * Called for each accepted client. The receiver opens or resets the socket, which reads nothing before
   * {@link TransportSocket.open}.
   *
   * @param socket - the socket of the client
   */
  onConnection(socket: TransportSocket): void;
  /**
   * Called if the address cannot be bound. No event follows.
   *
   * @param error - the reason, with the name of the errno in `code` and with the address
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

/** Is notified of the outcome of an attempt to connect: exactly one method is called, or none after `abort`. */
export interface DialEvents {
  /**
   * Called when the attempt has succeeded. The receiver opens or resets the socket, which reads nothing before
   * {@link TransportSocket.open}.
   *
   * @param socket - the connected socket
   */
  onConnect(socket: TransportSocket): void;
  /**
   * Called when the attempt has failed.
   *
   * @param error - the reason, with the name of the errno in `code` and with the address
   */
  onError(error: SocketError): void;
}

/**
 * A connected socket. A {@link Connection} is built on it.
 *
 * The contract between the library and a socket:
 *
 * - The library calls `open` once. Before that, the socket reads and reports nothing. To discard the socket, the
 *   library calls `reset` instead of `open`.
 * - The socket calls the methods of {@link SocketEvents} in later turns, never while one of its own methods is running.
 * - After `write` or `writeAll` has returned false, the library calls neither of them until `onDrain`. It writes
 *   nothing after `end`, `reset` or `onClose`.
 * - A write that fails does not throw. It returns false, and `onClose` reports the error. From then on `unsent` may be
 *   `Infinity`, because it is unknown how much of that write was sent.
 * - `pause`, `resume` and `reset` may be called at any time after `open`. After `onClose` they do nothing.
 * - The socket closes after `reset`, after a failure, or once `end` has been called and the peer has sent its FIN. It
 *   then calls `onClose`, exactly once and as its last event.
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
  /** Writes the messages of one turn together. All sockets of a transport share one scheduler (C3). */
  readonly scheduler: FlushScheduler;
  /**
   * The TLS protocol and the peer's certificate. Undefined without TLS, and before the handshake of `startTls` has
   * succeeded.
   */
  readonly tls: TlsInfo | undefined;
  /** The number of bytes of the last write that the kernel has not taken; `Infinity` if that is unknown (C4). */
  readonly unsent: number;
  /**
   * Starts reading, and reporting events. Called once.
   *
   * @param events - is notified of all events
   */
  open(events: SocketEvents): void;
  /** Stops reading, so that the kernel's buffers fill and the peer has to wait. At most one more chunk is reported (F3). */
  pause(): void;
  /** Resumes reading. */
  resume(): void;
  /**
   * Writes bytes or text. The socket keeps the part that the kernel does not take, and sends it later.
   *
   * @param data - text, or bytes that the caller does not change until the kernel has taken them
   * @param encoding - the encoding of text
   * @returns true if the kernel has taken everything. Otherwise `onDrain` follows, or `onClose` after a failure
   */
  write(data: Uint8Array | string, encoding: 'utf8' | 'latin1'): boolean;
  /**
   * Writes several pieces at once, like `write`.
   *
   * @param pieces - the pieces, at least one
   * @returns the same as `write`
   */
  writeAll(pieces: readonly Uint8Array[]): boolean;
  /** Sends a FIN after the written bytes. The receiving side stays open until the peer ends it (C6). */
  end(): void;
  /**
   * Closes both sides immediately, even after `end`, by resetting the connection if the transport can (C8, C20).
   * `onClose` follows.
   */
  reset(): void;
  /**
   * Closes the socket after `end` without a reset, so that the kernel still delivers the bytes that it has taken (C11). A
   * socket without this method is reset instead.
   */
  drop?(): void;
  /**
   * Prepares to start TLS on this socket, without sending anything yet. The sockets of a transport without TLS lack
   * this method.
   *
   * @param options - server options if the socket was accepted or `isServer` is true, otherwise client options
   * @returns a function that starts the handshake. The library calls it at most once, after the kernel has taken every
   * write, and writes nothing before `secured` is called. `onClose` reports an error if the handshake fails, or if the
   * socket has read unencrypted bytes but not reported them
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

/** Settings of a Node socket, for a stream that replaces a `net.Socket` (I2). Every `net.Socket` has these methods. */
export interface SocketControls {
  /** Keeps the process running while the socket is open. This is the default. */
  ref(): void;
  /** Lets the process exit while the socket is open. */
  unref(): void;
  /** Switches TCP_NODELAY on or off. */
  setNoDelay(on: boolean): void;
  /** Switches TCP's keep-alive probes on or off; the first one is sent after `delay` ms of silence. */
  setKeepAlive(on: boolean, delay: number): void;
}

/**
 * Is notified by a {@link TransportSocket}. `onClose` is the last event.
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
   * @param chunk - at least one byte; the receiver may keep it
   */
  onData(chunk: Buffer): void;
  /**
   * Called when the peer has ended its sending side. All bytes that the peer sent have already been reported.
   *
   * @param cutOff - given if the transport can tell that the stream was cut off before the peer ended it
   */
  onEnd(cutOff?: StreamCutOff): void;
  /** Called after a write that returned false, when the kernel has taken all of its bytes. */
  onDrain(): void;
  /**
   * Called once, when the socket has closed.
   *
   * @param error - the failure that closed it; undefined after a clean end or `reset`
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
   * The error that the connection fails with. If the last frame is incomplete, that is `ERR_FRAME_TRUNCATED` instead.
   */
  readonly error: SocketError;
  /**
   * Whether the connection accepts this end if the last frame is complete, and fails only if that frame is incomplete.
   */
  readonly mayBeComplete: boolean;
}

/**
 * Is notified by a socket that may lend its chunks: it may overwrite the memory of a borrowed chunk as soon as `onData`
 * has returned.
 *
 * @internal
 */
export interface BorrowingSocketEvents extends SocketEvents {
  /**
   * Whether the receiver keeps chunks, so that each chunk should have its own memory. Absent if the receiver cannot
   * accept borrowed chunks.
   */
  readonly keeps?: boolean;
  /**
   * The buffer that the next bytes belong in, if known. The socket may read into it, and pass the filled part as the
   * chunk.
   */
  readonly room?: Buffer | undefined;
}

/**
 * Returns the name of a given option that applies only to TCP, if there is one.
 *
 * @internal
 */
export function tcpOnlyOption({ localAddress, localPort, family }: DialOptions): string | undefined {
  if (localAddress !== undefined) return 'localAddress';
  if (localPort > 0) return 'localPort';
  return family === undefined ? undefined : 'family';
}
