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
 * Durations are in ms, at least 0 and less than 2³¹. A duration of 0 disables the timer. Sizes are whole numbers of
 * bytes, at least 1. For a value out of range, `listen` and `connect` throw `ERR_OPTION_INVALID`.
 *
 * @typeParam In - the type of received messages
 * @typeParam Out - the type of sent messages
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
   * The codec that converts messages to bytes and back.
   *
   * @defaultValue `undefined`: a channel receives chunks of bytes as they arrive, and sends bytes and UTF-8 text
   */
  readonly codec?: Codec<In, Out> | undefined;
  /**
   * The number of buffered bytes above which `writable` turns false. `writable` turns true again when at most half of
   * that number of bytes is buffered. A value above `maxBuffered` counts as `maxBuffered`.
   *
   * @defaultValue 65_536
   * @unit bytes
   */
  readonly highWaterMark?: number | undefined;
  /**
   * The maximum number of buffered bytes, beyond which `overflow` applies. While nothing is buffered, a single value is
   * accepted even if it is larger than `maxBuffered`.
   *
   * @defaultValue 1_048_576
   * @unit bytes
   */
  readonly maxBuffered?: number | undefined;
  /**
   * Determines what happens to a value that exceeds `maxBuffered`. `'error'` makes the connection fail with
   * `ERR_OVERFLOW`. `'drop'` drops the value and counts it in `dropped`. With `'error'` and with `'drop'`, `send`
   * rejects with `ERR_OVERFLOW`.
   *
   * @defaultValue 'error'
   */
  readonly overflow?: 'error' | 'drop' | undefined;
  /**
   * The maximum time without any byte received or written. When this time has passed, the connection fails with
   * `ERR_TIMEOUT_IDLE`. 0 means no limit. Time counts only while this side is ready to read: a connection that is held,
   * or whose consumer is busy, is not idle.
   *
   * @defaultValue 0
   * @unit ms
   */
  readonly idleTimeout?: number | undefined;
  /**
   * The maximum time without any byte received, even if this side sends. When this time has passed, the connection
   * fails with `ERR_TIMEOUT_RECEIVE`. 0 means no limit. As with `idleTimeout`, time counts only while this side is
   * ready to read.
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
   * After the peer has sent its FIN: the maximum time for which this side can stay without a write. At the end of this
   * time, the connection fails with `ERR_TIMEOUT_HALF_OPEN`. 0 means no limit.
   *
   * @defaultValue 60_000
   * @unit ms
   */
  readonly halfOpenTimeout?: number | undefined;
  /**
   * The maximum duration of a graceful close. If the close takes longer, the connection is aborted with
   * `ERR_TIMEOUT_CLOSE`. 0 means no limit.
   *
   * @defaultValue 5_000
   * @unit ms
   */
  readonly closeTimeout?: number | undefined;
  /**
   * The maximum time for which a connection can have no reader. At the end of this time, a connection fails with
   * `ERR_TIMEOUT_CLAIM` if it has never had a reader and nothing was sent on it. If its sending side has ended, the
   * connection closes gracefully instead. 0 means no limit.
   *
   * @defaultValue 30_000
   * @unit ms
   */
  readonly claimTimeout?: number | undefined;
  /**
   * Whether TCP sends small writes without delay (TCP_NODELAY). The option applies only to TCP. Whether this option is
   * true or false, the values of one turn of the event loop are written together.
   *
   * @defaultValue true
   */
  readonly noDelay?: boolean | undefined;
  /**
   * The time without traffic after which TCP starts to probe the peer; 0 means never. The option applies only to TCP.
   * Linux counts this time in whole seconds, at least 1.
   *
   * @defaultValue 60_000
   * @unit ms
   */
  readonly keepAlive?: number | undefined;
  /**
   * The maximum duration of a handshake. 0 means no limit.
   *
   * At a server, the limit covers a client's PROXY header and TLS handshake together. The server drops a client that
   * takes longer, and reports `ERR_TIMEOUT_HANDSHAKE` in `incidents`. At most `maxConnections` handshakes run at the
   * same time. For the handshake of a client that dials with TLS, `connectTimeout` applies instead of
   * `handshakeTimeout`. If a handshake that {@link Connection.startTls} began on either side takes longer, the
   * connection fails with `ERR_TIMEOUT_HANDSHAKE`.
   *
   * @defaultValue 10_000
   * @unit ms
   */
  readonly handshakeTimeout?: number | undefined;
  /**
   * Aborting this signal shuts the server down, or ends the client. The client ends with `ERR_CLOSED` and the signal's
   * reason as `cause`. `listen` and `connect` throw `ERR_CLOSED` for a signal that is already aborted.
   *
   * @defaultValue `undefined`
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * The transport that carries the bytes. `memoryTransport()` from `rxjs-sockets/testing` works without sockets.
   *
   * @defaultValue `undefined`: Node's sockets
   */
  readonly transport?: Transport | undefined;
}

export type Checked<Settings> = Omit<Settings, 'halfOpen' | 'endsNodeStreamsAfterPeer'> & {
  readonly halfOpen: boolean | undefined;
};

/** The check and the default of each option, except the default of `halfOpen`. */
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

/** Refuses a signal that is already aborted, so that no server and no client starts with an aborted signal. */
function signalNotAborted(option: string, value: unknown): AbortSignal {
  if (!(value instanceof AbortSignal)) throw invalidOption(option, 'an AbortSignal', value);
  if (value.aborted) throw abortError(value);
  return value;
}
