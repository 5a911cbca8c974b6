import type { Address } from '../address/address.js';
import type { SocketError } from '../errors/socket-error.js';
import type { FlushScheduler } from '../scheduling/flush-scheduler.js';
import type { ClientTls, ServerTls, StartTlsOptions, TlsInfo } from './tls.js';

/**
 * Carries bytes: Node's sockets, memory, or something of your own. One object serves any number of servers and clients.
 *
 * @emits none; it reports through the events that it is given
 * @throws see {@link Transport.checkListen} and {@link Transport.checkConnect}
 * @backpressure see {@link TransportSocket}
 * @teardown see {@link Listener}, {@link Dial} and {@link TransportSocket}
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
 * @see {@link TransportSocket} for what a connection does
 */
export interface Transport {
  /**
   * Refuses what no attempt to listen could ever succeed with; called before anything else is.
   *
   * @param address - the address, well-formed
   * @param options - those that `listen` is to be called with
   * @throws `ERR_ADDRESS_INVALID` or `ERR_OPTION_INVALID`, at once (A5)
   * @example
   * ```ts
   * transport.checkListen({ transport: 'memory', name: 'echo' }, options);
   * ```
   * @see rule A5
   */
  checkListen(address: Address, options: ListenerOptions): void;
  /**
   * Refuses what no attempt to connect could ever succeed with; called before anything else is.
   *
   * @param address - the address, well-formed
   * @param options - those that `connect` is to be called with
   * @throws `ERR_ADDRESS_INVALID` or `ERR_OPTION_INVALID`, at once (A5)
   * @example
   * ```ts
   * transport.checkConnect({ transport: 'memory', name: 'echo' }, options);
   * ```
   * @see rule A5
   */
  checkConnect(address: Address, options: DialOptions): void;
  /**
   * Binds an address and begins to accept. It never throws, and never calls back before it has returned.
   *
   * @param address - one that `checkListen` lets pass
   * @param options - of the listener and of its sockets
   * @param events - whom to tell
   * @returns the listener
   * @emits `onListening`, then `onConnection` for each client; or `onError` alone
   * @backpressure see {@link Listener.hold}
   * @teardown {@link Listener.close}
   * @example
   * ```ts
   * const listener = transport.listen({ transport: 'memory', name: 'echo' }, options, events);
   * ```
   * @see rules S1 to S3
   */
  listen(address: Address, options: ListenerOptions, events: ListenerEvents): Listener;
  /**
   * Dials an address. It never throws, and never calls back before it has returned.
   *
   * @param address - one that `checkConnect` lets pass
   * @param options - of the socket
   * @param events - whom to tell
   * @returns the dialling under way
   * @emits `onConnect` or `onError`
   * @teardown {@link Dial.abort}
   * @example
   * ```ts
   * const dial = transport.connect({ transport: 'memory', name: 'echo' }, options, events);
   * ```
   * @see rules K3 and K7
   */
  connect(address: Address, options: DialOptions, events: DialEvents): Dial;
}

/**
 * Tells a transport what it needs to know to listen.
 *
 * @example
 * ```ts
 * const options: ListenerOptions = {
 *   backlog: 4_096,
 *   mode: 0o600,
 *   stale: 'replace',
 *   reusePort: false,
 *   tls: undefined,
 *   proxyProtocol: undefined,
 *   handshakeTimeout: 10_000,
 *   maxConnections: 10_000,
 *   noDelay: true,
 *   keepAlive: 60_000,
 * };
 * ```
 * @see {@link ListenOptions}
 */
export interface ListenerOptions extends SocketOptions {
  /** How many connections may wait in the kernel's queue to be accepted, from 1 (S5). */
  readonly backlog: number;
  /** The permissions of a socket file, from the first instant at which it can be connected to (S9). */
  readonly mode: number;
  /** Whether a socket file that nobody listens on is taken over. */
  readonly stale: 'replace' | 'fail';
  /** Whether several processes may listen on one port. */
  readonly reusePort: boolean;
  /** Certificates, where clients have to speak TLS. */
  readonly tls: ServerTls | undefined;
  /** Whose PROXY header is required and believed. */
  readonly proxyProtocol: { readonly trusted: readonly string[] } | undefined;
  /** How long TLS and a PROXY header may take, in ms; 0 means for ever. */
  readonly handshakeTimeout: number;
  /** How many of them may be under way at once. */
  readonly maxConnections: number;
}

