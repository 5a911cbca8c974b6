import type { RetryConfig } from 'rxjs';
import type { Address } from './address.js';
import type { Backoff } from './backoff.js';
import { bytes } from './bytes.js';
import type { Codec } from './codec.js';
import { shown, SocketError } from './errors.js';
import type { Prepare } from './preparation.js';
import { ipFamily } from './proxy/ip.js';
import { trustedPeers } from './proxy/trusted.js';
import type { ClientTls, ServerTls } from './transport/tls.js';
import type { Transport } from './transport/transport.js';

/**
 * Sets how each connection of a server or a client goes. Durations are in ms, from 0 to under 2³¹, and 0 switches a
 * timer off; sizes are in bytes, whole numbers from 1. What is out of its range is `ERR_OPTION_INVALID` (A5).
 *
 * @typeParam In - what is received
 * @typeParam Out - what is sent
 * @backpressure `highWaterMark`, `maxBuffered` and `overflow` bound what waits to be sent (C4)
 * @example
 * ```ts
 * const options: ConnectionOptions<string, string> = { codec: lines(), idleTimeout: 60_000, overflow: 'drop' };
 * const server = listen('tcp://localhost:7000', options);
 * const client = connect('tcp://localhost:7000', options);
 * ```
 * @see rules A5, C4 and C7
 */
export interface ConnectionOptions<In, Out> {
  /**
   * How messages lie in the bytes (D1).
   *
   * @defaultValue `undefined`: chunks of bytes as they come; bytes and UTF-8 text to send
   */
  readonly codec?: Codec<In, Out> | undefined;
  /**
   * Over how many bytes that wait `writable` is false; at or under half of it, true again. From 1, and never more than
   * `maxBuffered` (C5, C21).
   *
   * @defaultValue 65_536
   * @unit bytes
   */
  readonly highWaterMark?: number | undefined;
  /**
   * How many bytes may wait to be sent before `overflow` acts, from 1. One larger value is taken where nothing waits
   * (C4).
   *
   * @defaultValue 1_048_576
   * @unit bytes
   */
  readonly maxBuffered?: number | undefined;
  /**
   * What happens to a value over `maxBuffered`: `'error'` destroys the connection with `ERR_OVERFLOW`, `'drop'` drops
   * the value and counts it in `dropped`; a `send` rejects with `ERR_OVERFLOW` in either case (C4).
   *
   * @defaultValue 'error'
   */
  readonly overflow?: 'error' | 'drop' | undefined;
  /**
   * After how long without anything received or written a connection fails with `ERR_TIMEOUT_IDLE`; 0 means never. Time
   * counts only while this side is ready to read: a connection that is held, or whose consumer is busy, is not idle (C27).
   *
   * @defaultValue 0
   * @unit ms
   */
  readonly idleTimeout?: number | undefined;
  /**
   * After how long without anything received a connection fails with `ERR_TIMEOUT_RECEIVE`, whatever is sent meanwhile; 0
   * means never. Use it to notice a silent device that you keep asking. Time counts as for `idleTimeout` (C27).
   *
   * @defaultValue 0
   * @unit ms
   */
  readonly receiveTimeout?: number | undefined;
  /**
   * Whether the sending side stays open after the peer's FIN (C7, C16).
   *
   * @defaultValue `true` for `listen`, `false` for `connect`
   */
  readonly halfOpen?: boolean | undefined;
  /**
   * After how long without anything written a connection whose peer has finished fails with `ERR_TIMEOUT_HALF_OPEN`; 0
   * means never (C7).
   *
   * @defaultValue 60_000
   * @unit ms
   */
  readonly halfOpenTimeout?: number | undefined;
  /**
   * How long a graceful close may take before it is forced, with `ERR_TIMEOUT_CLOSE`; 0 means for ever (C11).
   *
   * @defaultValue 5_000
   * @unit ms
   */
  readonly closeTimeout?: number | undefined;
  /**
   * How long a connection may go without anybody who reads it: then it fails with `ERR_TIMEOUT_CLAIM` if nobody has read
   * it since its emission and nothing was sent on it, and is closed gracefully if its sending side has ended. 0 means for
   * ever (F1, C22).
   *
   * @defaultValue 30_000
   * @unit ms
   */
  readonly claimTimeout?: number | undefined;
  /**
   * Whether small writes go out at once (TCP_NODELAY). TCP only. What is sent in one turn goes out together anyhow (C3).
   *
   * @defaultValue true
   */
  readonly noDelay?: boolean | undefined;
  /**
   * After how long a silence TCP asks whether the peer is still there; 0 means never. TCP only; Linux takes whole seconds
   * of it, from 1.
   *
   * @defaultValue 60_000
   * @unit ms
   */
  readonly keepAlive?: number | undefined;
  /**
   * How long a handshake may take; 0 means for ever. At a server this is a client's PROXY header and its TLS handshake
   * together: a client that takes longer is dropped and reported in `incidents` as `ERR_TIMEOUT_HANDSHAKE`, and at most
   * `maxConnections` are under way at once. At both ends it is {@link Connection.startTls}, which then fails the connection
   * with that code. The handshake of a client with `tls` has `connectTimeout` (P5, S17, T3, T10).
   *
   * @defaultValue 10_000
   * @unit ms
   */
  readonly handshakeTimeout?: number | undefined;
  /**
   * Ends all of it when it is aborted: a server is shut down, a client ends with `ERR_CLOSED` and the signal's reason as
   * `cause`. A signal that is aborted already is refused with `ERR_CLOSED`, at once (C29).
   *
   * @defaultValue `undefined`
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * What carries the bytes; `memoryTransport()` of `rxjs-sockets/testing` needs no sockets (A5).
   *
   * @defaultValue `undefined`: Node's sockets
   */
  readonly transport?: Transport | undefined;
}

