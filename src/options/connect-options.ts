import type { ObservableInput, RetryConfig } from 'rxjs';
import { ipFamily } from '../address-parsing/ip.js';
import type { ConnectionSettings } from '../connection/connection-settings.js';
import type { Connection } from '../connection/connection.js';
import { attemptCount, type Backoff } from '../reconnect/backoff.js';
import type { ClientTls } from '../transport/tls.js';
import type { Transport } from '../transport/transport.js';
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
  readonly transport: Transport | undefined;
}

/** What the option `prepare` is. */
export type Prepare<In, Out> = (connection: Connection<In, Out>) => ObservableInput<unknown> | void;

/** The check and the default of each option. */
export const connectChecks: Checks<Checked<ConnectSettings<any, any>>> = {
  ...connectionChecks,
  connectTimeout: withDefault(duration, 10_000),
  localAddress: optional(ipAddress),
  localPort: withDefault(port, 0),
  family: optional(oneOf(4, 6)),
  // The transport checks the options of TLS.
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