/**
 * Tells a transport what it needs to know to dial.
 *
 * @example
 * ```ts
 * const options: DialOptions = {
 *   localAddress: '192.0.2.1',
 *   localPort: 0,
 *   family: undefined,
 *   tls: undefined,
 *   noDelay: true,
 *   keepAlive: 0,
 * };
 * ```
 * @see {@link ConnectOptions}
 */
export interface DialOptions extends SocketOptions {
  /** The IP address to dial from; of `family`, where both are given (K20). */
  readonly localAddress: string | undefined;
  /** The port to dial from; 0 lets the system choose. */
  readonly localPort: number;
  /** Which addresses of a host name are dialled: those of IPv4, those of IPv6, or both. */
  readonly family: 4 | 6 | undefined;
  /** What TLS is spoken with, where it is. */
  readonly tls: ClientTls | undefined;
}

/**
 * Sets what holds for every socket, accepted or dialled.
 *
 * @example
 * ```ts
 * const options: SocketOptions = { noDelay: true, keepAlive: 60_000 };
 * ```
 * @see {@link ConnectionOptions}
 */
export interface SocketOptions {
  /** Whether small writes go out at once (TCP_NODELAY). */
  readonly noDelay: boolean;
  /** After how many ms of silence TCP asks whether the peer is alive; 0 means never. */
  readonly keepAlive: number;
}

/**
 * Is an address that is being listened on, or about to be.
 *
 * @emits none; see {@link ListenerEvents}
 * @backpressure {@link Listener.hold}
 * @teardown {@link Listener.close}
 * @example
 * ```ts
 * const listener = transport.listen({ transport: 'memory', name: 'echo' }, options, events);
 * await listener.close();
 * ```
 * @see rules S1 and S5
 */
export interface Listener {
  /**
   * Whether `hold` keeps further clients in the kernel's queue. Where it is not true, `acceptQueue` bounds how many wait
   * in the process (S5).
   */
  readonly stoppable?: boolean;
  /**
   * Stops accepting: clients wait in the kernel's queue. Where that can't be had, `onConnection` is called all the same.
   *
   * @backpressure up to `backlog` clients wait
   * @example
   * ```ts
   * listener.hold();
   * ```
   * @see rule S5
   */
  hold(): void;
  /**
   * Accepts again, in the order in which the clients came.
   *
   * @emits the `onConnection` of each client that waits, in a later turn
   * @example
   * ```ts
   * listener.release();
   * ```
   * @see rule S5
   */
  release(): void;
  /**
   * Gives the address back; clients that wait are reset. No event follows.
   *
   * @returns a promise that resolves, and never rejects, once the system has everything back; or none, where it has at
   * once
   * @teardown connections that were accepted live on
   * @example
   * ```ts
   * await listener.close();
   * ```
   * @see rules S1 and S7
   */
  close(): Promise<void> | void;
}

/**
 * Receives the events of a listener: `onListening` and then any number of connections and incidents, or `onError` alone.
 *
 * @backpressure see {@link Listener.hold}
 * @teardown nothing is told after {@link Listener.close}
 * @example
 * ```ts
 * const events: ListenerEvents = {
 *   onListening: (address) => console.log(`at ${formatAddress(address)}`),
 *   onConnection: (socket) => socket.reset(),
 *   onError: (error) => console.log(error.code),
 *   onIncident: (error) => console.log(error.code),
 * };
 * ```
 * @see rules S1 to S3
 */
export interface ListenerEvents {
  /**
   * Tells that it is bound: once.
   *
   * @param address - the one that it got, with the port that was taken
   * @example
   * ```ts
   * events.onListening({ transport: 'tcp', host: '127.0.0.1', port: 7000 });
   * ```
   * @see rule S1
   */
  onListening(address: Address): void;
  /**
   * Tells that a client was accepted; nothing is read from it before {@link TransportSocket.open}.
   *
   * @param socket - its socket
   * @backpressure who is called keeps it, or resets it
   * @example
   * ```ts
   * events.onConnection(socket);
   * ```
   * @see rule S2
   */
  onConnection(socket: TransportSocket): void;
  /**
   * Tells that it could not be bound: the last event.
   *
   * @param error - why, with errno's name in `code`, and the address
   * @example
   * ```ts
   * events.onError(new SocketError('EADDRINUSE', 'somebody listens there'));
   * ```
   * @see rule S3
   */
  onError(error: SocketError): void;
  /**
   * Tells that one client could not be accepted; the listener goes on.
   *
   * @param error - why
   * @example
   * ```ts
   * events.onIncident(new SocketError('ECONNABORTED', 'the client has left'));
   * ```
   * @see the property `incidents` of {@link Server}
   */
  onIncident(error: SocketError): void;
}