/**
 * Sets how a server listens, besides what holds for each of its connections.
 *
 * @typeParam In - what is received; `Buffer` without a codec
 * @typeParam Out - what is sent; bytes or text without one
 * @backpressure `backlog`, `acceptQueue` and `maxConnections` bound how many clients wait and are served (S5)
 * @example
 * ```ts
 * const options: ListenOptions<string, string> = { codec: lines(), maxConnections: 1_000 };
 * const server = listen({ service: 'http', host: '0.0.0.0' }, options);
 * ```
 * @see rules A5, S1 to S18, P1 to P5 and T1 to T9
 */
export interface ListenOptions<In = Buffer, Out = Uint8Array | string> extends ConnectionOptions<In, Out> {
  /**
   * How many clients may wait in the kernel's queue, which the kernel caps at `somaxconn`. A whole number from 1 to
   * under 2³¹ (S5).
   *
   * @defaultValue 4_096
   * @unit clients
   */
  readonly backlog?: number | undefined;
  /**
   * How many clients may wait in the process while the server is held, only where the listener can't be stopped; one
   * more is reset and told in `incidents`. A whole number from 1 to under 2³¹ (S5).
   *
   * @defaultValue 128
   * @unit clients
   */
  readonly acceptQueue?: number | undefined;
  /**
   * How many connections may be open at once; one more is reset and told in `incidents` as `ERR_LIMIT_CONNECTIONS`. A
   * whole number from 1 to under 2³¹.
   *
   * @defaultValue 10_000
   * @unit connections
   */
  readonly maxConnections?: number | undefined;
  /**
   * The permissions of the socket file, from the first instant at which it can be connected to, whatever the umask is;
   * who may write to it may connect. Unix sockets with a path only; from 0o000 to 0o777 (S9, S13).
   *
   * @defaultValue 0o600
   */
  readonly mode?: number | undefined;
  /**
   * What happens to a socket file at the path that nobody listens on: `'replace'` takes its place, `'fail'` leaves it and
   * fails with `EADDRINUSE`. A file that is no socket, and one that somebody listens on, are left in either case. Unix
   * sockets only (S8).
   *
   * @defaultValue 'replace'
   */
  readonly stale?: 'replace' | 'fail' | undefined;
  /**
   * Whether other sockets that ask for it too, of other processes of this user, may listen on the same port: the kernel
   * then spreads the clients over them. TCP only, with Node 22.12, 23.1 or later (A5).
   *
   * @defaultValue false
   */
  readonly reusePort?: boolean | undefined;
  /**
   * The key and certificate to speak TLS with, and all else that `node:tls` takes; a function gives them for each new
   * connection. Needed at a `tls://` address (A5, T1 to T9).
   *
   * @defaultValue `undefined`: plain text
   */
  readonly tls?: ServerTls | undefined;
  /**
   * Whose PROXY header is believed, of version 1 or 2: `trusted` has IP addresses, CIDR blocks, and the word `'unix'`
   * for whoever comes over a unix socket. Each connection must then begin with a header, and `remote` is the client that it
   * names; one from anybody else, or without one, is dropped and told in `incidents` as `ERR_PROXY_HEADER`. Not in memory
   * (S2, P1 to P5).
   *
   * @defaultValue `undefined`: no header is looked for
   */
  readonly proxyProtocol?: { readonly trusted: readonly string[] } | undefined;
}

