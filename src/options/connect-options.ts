import type { ObservableInput, RetryConfig } from 'rxjs';
import { ipFamily } from '../address-parsing/ip.js';
import type { ConnectionSettings } from '../connection/connection-settings.js';
import type { Connection } from '../connection/connection.js';
import { attemptCount, type Backoff } from '../reconnect/backoff.js';
import type { ClientTls } from '../transport/tls.js';
import type { DialOptions, Transport } from '../transport/transport.js';
import {
  type Check,
  checkOptions,
  type Checks,
  duration,
  flag,
  func,
  invalidOption,
  object,
  oneOf,
  optional,
  port,
  withDefault,
} from '../validation/checks.js';
import { type Checked, connectionChecks, type ConnectionOptions } from './connection-options.js';

/**
 * Configures a client: how it connects and reconnects, and how each of its connections behaves.
 *
 * @typeParam In - the type of received messages; `Buffer` without a codec
 * @typeParam Out - the type of sent messages; bytes or text without a codec
 * @example
 * ```ts
 * const options: ConnectOptions<string, string> = { codec: lines(), connectTimeout: 1_000, reconnect: backoff() };
 * const client = connect({ path: '/run/app.sock' }, options);
 * ```
 * @see rules K3 to K5, K11 to K17 and K20
 */
export interface ConnectOptions<In = Buffer, Out = Uint8Array | string> extends ConnectionOptions<In, Out> {
  /**
   * The maximum duration of an attempt to connect. An attempt that takes longer fails with `ERR_TIMEOUT_CONNECT`. With
   * 0, only the kernel limits the duration.
   *
   * @defaultValue 10_000
   * @unit ms
   */
  readonly connectTimeout?: number | undefined;
  /**
   * The IP address to connect from, on a machine that has several IP addresses. If `family` is set, the address must
   * belong to that family. If the client dials a host name, it dials only the first address that has the family of
   * `localAddress`. The option applies only to TCP: with any other kind of address, `connect` throws.
   *
   * @defaultValue `undefined`: the system chooses an address by the route to the peer
   */
  readonly localAddress?: string | undefined;
  /**
   * The port to connect from: 1 to 65,535, or 0 to let the system choose. With a port other than 0, each attempt uses
   * this port. While the port is in use, attempts fail with `EADDRINUSE` or `EADDRNOTAVAIL`, and `reconnect` applies.
   * The option applies only to TCP: with any other kind of address, `connect` throws.
   *
   * @defaultValue 0
   */
  readonly localPort?: number | undefined;
  /**
   * Whether to dial the IPv4 or the IPv6 addresses of a host name. The option applies only to TCP: with any other kind
   * of address, or with an IP address of the other family, `connect` throws.
   *
   * @defaultValue `undefined`: the family of `localAddress`; without `localAddress`, both families
   */
  readonly family?: 4 | 6 | undefined;
  /**
   * The TLS options: all client options of `node:tls`. The server's certificate is verified unless `rejectUnauthorized`
   * is false. No environment variable disables the verification. The certificate must be valid for `servername`. By
   * default, `servername` is the host of the address.
   *
   * @defaultValue `undefined`: plain text; for a `tls://` address, TLS with the authorities that Node trusts
   */
  readonly tls?: ClientTls | undefined;
  /**
   * The policy for dialling again after a connection or an attempt has ended: {@link backoff}, or your own
   * `RetryConfig`. A connection that was open for at least `stableAfter` restarts the count of retries. `stableAfter`
   * is 5,000 ms by default, or 0 with `resetOnSuccess`. Without `delay`, the client waits as long as with `backoff()`.
   *
   * @defaultValue `undefined`: the client does not dial again, but ends
   */
  readonly reconnect?: RetryConfig | undefined;
  /**
   * Determines what happens to values that are sent while the client is disconnected: after a connection or an attempt
   * has ended, and before the next connection opens.
   *
   * - `'buffer'` keeps the values for the next connection, up to `maxBuffered`. Beyond `maxBuffered`, `overflow`
   *   applies.
   * - `'drop'` drops the values and counts them in `dropped`. `send` rejects with `ERR_OVERFLOW`, and paced sources
   *   wait for the next connection.
   * - `'error'` ends the client with `ERR_CLOSED`.
   *
   * Values that are sent before the first attempt has ended are always kept.
   *
   * @defaultValue 'buffer'
   */
  readonly whileDisconnected?: 'buffer' | 'drop' | 'error' | undefined;
  /**
   * Prepares each new connection, for example with a login: `(connection) => ObservableInput<unknown> | void`. The
   * function runs before the client's `data` sends or emits anything on this connection. Until the returned source
   * completes, the state stays `connecting`, and `connectTimeout` keeps running. If the function throws or the source
   * fails, the attempt fails with `ERR_HANDLER` and that error as `cause`, and `reconnect` applies. Messages that are
   * not read during `prepare` go to `data`.
   *
   * @defaultValue `undefined`
   */
  readonly prepare?: Prepare<In, Out> | undefined;
}

export interface ConnectSettings<In, Out> extends ConnectionSettings<In, Out>, DialOptions {
  readonly connectTimeout: number;
  readonly reconnect: RetryConfig | undefined;
  readonly whileDisconnected: 'buffer' | 'drop' | 'error';
  readonly prepare: Prepare<In, Out> | undefined;
  readonly transport: Transport | undefined;
}

export type Prepare<In, Out> = (connection: Connection<In, Out>) => ObservableInput<unknown> | void;

export const connectChecks: Checks<Checked<ConnectSettings<any, any>>> = {
  ...connectionChecks,
  connectTimeout: withDefault(duration, 10_000),
  localAddress: optional(ipAddress),
  localPort: withDefault(port, 0),
  family: optional(oneOf(4, 6)),
  // The transport checks the TLS options.
  tls: optional(object<ClientTls>()),
  reconnect: optional(retryConfig),
  whileDisconnected: withDefault(oneOf('buffer', 'drop', 'error'), 'buffer'),
  prepare: optional(func<Prepare<any, any>>()),
};

function ipAddress(option: string, value: unknown): string {
  if (typeof value === 'string' && ipFamily(value) !== undefined) return value;
  throw invalidOption(option, 'an IP address', value);
}

function retryConfig(option: string, value: unknown): RetryConfig & Partial<Backoff> {
  const delay: Check<unknown> = (name, given) => (typeof given === 'function' ? given : duration(name, given));
  checkOptions(
    {
      count: optional(attemptCount),
      delay: optional(delay),
      resetOnSuccess: optional(flag),
      stableAfter: optional(duration),
    },
    value,
    option,
  );
  return value as RetryConfig;
}