/**
 * Is an attempt to connect that is under way.
 *
 * @emits none; see {@link DialEvents}
 * @teardown {@link Dial.abort}
 * @example
 * ```ts
 * const dial = transport.connect({ transport: 'memory', name: 'echo' }, options, events);
 * dial.abort();
 * ```
 * @see rule K7
 */
export interface Dial {
  /**
   * Gives it up: no event follows, and no socket is left.
   *
   * @example
   * ```ts
   * dial.abort();
   * ```
   * @see rule K7
   */
  abort(): void;
}

/**
 * Is told how an attempt to connect ends: exactly one of the two is called, unless it is aborted.
 *
 * @teardown nothing is told after {@link Dial.abort}
 * @example
 * ```ts
 * const events: DialEvents = {
 *   onConnect: (socket) => socket.reset(),
 *   onError: (error) => console.log(error.code),
 * };
 * ```
 * @see rules K3 and K7
 */
export interface DialEvents {
  /**
   * Tells that the connection is there; nothing is read from it before {@link TransportSocket.open}.
   *
   * @param socket - its socket
   * @example
   * ```ts
   * events.onConnect(socket);
   * ```
   * @see rule K2
   */
  onConnect(socket: TransportSocket): void;
  /**
   * Tells that it failed.
   *
   * @param error - why, with errno's name in `code`, and the address
   * @example
   * ```ts
   * events.onError(new SocketError('ECONNREFUSED', 'nobody listens there'));
   * ```
   * @see rule K3
   */
  onError(error: SocketError): void;
}

/**
 * Is one connected socket: what a {@link Connection} is built on. It reports to the events that it is opened with,
 * never within a call of one of its own methods.
 *
 * @emits none; see {@link SocketEvents}
 * @throws none: what goes wrong is reported by `onClose`
 * @backpressure sending: `write` gives false, and isn't called again before `onDrain`. Receiving: `pause` and `resume`
 * @teardown `end` and the peer's FIN, or `reset`; then `onClose`
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
 * @see rules C1 to C12
 */