/**
 * Sets how a client connects, and whether it does so again, besides what holds for its connection.
 *
 * @typeParam In - what is received; `Buffer` without a codec
 * @typeParam Out - what is sent; bytes or text without one
 * @backpressure as of {@link ConnectionOptions}
 * @example
 * ```ts
 * const options: ConnectOptions<string, string> = { codec: lines(), connectTimeout: 1_000, reconnect: backoff() };
 * const client = connect({ path: '/run/app.sock' }, options);
 * ```
 * @see rules A5, K3 to K5, K11 to K17 and K20
 */
export interface ConnectOptions<In = Buffer, Out = Uint8Array | string> extends ConnectionOptions<In, Out> {
  /**
   * How long an attempt to connect may take before it fails with `ERR_TIMEOUT_CONNECT`; 0 means as long as the kernel
   * tries (K3).
   *
   * @defaultValue 10_000
   * @unit ms
   */
  readonly connectTimeout?: number | undefined;
  /**
   * The IP address to connect from, on a machine that has several. TCP only: refused at any other address. It has to be of
   * the `family`. Of a host name only the first address of that family is dialled, and not all of them (K20).
   *
   * @defaultValue `undefined`: the system chooses, by the route to the peer
   */
  readonly localAddress?: string | undefined;
  /**
   * The port to connect from, 1 to 65,535, or 0 to let the system choose. TCP only: refused at any other address. Each attempt
   * uses it again: while it is not free the attempt fails with `EADDRINUSE` or `EADDRNOTAVAIL`, and `reconnect` acts (K20).
   *
   * @defaultValue 0
   */
  readonly localPort?: number | undefined;
  /**
   * Whether to dial the IPv4 or the IPv6 addresses of a host name. TCP only: refused at any other address, and where the host
   * is an address of the other family (K20).
   *
   * @defaultValue `undefined`: that of `localAddress`, else both
   */
  readonly family?: 4 | 6 | undefined;
  /**
   * What to speak TLS with: all that `node:tls` takes. The server is verified unless `rejectUnauthorized` is false, which
   * no environment variable can replace; the name is that of the address, unless `servername` is another (T1, T3).
   *
   * @defaultValue `undefined`: plain text, but at a `tls://` address TLS with the authorities that Node knows
   */
  readonly tls?: ClientTls | undefined;
  /**
   * When to dial again after a connection, or an attempt at one, has ended: {@link backoff}, or a `RetryConfig` of your
   * own. Its `count` starts again after a connection that was up for `stableAfter`, default 5,000 ms, or 0 with
   * `resetOnSuccess`; without a `delay` it waits as `backoff()` does (K3 to K5, K11).
   *
   * @defaultValue `undefined`: the client ends
   */
  readonly reconnect?: RetryConfig | undefined;
  /**
   * What happens to what is sent after a connection, or an attempt at one, has ended and before there is another:
   * `'buffer'` keeps it for that one, up to `maxBuffered`, where `overflow` acts; `'drop'` drops it and counts it in
   * `dropped`, and a `send` rejects with `ERR_OVERFLOW`, while what is paced waits; `'error'` ends the client with
   * `ERR_CLOSED`. Until the first attempt has ended everything is kept in any case (C2, K4, K13).
   *
   * @defaultValue 'buffer'
   */
  readonly whileDisconnected?: 'buffer' | 'drop' | 'error' | undefined;
  /**
   * Prepares each new connection, with a login, say, before anything that waits in the client's `data` is sent, and before
   * anything received is given to it: `(connection) => ObservableInput<unknown> | void`. Until what it returns completes, the state is `connecting`, and `connectTimeout` goes
   * on. If it fails, the attempt has failed with `ERR_HANDLER` and that error as `cause`, and `reconnect` acts. What it
   * receives and does not take goes to `data` (K18).
   *
   * @defaultValue `undefined`
   */
  readonly prepare?: Prepare<In, Out> | undefined;
}

/**
 * Sets how {@link Server.shutdown} goes.
 *
 * @example
 * ```ts
 * const options: ShutdownOptions = { deadline: 30_000 };
 * ```
 * @see rules S7 and S14
 */
