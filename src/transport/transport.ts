import type { Address } from '../address/address.js';
import type { SocketError } from '../errors/socket-error.js';
import type { FlushScheduler } from '../scheduling/flush-scheduler.js';
import type { ClientTls, ServerTls, StartTlsOptions, TlsInfo } from './tls.js';

/**
 * Carries bytes: over Node's sockets, in memory, or over something of your own. One transport serves any number of servers
 * and clients.
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
   * Refuses what no attempt to listen could ever succeed with. It is called before `listen`.
   *
   * @param address - a well-formed address
   * @param options - the options that `listen` will get
   * @throws `ERR_ADDRESS_INVALID` or `ERR_OPTION_INVALID`
   */
  checkListen(address: Address, options: ListenerOptions): void;
  /**
   * Refuses what no attempt to connect could ever succeed with. It is called before `connect`.
   *
   * @param address - a well-formed address
   * @param options - the options that `connect` will get
   * @throws `ERR_ADDRESS_INVALID` or `ERR_OPTION_INVALID`
   */
  checkConnect(address: Address, options: DialOptions): void;
  /**
   * Binds an address and starts to accept connections. It never throws, and calls back only after it has returned.
   *
   * @param address - an address that `checkListen` accepts
   * @param options - the options of the listener and of its sockets
   * @param events - receives what happens: `onListening` and then each connection, or `onError` alone
   * @returns the listener
   */
  listen(address: Address, options: ListenerOptions, events: ListenerEvents): Listener;
  /**
   * Dials an address. It never throws, and calls back only after it has returned.
   *
   * @param address - an address that `checkConnect` accepts
   * @param options - the options of the socket
   * @param events - receives the result: `onConnect` or `onError`
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
  /** How many connections may wait in the kernel's queue to be accepted, from 1 (S5). */
  readonly backlog: number;
  /** The permissions of a socket file, from the moment at which it can be connected to (S9). */
  readonly mode: number;
  /** Whether to take over a socket file that nobody listens on. */
  readonly stale: 'replace' | 'fail';
  /** Whether several processes may listen on one port. */
  readonly reusePort: boolean;
  /** The certificates, if clients have to speak TLS. */
  readonly tls: ServerTls | undefined;
  /** The peers whose PROXY header is required and believed. */
  readonly proxyProtocol: { readonly trusted: readonly string[] } | undefined;
  /** How long a PROXY header and a TLS handshake may take together, in ms; 0 means for ever. */
  readonly handshakeTimeout: number;
  /** How many handshakes may be under way at once. */
  readonly maxConnections: number;
}

/**
 * Configures an attempt to connect.
 *
 * @see {@link ConnectOptions} for the defaults
 */
export interface DialOptions extends SocketOptions {
  /** The IP address to dial from; of `family`, if both are given (K20). */
  readonly localAddress: string | undefined;
  /** The port to dial from; 0 lets the system choose. */
  readonly localPort: number;
  /** Which addresses of a host name to dial: those of IPv4, those of IPv6, or both. */
  readonly family: 4 | 6 | undefined;
  /** The options of TLS, if the client speaks it. */
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
  /** After how many ms of silence TCP asks whether the peer is alive; 0 means never. */
  readonly keepAlive: number;
}

/** Listens on an address, or is about to. {@link ListenerEvents} receives what happens. */
export interface Listener {
  /**
   * Whether `hold` keeps further clients in the kernel's queue. Unless it is true, `acceptQueue` bounds how many wait in the
   * process (S5).
   */
  readonly stoppable?: boolean;
  /**
   * Stops accepting: up to `backlog` clients wait in the kernel's queue. A transport that cannot stop goes on calling
   * `onConnection`.
   */
  hold(): void;
  /** Accepts again, in the order in which the clients came. `onConnection` is called in a later turn. */
  release(): void;
  /**
   * Gives the address back and resets the clients that wait. No event follows. Accepted connections stay open.
   *
   * @returns a promise that resolves once the system has released everything, and never rejects; nothing if that is already
   * true
   */
  close(): Promise<void> | void;
}

/** Receives the events of a {@link Listener}: `onListening` and then connections and incidents, or `onError` alone. */
export interface ListenerEvents {
  /**
   * The listener is bound. Called once.
   *
   * @param address - the bound address, with the port that was taken
   */
  onListening(address: Address): void;
  /**
   * A client was accepted. The receiver opens its socket or resets it; nothing is read before {@link TransportSocket.open}.
   *
   * @param socket - the socket of the client
   */
  onConnection(socket: TransportSocket): void;
  /**
   * The address could not be bound. No event follows.
   *
   * @param error - the reason, with errno's name in `code`, and the address
   */
  onError(error: SocketError): void;
  /**
   * A client could not be accepted. The listener goes on.
   *
   * @param error - the reason
   */
  onIncident(error: SocketError): void;
}

/** An attempt to connect that is under way. */
export interface Dial {
  /** Aborts the attempt: no event follows, and no socket is left. */
  abort(): void;
}

/** Receives how an attempt to connect ends: exactly one of the two is called, unless the attempt is aborted. */
export interface DialEvents {
  /**
   * The connection is there. Nothing is read from it before {@link TransportSocket.open}.
   *
   * @param socket - its socket
   */
  onConnect(socket: TransportSocket): void;
  /**
   * The attempt has failed.
   *
   * @param error - the reason, with errno's name in `code`, and the address
   */
  onError(error: SocketError): void;
}

