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
 * Configures each connection of a server or a client.
 *
 * Durations are in ms, from 0 to under 2³¹; 0 switches a timer off. Sizes are whole numbers of bytes, from 1. `listen` and
 * `connect` throw `ERR_OPTION_INVALID` for a value out of its range.
 *
 * @typeParam In - the messages that are received
 * @typeParam Out - the messages that are sent
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
   * How messages are encoded as bytes.
   *
   * @defaultValue `undefined`: receives chunks of bytes as they arrive; sends bytes and UTF-8 text
   */
  readonly codec?: Codec<In, Out> | undefined;
  /**
   * `writable` turns false when more bytes than this are buffered, and true again at half of it. A value over
   * `maxBuffered` counts as `maxBuffered`.
   *
   * @defaultValue 65_536
   * @unit bytes
   */
  readonly highWaterMark?: number | undefined;
  /**
   * The number of bytes that may be buffered before `overflow` applies. A single larger value is accepted while nothing is
   * buffered.
   *
   * @defaultValue 1_048_576
   * @unit bytes
   */
  readonly maxBuffered?: number | undefined;
  /**
   * What happens to a value that exceeds `maxBuffered`: `'error'` destroys the connection with `ERR_OVERFLOW`; `'drop'`
   * drops the value and counts it in `dropped`. In either case `send` rejects with `ERR_OVERFLOW`.
   *
   * @defaultValue 'error'
   */
  readonly overflow?: 'error' | 'drop' | undefined;
  /**
   * The time without any byte received or written after which a connection fails with `ERR_TIMEOUT_IDLE`; 0 means never.
   * Time counts only while this side is ready to read: a connection that is held, or whose consumer is busy, is not idle.
   *
   * @defaultValue 0
   * @unit ms
   */
  readonly idleTimeout?: number | undefined;
  /**
   * The time without any byte received after which a connection fails with `ERR_TIMEOUT_RECEIVE`, whatever is sent
   * meanwhile; 0 means never. Use it to notice a silent device that you keep polling. Time counts as for `idleTimeout`.
   *
   * @defaultValue 0
   * @unit ms
   */
  readonly receiveTimeout?: number | undefined;
  /**
   * Whether the sending side stays open after the peer's FIN.
   *
   * @defaultValue `true` for `listen`, `false` for `connect`
   */
  readonly halfOpen?: boolean | undefined;
  /**
   * The time without any byte written after which a connection whose peer has sent its FIN fails with
   * `ERR_TIMEOUT_HALF_OPEN`; 0 means never.
   *
   * @defaultValue 60_000
   * @unit ms
   */
  readonly halfOpenTimeout?: number | undefined;
  /**
   * The time that a graceful close may take; then the connection is aborted with `ERR_TIMEOUT_CLOSE`. 0 means no limit.
   *
   * @defaultValue 5_000
   * @unit ms
   */
  readonly closeTimeout?: number | undefined;
  /**
   * The time that a connection may have no subscriber that reads it; 0 means no limit. Then it fails with
   * `ERR_TIMEOUT_CLAIM` if it has had no reader since it was emitted and nothing was sent on it. It closes gracefully if
   * its sending side has ended.
   *
   * @defaultValue 30_000
   * @unit ms
   */
  readonly claimTimeout?: number | undefined;
  /**
   * Whether small writes are sent at once (TCP_NODELAY). TCP only. Values that are sent in one turn of the event loop are
   * written together in either case.
   *
   * @defaultValue true
   */
  readonly noDelay?: boolean | undefined;
  /**
   * The silence after which TCP probes whether the peer is still there; 0 means never. TCP only. Linux uses whole seconds,
   * from 1.
   *
   * @defaultValue 60_000
   * @unit ms
   */
  readonly keepAlive?: number | undefined;
  /**
   * The time that a handshake may take; 0 means no limit. For a server it covers a client's PROXY header and TLS handshake
   * together: a client that takes longer is dropped and reported in `incidents` as `ERR_TIMEOUT_HANDSHAKE`. At most
   * `maxConnections` handshakes run at once. For {@link Connection.startTls} it limits the handshake on either side, and
   * fails the connection with the same code. The handshake of a client with `tls` is limited by `connectTimeout` instead.
   *
   * @defaultValue 10_000
   * @unit ms
   */
  readonly handshakeTimeout?: number | undefined;
  /**
   * Shuts the server down, or ends the client, when it is aborted. The client ends with `ERR_CLOSED` and the signal's reason
   * as `cause`. `listen` and `connect` throw `ERR_CLOSED` for a signal that is already aborted.
   *
   * @defaultValue `undefined`
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * What carries the bytes. `memoryTransport()` of `rxjs-sockets/testing` works without sockets.
   *
   * @defaultValue `undefined`: Node's sockets
   */
  readonly transport?: Transport | undefined;
}

/** Checked options, before the settings that follow from several of them are filled in. */
export type Checked<Settings> = Omit<Settings, 'halfOpen' | 'endsNodeStreamsAfterPeer'> & {
  readonly halfOpen: boolean | undefined;
};

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