export interface ShutdownOptions {
  /**
   * After how long what is left is aborted, from 0 to under 2³¹; 0 for never. In a second call it can
   * only hurry.
   *
   * @defaultValue the option `closeTimeout`
   * @unit ms
   */
  readonly deadline?: number | undefined;
  /**
   * Whether handlers and sends that are in progress are waited for. Without that, connections close at once, and a paced
   * send that is not finished is aborted, so that it does not look complete.
   *
   * @defaultValue true
   */
  readonly drain?: boolean | undefined;
}

/** Every option there is: what `listen` and `connect` share is often kept in one object, with what only one of them has. */
const names: ReadonlySet<string> = new Set<keyof ListenOptions | keyof ConnectOptions>([
  'codec',
  'highWaterMark',
  'maxBuffered',
  'overflow',
  'idleTimeout',
  'receiveTimeout',
  'halfOpen',
  'halfOpenTimeout',
  'closeTimeout',
  'claimTimeout',
  'noDelay',
  'keepAlive',
  'transport',
  'signal',
  'backlog',
  'acceptQueue',
  'maxConnections',
  'mode',
  'stale',
  'reusePort',
  'tls',
  'proxyProtocol',
  'handshakeTimeout',
  'connectTimeout',
  'localAddress',
  'localPort',
  'family',
  'reconnect',
  'whileDisconnected',
  'prepare',
]);

/** What every connection of one `listen` or `connect` goes by: checked, and with the defaults filled in. */
export interface ConnectionSettings<In, Out> {
  readonly codec: Codec<In, Out>;
  readonly highWaterMark: number;
  readonly maxBuffered: number;
  readonly overflow: 'error' | 'drop';
  readonly idleTimeout: number;
  readonly receiveTimeout: number;
  readonly halfOpen: boolean;
  /** Whether `halfOpen` is given as false: then a stream ends itself after the peer's FIN, too (I2). */
  readonly endsStreams: true | undefined;
  readonly halfOpenTimeout: number;
  readonly closeTimeout: number;
  readonly claimTimeout: number;
  readonly noDelay: boolean;
  readonly keepAlive: number;
  readonly signal: AbortSignal | undefined;
  readonly handshakeTimeout: number;
}

/** As {@link ConnectionSettings}, with what only a server needs. */
export interface ListenSettings<In, Out> extends ConnectionSettings<In, Out> {
  readonly backlog: number;
  readonly acceptQueue: number;
  readonly maxConnections: number;
  readonly mode: number;
  readonly stale: 'replace' | 'fail';
  readonly reusePort: boolean;
  readonly tls: ServerTls | undefined;
  readonly proxyProtocol: { readonly trusted: readonly string[] } | undefined;
}

/** As {@link ConnectionSettings}, with what only a client needs. */
export interface ConnectSettings<In, Out> extends ConnectionSettings<In, Out> {
  readonly connectTimeout: number;
  readonly localAddress: string | undefined;
  readonly localPort: number;
  readonly family: 4 | 6 | undefined;
  readonly tls: ClientTls | undefined;
  readonly reconnect: RetryConfig | undefined;
  readonly whileDisconnected: 'buffer' | 'drop' | 'error';
  readonly prepare: Prepare<In, Out> | undefined;
}

/** Checks the options of `listen` and fills in the defaults (A5). */
export function listenSettings<In, Out>(options: ListenOptions<In, Out>): ListenSettings<In, Out> {
  object('options', options);
  assertKnown(options);
  return {
    ...connectionSettings(options, true),
    backlog: count('backlog', options.backlog, 4_096),
    acceptQueue: count('acceptQueue', options.acceptQueue, 128),
    maxConnections: count('maxConnections', options.maxConnections, 10_000),
    mode: mode(options.mode),
    stale: oneOf('stale', options.stale, ['replace', 'fail']),
    reusePort: flag('reusePort', options.reusePort, false),
    tls: typeof options.tls === 'function' ? options.tls : object('tls', options.tls),
    proxyProtocol: proxyProtocol(options.proxyProtocol),
  };
}

/** Checks the options of `connect` and fills in the defaults (A5). */
export function connectSettings<In, Out>(options: ConnectOptions<In, Out>): ConnectSettings<In, Out> {
  object('options', options);
  assertKnown(options);
  return {
    ...connectionSettings(options, false),
    connectTimeout: duration('connectTimeout', options.connectTimeout, 10_000),
    localAddress: localAddress(options.localAddress, options.family),
    localPort: port('localPort', options.localPort),
    family: family(options.family),
    tls: object('tls', options.tls),
    reconnect: reconnect(options.reconnect),
    whileDisconnected: oneOf('whileDisconnected', options.whileDisconnected, ['buffer', 'drop', 'error']),
    prepare: callback('prepare', options.prepare),
  };
}

