import type { ConnectionSettings } from '../connection/connection-settings.js';
import { trustedPeers } from '../proxy-protocol/trusted-peers.js';
import type { ServerTls } from '../transport/tls.js';
import type { ListenerOptions, Transport } from '../transport/transport.js';
import {
  checkExactOptions,
  type Checks,
  count,
  flag,
  number,
  object,
  oneOf,
  optional,
  withDefault,
} from '../validation/checks.js';
import { type Checked, connectionChecks, type ConnectionOptions } from './connection-options.js';

/**
 * Configures a server: how it listens, and how each of its connections behaves.
 *
 * @typeParam In - the type of received messages; `Buffer` without a codec
 * @typeParam Out - the type of sent messages; bytes or text without a codec
 * @example
 * ```ts
 * const options: ListenOptions<string, string> = { codec: lines(), maxConnections: 1_000 };
 * const server = listen({ service: 'http', host: '0.0.0.0' }, options);
 * ```
 * @see rules S1 to S18, P1 to P5 and T1 to T9
 */
export interface ListenOptions<In = Buffer, Out = Uint8Array | string> extends ConnectionOptions<In, Out> {
  /**
   * The maximum number of clients in the kernel's listen queue: 1 to 2,147,483,647. The kernel limits this number to
   * `somaxconn`.
   *
   * @defaultValue 4_096
   * @unit clients
   */
  readonly backlog?: number | undefined;
  /**
   * The maximum number of accepted clients that are queued in the process while the server is held: 1 to 2,147,483,647.
   * A further client is reset and reported in `incidents`. The option applies only if the listener cannot stop
   * accepting.
   *
   * @defaultValue 128
   * @unit clients
   */
  readonly acceptQueue?: number | undefined;
  /**
   * The maximum number of open connections: 1 to 2,147,483,647. A further client is reset and reported in `incidents`
   * as `ERR_LIMIT_CONNECTIONS`.
   *
   * @defaultValue 10_000
   * @unit connections
   */
  readonly maxConnections?: number | undefined;
  /**
   * The permissions of the socket file, from 0o000 to 0o777. Every user with the permission to write to the file can
   * connect. The permissions are in place before clients can connect, whatever the umask. The option applies only to
   * unix sockets with a path.
   *
   * @defaultValue 0o600
   */
  readonly mode?: number | undefined;
  /**
   * Determines what happens if the path has a socket file on which no process listens. `'replace'` replaces the file.
   * `'fail'` leaves the file, and the server fails with `EADDRINUSE`. The server never replaces a file that is not a
   * socket, or a socket file on which a process listens. The option applies only to unix sockets.
   *
   * @defaultValue 'replace'
   */
  readonly stale?: 'replace' | 'fail' | undefined;
  /**
   * Whether several processes of the same user are allowed to listen on the same port. Each of these processes must set
   * this option. The kernel distributes the clients among the processes. The option applies only to TCP, and needs Node
   * 22.12, 23.1 or later.
   *
   * @defaultValue false
   */
  readonly reusePort?: boolean | undefined;
  /**
   * The key and certificate for TLS, and any other server option of `node:tls`; or a function that returns these
   * options for each new connection. A `tls://` address requires this option.
   *
   * @defaultValue `undefined`: plain text
   */
  readonly tls?: ServerTls | undefined;
  /**
   * The proxies whose PROXY headers (version 1 or 2) are trusted: IP addresses, CIDR blocks, and the word `'unix'` for
   * all peers on a unix socket. If this option is set, each connection must start with a PROXY header, and `remote` is
   * the client's address in that header. A connection from a peer that is not trusted, or without a header, is dropped
   * and reported in `incidents` as `ERR_PROXY_HEADER`. The memory transport does not support this option.
   *
   * @defaultValue `undefined`: connections have no header
   */
  readonly proxyProtocol?: { readonly trusted: readonly string[] } | undefined;
}

export interface ListenSettings<In, Out> extends ConnectionSettings<In, Out>, ListenerOptions {
  readonly acceptQueue: number;
  readonly transport: Transport | undefined;
}

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
  // The transport checks the TLS options.
  tls: optional(serverTls),
  proxyProtocol: optional(proxyProtocol),
};

function serverTls(option: string, value: unknown): ServerTls {
  return typeof value === 'function' ? (value as ServerTls) : object<ServerTls>()(option, value);
}

function proxyProtocol(option: string, value: unknown): { readonly trusted: readonly string[] } {
  return checkExactOptions(option, { trusted }, value, option);
}

function trusted(_option: string, value: unknown): readonly string[] {
  trustedPeers(value as string[]);
  return [...(value as string[])];
}