/**
 * One connected socket, which a {@link Connection} is built on. It reports to the events that it is opened with, never
 * within a call of one of its own methods.
 *
 * To send, call `write` or `writeAll`; after one has returned false, wait for `onDrain`. To receive at the receiver's pace, call
 * `pause` and `resume`. The socket ends after `end` and the peer's FIN, or after `reset`; then it calls `onClose`.
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
  /** Collects the messages of one turn, so that they are written together. All sockets of a transport share one (C3). */
  readonly scheduler: FlushScheduler;
  /** What TLS knows of the peer; undefined without TLS, and before `startTls` has called back. */
  readonly tls: TlsInfo | undefined;
  /** How many bytes of the last write the kernel has not taken, from 0 (C4). */
  readonly unsent: number;
  /**
   * Begins to read and to report. Called once.
   *
   * @param events - receives what happens, in later turns
   */
  open(events: SocketEvents): void;
  /** Stops reading: the kernel's buffers fill, and the peer has to wait. At most one more chunk is reported (F3). */
  pause(): void;
  /** Reads again. */
  resume(): void;
  /**
   * Writes bytes or text. After it has returned false, it must not be called again before `onDrain`.
   *
   * @param data - text, or bytes that do not change until they are taken; those that are not taken wait in the socket, and
   * `unsent` counts them
   * @param encoding - how text becomes bytes
   * @returns true if the kernel has taken everything; otherwise `onDrain` follows
   */
  write(data: Uint8Array | string, encoding: 'utf8' | 'latin1'): boolean;
  /**
   * Writes several pieces at once, under the rules of `write`.
   *
   * @param pieces - one or more
   * @returns true if the kernel has taken everything; otherwise `onDrain` follows
   */
  writeAll(pieces: readonly Uint8Array[]): boolean;
  /** Ends the sending side (FIN) after what was written. The receiving side goes on until the peer ends it (C6). */
  end(): void;
  /** Ends both sides now, also after `end`: with a reset, if the transport has one (C8, C20). `onClose` follows. */
  reset(): void;
  /**
   * Gives the socket up after `end`: the kernel still delivers what it has taken (C11). A socket without this method is reset
   * instead.
   */
  drop?(): void;
  /**
   * Prepares to start TLS on this socket, and sends nothing yet. A transport without TLS lacks this method.
   *
   * @param options - those of a server if the socket was accepted or `isServer` is true, otherwise those of a client
   * @returns a function that starts the handshake. It is called at most once, when the kernel has taken every write; nothing
   * is written until it has called `secured`. When the handshake fails, or the socket had read bytes that it has not
   * reported, `onClose` reports the error
   * @throws `ERR_OPTION_INVALID` for options that could never succeed
   * @example
   * ```ts
   * const start = socket.startTls?.({ ca: authority });
   * start?.(() => console.log(socket.tls?.protocol));
   * ```
   * @see rule T10
   */
  startTls?(options: StartTlsOptions): (secured: () => void) => void;
  /**
   * What only Node's sockets can set; absent on any other socket.
   *
   * @internal
   */
  readonly controls?: SocketControls | undefined;
}

/** Sets what only Node's sockets have, for a stream that stands in for a `net.Socket` (I2). A `net.Socket` is one. */
export interface SocketControls {
  /** Keeps the process running while the socket is open, as by default. */
  ref(): void;
  /** Lets the process end while the socket is open. */
  unref(): void;
  /** Sends small writes at once, or not (TCP_NODELAY). */
  setNoDelay(on: boolean): void;
  /** Has TCP ask after `delay` ms of silence whether the peer is alive, or not. */
  setKeepAlive(on: boolean, delay: number): void;
}

/**
 * Receives the events of a {@link TransportSocket}. `onClose` is the last one.
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
   * Bytes have come. {@link TransportSocket.pause} may be called within it.
   *
   * @param chunk - at least one byte; the receiver may keep it
   */
  onData(chunk: Buffer): void;
  /**
   * The peer has ended its sending side. All that it sent was reported before.
   *
   * @param cutOff - given if the transport can tell that the stream was cut off before the peer ended it
   */
  onEnd(cutOff?: StreamCutOff): void;
  /** The kernel has taken all of the last write, which had returned false. */
  onDrain(): void;
  /**
   * The socket is closed.
   *
   * @param error - the failure that closed it; undefined if nothing went wrong
   */
  onClose(error: SocketError | undefined): void;
}

/**
 * Says that the peer's stream was cut off: TLS, for example, ends a stream with a message of its own, and only a FIN came.
 *
 * @see rules T5 and T11
 */
export interface StreamCutOff {
  /** The error that the connection fails with, unless an incomplete frame gives it `ERR_FRAME_TRUNCATED`. */
  readonly error: SocketError;
  /** Whether the connection accepts this end after a complete frame, so that only an incomplete one makes it fail. */
  readonly mayBeComplete: boolean;
}

/**
 * Receives the events of a socket whose chunks may be borrowed: such a chunk lies in memory that is overwritten once `onData`
 * has returned.
 *
 * @internal
 */
export interface BorrowingSocketEvents extends SocketEvents {
  /** Whether it keeps the chunks as they are, so that they should lie in memory of their own. Absent: it cannot borrow. */
  readonly keeps?: boolean;
  /** The memory that the next bytes belong to, if that is known: a socket may read into it, and give it as the chunk. */
  readonly room?: Buffer | undefined;
}

/**
 * Returns the first of the given options that only TCP has.
 *
 * @internal
 */
export function tcpOnlyOption({ localAddress, localPort, family }: DialOptions): string | undefined {
  if (localAddress !== undefined) return 'localAddress';
  if (localPort > 0) return 'localPort';
  return family === undefined ? undefined : 'family';
}
