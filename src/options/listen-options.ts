import type { ConnectionSettings } from '../connection/connection-settings.js';
import { trustedPeers } from '../proxy-protocol/trusted-peers.js';
import type { ServerTls } from '../transport/tls.js';
import type { Transport } from '../transport/transport.js';
import {
  checkOptions,
  type Checks,
  count,
  flag,
  number,
  object,
  oneOf,
  optional,
  refuseUnknown,
  withDefault,
} from '../validation/checks.js';
import { type Checked, connectionChecks, type ConnectionOptions } from './connection-options.js';

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
  readonly transport: Transport | undefined;
}

/** The check and the default of each option. */
export const listenChecks: Checks<Checked<ListenSettings<any, any>>> = {
  ...connectionChecks,
  backlog: withDefault(count, 4_096),
  acceptQueue: withDefault(count, 128),
  maxConnections: withDefault(count, 10_000),
  mode: withDefault(
    number('permissions from 0o000 to 0o777', (value) => Number.isInteger(value) && value >= 0 && value <= 0o777),
    0o600,
  ),
  stale: withDefault(oneOf('replace', 'fail'), 'replace'),
  reusePort: withDefault(flag, false),
  // The transport checks the options of TLS.
  tls: optional(serverTls),
  proxyProtocol: optional(proxyProtocol),
};

function serverTls(option: string, value: unknown): ServerTls {
  return typeof value === 'function' ? (value as ServerTls) : object<ServerTls>()(option, value);
}

function proxyProtocol(option: string, value: unknown): { readonly trusted: readonly string[] } {
  const checks = { trusted };
  const checked = checkOptions(checks, value, option);
  refuseUnknown(option, checks, value as object);
  return checked;
}

function trusted(_option: string, value: unknown): readonly string[] {
  trustedPeers(value as string[]);
  return [...(value as string[])];
}