/** Checks the options of `pull`, and gives how many values a batch has at most (A5). */
export function batchSize(options: { readonly batch: number }): number {
  const { batch, ...others } = object('options', options) as { readonly batch: number };
  for (const [name, value] of Object.entries(others)) {
    if (value !== undefined) throw new SocketError('ERR_OPTION_INVALID', `${name} is no option of pull`);
  }
  // Without it, whoever reads would get values where batches were asked for.
  if (batch === undefined) throw invalid('batch', batch, 'a whole number from 1 to under 2^31');
  return count('batch', batch, 1);
}

/** What `requests` goes by: checked, and with the defaults filled in. */
export interface RequestSettings<In, Id> {
  readonly answers: ((message: In) => Id | undefined) | undefined;
  readonly timeout: number;
  readonly maxPending: number;
}

/** Checks the options of `requests` and fills in the defaults (A5). */
export function requestSettings<In, Id>(options: {
  readonly [Name in keyof RequestSettings<In, Id>]?: RequestSettings<In, Id>[Name] | undefined;
}): RequestSettings<In, Id> {
  const { answers, timeout, maxPending, ...others } = object('options', options) ?? {};
  for (const [name, value] of Object.entries(others)) {
    if (value !== undefined) throw new SocketError('ERR_OPTION_INVALID', `${name} is no option of requests`);
  }
  if (answers !== undefined && typeof answers !== 'function') throw invalid('answers', answers, 'a function');
  return {
    answers,
    timeout: duration('timeout', timeout, 10_000),
    maxPending: count('maxPending', maxPending, 1_024),
  };
}

/** Checks the option `transport`. */
export function transportOf(options: { readonly transport?: Transport | undefined }, otherwise: Transport): Transport {
  const transport: unknown = options.transport;
  if (transport === undefined) return otherwise;
  if (!hasMethods(transport, 'checkListen', 'checkConnect', 'listen', 'connect'))
    throw invalid('transport', transport, 'a transport');
  return transport as Transport;
}

function connectionSettings<In, Out>(
  options: ConnectionOptions<In, Out>,
  halfOpen: boolean,
): ConnectionSettings<In, Out> {
  const maxBuffered = size('maxBuffered', options.maxBuffered, 1_048_576);
  return {
    codec: codec(options.codec),
    maxBuffered,
    // What has to wait for `writable` would otherwise run into `maxBuffered` before it is ever told to wait.
    highWaterMark: Math.min(size('highWaterMark', options.highWaterMark, 65_536), maxBuffered),
    overflow: oneOf('overflow', options.overflow, ['error', 'drop']),
    idleTimeout: duration('idleTimeout', options.idleTimeout, 0),
    receiveTimeout: duration('receiveTimeout', options.receiveTimeout, 0),
    halfOpen: flag('halfOpen', options.halfOpen, halfOpen),
    endsStreams: options.halfOpen === false ? true : undefined,
    halfOpenTimeout: duration('halfOpenTimeout', options.halfOpenTimeout, 60_000),
    closeTimeout: duration('closeTimeout', options.closeTimeout, 5_000),
    claimTimeout: duration('claimTimeout', options.claimTimeout, 30_000),
    noDelay: flag('noDelay', options.noDelay, true),
    keepAlive: duration('keepAlive', options.keepAlive, 60_000),
    signal: signal(options.signal),
    handshakeTimeout: duration('handshakeTimeout', options.handshakeTimeout, 10_000),
  };
}

function codec<In, Out>(value: Codec<In, Out> | undefined): Codec<In, Out> {
  if (value === undefined) return bytes as unknown as Codec<In, Out>;
  if (!hasMethods(value, 'decoder', 'encoder')) throw invalid('codec', value, 'a codec');
  return value;
}

function proxyProtocol(
  value: { readonly trusted: readonly string[] } | undefined,
): { readonly trusted: readonly string[] } | undefined {
  if (object('proxyProtocol', value) === undefined) return undefined;
  const { trusted, ...others } = value as { readonly trusted: readonly string[] };
  const other = Object.keys(others).find((name) => (others as Record<string, unknown>)[name] !== undefined);
  if (other !== undefined) throw new SocketError('ERR_OPTION_INVALID', `proxyProtocol.${other} is no option`);
  trustedPeers(trusted);
  return { trusted: [...trusted] };
}

