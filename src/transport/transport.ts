import type { Address } from '../address.js';
import type { SocketError } from '../errors.js';
import type { Turn } from '../io/turn.js';
import type { ClientTls, ServerTls, TlsInfo } from './tls.js';

/**
 * What carries bytes: Node's sockets, or memory. One object serves any number of servers and clients.
 *
 * @see {@link TransportSocket} for what a connection does
 */
export interface Transport {
  /** Throws `ERR_ADDRESS_INVALID` or `ERR_OPTION_INVALID` where no attempt to listen could ever succeed (A5). */
  checkListen(address: Address, options: ListenerOptions): void;
  /** Throws `ERR_ADDRESS_INVALID` or `ERR_OPTION_INVALID` where no attempt to connect could ever succeed (A5). */
  checkConnect(address: Address, options: DialOptions): void;
  /** Binds `address` and begins to accept. Never throws and never calls back before it has returned. */
  listen(address: Address, options: ListenerOptions, events: ListenerEvents): Listener;
  /** Dials `address`. Never throws and never calls back before it has returned. */
  connect(address: Address, options: DialOptions, events: DialEvents): Dial;
}

/** What a transport needs to know to listen. */
export interface ListenerOptions extends SocketOptions {
  /** The length of the kernel's queue of connections that wait to be accepted. */
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

/** What a transport needs to know to dial. */
export interface DialOptions extends SocketOptions {
  /** What TLS is spoken with, where it is. */
  readonly tls: ClientTls | undefined;
}

/** Options of every socket of a listener or of a dialled one. */
export interface SocketOptions {
  /** Whether small writes go out at once (TCP_NODELAY). */
  readonly noDelay: boolean;
  /** After how many ms of silence TCP asks whether the peer is alive; 0 means never. */
  readonly keepAlive: number;
}

/** A name that is being listened on, or about to be. */
export interface Listener {
  /** Stops accepting: clients wait in the kernel's queue. Where that can't be had, `connection` is called all the same. */
  hold(): void;
  /** Accepts again. */
  release(): void;
  /** Gives the name back; clients that wait are reset. No event follows. */
  close(): void;
}

/** What a listener tells. */
export interface ListenerEvents {
  /** It is bound: once, with the address that it got. */
  listening(address: Address): void;
  /** A client was accepted; nothing is read from it before `open`. */
  connection(socket: TransportSocket): void;
  /** It could not be bound: the last event. */
  failed(error: SocketError): void;
  /** One client could not be accepted; it goes on. */
  incident(error: SocketError): void;
}

/** A dialling that is under way. */
export interface Dial {
  /** Gives it up; no event follows. */
  abort(): void;
}

/** How a dialling ends: exactly one of the two is called, unless it is aborted. */
export interface DialEvents {
  /** The connection is there; nothing is read from it before `open`. */
  connected(socket: TransportSocket): void;
  /** It failed. */
  failed(error: SocketError): void;
}

/** One connected socket: what a Connection is built on. */
export interface TransportSocket {
  /** The name of this end. */
  readonly local: Address;
  /** The name of the other end. */
  readonly remote: Address;
  /** When what is sent in one turn is written. */
  readonly turn: Turn;
  /** What TLS knows of the peer, where it is spoken. */
  readonly tls: TlsInfo | undefined;
  /** How many bytes of the write under way the kernel has not taken. */
  readonly unsent: number;
  /** Begins to read and to report. Called once. */
  open(events: SocketEvents): void;
  /** Stops reading; at most one more chunk is reported. */
  pause(): void;
  /** Reads again. */
  resume(): void;
  /** Writes; `true` where all was taken at once, else `taken` follows. Not called again before it did. */
  write(data: Uint8Array | string, encoding: 'utf8' | 'latin1'): boolean;
  /** Writes several pieces at once, as `write`. */
  writeAll(pieces: readonly Uint8Array[]): boolean;
  /** Ends the sending side (FIN) after what was written. */
  end(): void;
  /** Ends both sides at once, with a reset where the transport has one. */
  reset(): void;
}

/** What a socket reports. */
export interface SocketEvents {
  /** Bytes came. */
  received(chunk: Buffer): void;
  /** The peer has ended its sending side. */
  finished(): void;
  /** The kernel has taken all of the last write. */
  taken(): void;
  /** It is gone, with the error that ended it, if one did: the last event. */
  gone(error: SocketError | undefined): void;
}