export interface TransportSocket {
  /** The address of this end. */
  readonly local: Address;
  /** The address of the other end. */
  readonly remote: Address;
  /** What collects the messages of one turn; all sockets of a transport share one (C3). */
  readonly scheduler: FlushScheduler;
  /** What TLS knows of the peer, where it is spoken; else undefined, also before `startTls` has called back. */
  readonly tls: TlsInfo | undefined;
  /** How many bytes of the write under way the kernel has not taken, 0 and more (C4). */
  readonly unsent: number;
  /**
   * Begins to read and to report. Called once.
   *
   * @param events - whom to tell
   * @emits the events, in later turns
   * @example
   * ```ts
   * socket.open(events);
   * ```
   * @see rule S2
   */
  open(events: SocketEvents): void;
  /**
   * Stops reading; at most one more chunk is reported.
   *
   * @backpressure the kernel's buffers fill, and the peer is told to wait
   * @example
   * ```ts
   * socket.pause();
   * ```
   * @see rule F3
   */
  pause(): void;
  /**
   * Reads again.
   *
   * @example
   * ```ts
   * socket.resume();
   * ```
   * @see rule F3
   */
  resume(): void;
  /**
   * Writes. Not called again before `onDrain`, where it gave false.
   *
   * @param data - bytes that are not changed before they are taken, or text
   * @param encoding - how the characters of a text become bytes
   * @returns true where the kernel has taken all of it; else `onDrain` follows
   * @backpressure what was not taken waits in the socket, counted by `unsent`
   * @example
   * ```ts
   * if (!socket.write('hello\n', 'utf8')) console.log('the kernel is full');
   * ```
   * @see rules C3 and C4
   */
  write(data: Uint8Array | string, encoding: 'utf8' | 'latin1'): boolean;
  /**
   * Writes several pieces at once, as `write` does.
   *
   * @param pieces - one or more
   * @returns as `write`
   * @backpressure as for `write`
   * @example
   * ```ts
   * socket.writeAll([Buffer.from('hello'), Buffer.from('\n')]);
   * ```
   * @see rules C3 and C4
   */
  writeAll(pieces: readonly Uint8Array[]): boolean;
  /**
   * Ends the sending side (FIN) after what was written.
   *
   * @teardown the receiving side goes on until the peer ends it
   * @example
   * ```ts
   * socket.end();
   * ```
   * @see rule C6
   */
  end(): void;
  /**
   * Ends both sides now, with a reset where the transport has one, also after `end`.
   *
   * @emits `onClose`, in a later turn
   * @teardown everything of this socket ends
   * @example
   * ```ts
   * socket.reset();
   * ```
   * @see rules C8 and C20
   */
  reset(): void;
  /**
   * Gives the socket up after `end`, so that the kernel still delivers what it has. Without it `reset` is called.
   *
   * @example
   * ```ts
   * socket.drop?.();
   * ```
   * @see rule C11
   */
  drop?(): void;
  /**
   * Prepares to start TLS on this socket, and sends nothing yet. Absent where the transport has no TLS.
   *
   * @param options - those of a server where the socket was accepted or they say `isServer`, else those of a client
   * @returns a function that starts the handshake. It is called at most once, when the kernel has taken every write, and
   * nothing is written until it has called `secured`. `onClose` reports a handshake that fails, and bytes that the socket had
   * read and not reported
   * @throws `ERR_OPTION_INVALID`, at once
   * @example
   * ```ts
   * const start = socket.startTls?.({ ca: authority });
   * start?.(() => console.log(socket.tls?.protocol));
   * ```
   * @see rule T10
   */
  startTls?(options: StartTlsOptions): (secured: () => void) => void;
  /**
   * What only Node's sockets can set; absent where the socket is none of Node's.
   *
   * @internal
   */
  readonly controls?: SocketControls | undefined;
}

/** Sets what only Node's sockets have, for a stream that stands in for one (I2). A `net.Socket` is one. */
export interface SocketControls {
  /** Lets the process run for as long as the socket is open, as it does by default. */
  ref(): void;
  /** Lets the process end though the socket is open. */
  unref(): void;
  /** Has small writes go out at once, or not (TCP_NODELAY). */
  setNoDelay(on: boolean): void;
  /** Has TCP ask whether the peer is there after `delay` ms of silence, or not. */
  setKeepAlive(on: boolean, delay: number): void;
}

/**
 * Is told what a socket does.
 *
 * @backpressure see {@link TransportSocket}
 * @teardown nothing is told after `onClose`
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
 * @see rules C1, C7 and C8
 */
export interface SocketEvents {
  /**
   * Tells that bytes came.
   *
   * @param chunk - at least one byte; who is called may keep it
   * @backpressure {@link TransportSocket.pause} may be called within it
   * @example
   * ```ts
   * events.onData(Buffer.from('hello\n'));
   * ```
   * @see rule C1
   */
  onData(chunk: Buffer): void;
  /**
   * Tells that the peer has ended its sending side, after all that it sent.
   *
   * @param truncated - where it can be told that the peer's stream was cut off, and not ended by the peer; else absent
   * @param allowed - whether such an end counts as one in order, unless it cuts through a frame; false by default
   * @example
   * ```ts
   * events.onEnd();
   * ```
   * @see rules C7, T5 and T11
   */
  onEnd(truncated?: SocketError, allowed?: boolean): void;
  /**
   * Tells that the kernel has taken all of the last write, where that gave false.
   *
   * @example
   * ```ts
   * events.onDrain();
   * ```
   * @see rule C4
   */
  onDrain(): void;
  /**
   * Tells that the socket is gone: the last event.
   *
   * @param error - what ended it; undefined where nothing went wrong
   * @example
   * ```ts
   * events.onClose(undefined);
   * ```
   * @see rules C8 and C12
   */
  onClose(error: SocketError | undefined): void;
}

/**
 * Who may do with chunks that are only lent to it.
 *
 * @internal
 */
export interface Keeper extends SocketEvents {
  /** Whether it keeps what it is given; absent where it always may. */
  readonly keeps?: boolean;
  /** Where the next bytes belong, if that is known: who reads them there gives that as the chunk. */
  readonly room?: Buffer | undefined;
}