function reconnect(value: RetryConfig | undefined): RetryConfig | undefined {
  if (object('reconnect', value) === undefined) return undefined;
  const { count = Infinity, delay, resetOnSuccess, stableAfter } = value as RetryConfig & Partial<Backoff>;
  if (count !== Infinity && (!Number.isSafeInteger(count) || count < 0)) {
    throw invalid('reconnect.count', count, 'a whole number from 0, or Infinity');
  }
  if (typeof delay !== 'function') duration('reconnect.delay', delay, 0);
  flag('reconnect.resetOnSuccess', resetOnSuccess, false);
  duration('reconnect.stableAfter', stableAfter, 0);
  return value;
}

function localAddress(value: string | undefined, wanted: 4 | 6 | undefined): string | undefined {
  if (value === undefined) return undefined;
  const found = typeof value === 'string' ? ipFamily(value) : undefined;
  if (found === undefined) throw invalid('localAddress', value, 'an IP address');
  if (found !== (family(wanted) ?? found))
    throw invalid('localAddress', value, `an IPv${wanted} address, as family says`);
  return value;
}

function family(value: 4 | 6 | undefined): 4 | 6 | undefined {
  if (value === undefined || value === 4 || value === 6) return value;
  throw invalid('family', value, '4 or 6');
}

function port(name: string, value: number | undefined): number {
  if (value === undefined) return 0;
  if (!Number.isInteger(value) || value < 0 || value > 65_535)
    throw invalid(name, value, 'a whole number from 0 to 65,535');
  return value;
}

/** A timer of 2³¹ ms and more would fire at once. */
export function duration(name: string, value: number | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (typeof value !== 'number' || !(value >= 0 && value < 2 ** 31)) {
    throw invalid(name, value, 'a number of milliseconds from 0 (never) to under 2^31');
  }
  return value;
}

function size(name: string, value: number | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (!Number.isSafeInteger(value) || value < 1) throw invalid(name, value, 'a whole number of bytes from 1');
  return value;
}

function count(name: string, value: number | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (!Number.isSafeInteger(value) || value < 1 || value >= 2 ** 31)
    throw invalid(name, value, 'a whole number from 1 to under 2^31');
  return value;
}

function mode(value: number | undefined): number {
  if (value === undefined) return 0o600;
  if (!Number.isInteger(value) || value < 0 || value > 0o777)
    throw invalid('mode', value, 'permissions from 0o000 to 0o777');
  return value;
}

export function flag(name: string, value: boolean | undefined, otherwise: boolean): boolean {
  if (value === undefined) return otherwise;
  if (typeof value !== 'boolean') throw invalid(name, value, 'true or false');
  return value;
}

function oneOf<T extends string>(name: string, value: T | undefined, choices: readonly [T, ...T[]]): T {
  if (value === undefined) return choices[0];
  if (!choices.includes(value)) throw invalid(name, value, choices.map((choice) => `'${choice}'`).join(' or '));
  return value;
}

function callback<T>(name: string, value: T | undefined): T | undefined {
  if (value === undefined || typeof value === 'function') return value;
  throw invalid(name, value, 'a function');
}

/** Nothing begins under a signal that is aborted. */
function signal(value: AbortSignal | undefined): AbortSignal | undefined {
  if (value !== undefined && !(value instanceof AbortSignal)) throw invalid('signal', value, 'an AbortSignal');
  if (value?.aborted === true) throw abortError(value);
  return value;
}

/** What a client ends with when its signal is aborted (C29). */
export function abortError(aborted: AbortSignal, address?: Address): SocketError {
  return new SocketError('ERR_CLOSED', 'signal: it was aborted', { address, cause: aborted.reason });
}

function object<T>(name: string, value: T | undefined): T | undefined {
  if (value === undefined || (typeof value === 'object' && value !== null && !Array.isArray(value))) return value;
  throw invalid(name, value, 'an object');
}

/** An option that is passed over in silence may be the one that was to make it safe. */
function assertKnown(options: object): void {
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined && !names.has(name)) {
      throw new SocketError('ERR_OPTION_INVALID', `${name} is no option in this version`);
    }
  }
}

function hasMethods(value: unknown, ...names: string[]): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function');
}

function invalid(name: string, value: unknown, wanted: string): SocketError {
  return new SocketError('ERR_OPTION_INVALID', `${name} must be ${wanted}, not ${shown(value)}`);
}
