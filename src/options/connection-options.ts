import type { Codec } from '../codecs/codec.js';
import { bytes } from '../codecs/raw-bytes.js';
import type { ConnectionSettings } from '../connection/connection-settings.js';
import type { Transport } from '../transport/transport.js';
import {
  byteCount,
  type Checks,
  duration,
  flag,
  invalidOption,
  oneOf,
  optional,
  withDefault,
  withMethods,
} from '../validation/checks.js';
import { abortError } from './abort-signal.js';

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

/** Checked options, before the settings that follow from several of them are filled in. */
export type Checked<Settings> = Omit<Settings, 'halfOpen' | 'endsStreams'> & { readonly halfOpen: boolean | undefined };

/** The check and the default of each option; that of `halfOpen` is different for `listen` and `connect`. */
export const connectionChecks: Checks<Checked<ConnectionSettings<any, any>> & { transport: Transport | undefined }> = {
  codec: withDefault(withMethods<Codec<any, any>>('a codec', 'decoder', 'encoder'), bytes),
  highWaterMark: withDefault(byteCount, 65_536),
  maxBuffered: withDefault(byteCount, 1_048_576),
  overflow: withDefault(oneOf('error', 'drop'), 'error'),
  idleTimeout: withDefault(duration, 0),
  receiveTimeout: withDefault(duration, 0),
  halfOpen: optional(flag),
  halfOpenTimeout: withDefault(duration, 60_000),
  closeTimeout: withDefault(duration, 5_000),
  claimTimeout: withDefault(duration, 30_000),
  noDelay: withDefault(flag, true),
  keepAlive: withDefault(duration, 60_000),
  handshakeTimeout: withDefault(duration, 10_000),
  signal: optional(signalNotAborted),
  transport: optional(withMethods<Transport>('a transport', 'checkListen', 'checkConnect', 'listen', 'connect')),
};

/** Nothing starts with a signal that is already aborted. */
function signalNotAborted(option: string, value: unknown): AbortSignal {
  if (!(value instanceof AbortSignal)) throw invalidOption(option, 'an AbortSignal', value);
  if (value.aborted) throw abortError(value);
  return value;
}
