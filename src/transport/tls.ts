import type tls from 'node:tls';

/**
 * Configures TLS for a server: the server options of `node:tls`, or a function that returns these options. The options
 * must have at least `key` and `cert`, or else `pfx`, `SNICallback` or `pskCallback`.
 *
 * With a function, certificates can be renewed without a restart. `listen` calls the function once, and the server
 * calls the function again for each new connection. While nothing has changed, return the same object, so that the
 * server does not parse the certificates again.
 *
 * @throws `ERR_OPTION_INVALID` for options that cannot work for any client. If a later call of the function returns
 * options that cannot work, the error is reported in `incidents`
 * @example
 * ```ts
 * const tls: ServerTls = { key: readFileSync('server.key'), cert: readFileSync('server.pem') };
 * const server = listen('tls://0.0.0.0:7000', { codec: lines(), tls });
 * ```
 * @see https://nodejs.org/docs/latest-v20.x/api/tls.html#tlscreateserveroptions-secureconnectionlistener, rules T2 and T8
 */
export type ServerTls = ServerTlsOptions | (() => ServerTlsOptions);

/**
 * Configures TLS for a server: the options of `tls.createServer`, and `allowHalfClosed`.
 *
 * @example
 * ```ts
 * const key = readFileSync('server.key');
 * const cert = readFileSync('server.pem');
 * const tls: ServerTlsOptions = { key, cert, allowHalfClosed: true };
 * const server = listen('tls://0.0.0.0:7000', { codec: lines(), tls });
 * ```
 * @see https://nodejs.org/docs/latest-v20.x/api/tls.html#tlscreateserveroptions-secureconnectionlistener, rules T2 and T11
 */
export interface ServerTlsOptions extends tls.TlsOptions {
  /**
   * Whether a client is allowed to end its stream with a FIN but without a close_notify, as browsers and curl do. An
   * attacker on the network can forge a FIN without a close_notify, so set this option only with a codec whose frames
   * show whether a message is complete. An end within a frame is always an error.
   *
   * @defaultValue `false`: a FIN without a close_notify is reported as `ERR_TLS`
   */
  readonly allowHalfClosed?: boolean | undefined;
}

/**
 * Configures TLS for a client: the options of `tls.connect`.
 *
 * The server's certificate is verified unless `rejectUnauthorized` is false. The certificate must be valid for
 * `servername`. The default of `servername` is the option `host`, or else the dialled host, or else `localhost` (over a
 * unix socket).
 *
 * @throws `ERR_OPTION_INVALID` for options that cannot work with any server
 * @example
 * ```ts
 * const tls: ClientTls = { ca: readFileSync('authority.pem') };
 * const client = connect('tls://localhost:7000', { codec: lines(), tls });
 * ```
 * @see https://nodejs.org/docs/latest-v20.x/api/tls.html#tlsconnectoptions-callback, rules T1 and T2
 */
export type ClientTls = tls.ConnectionOptions;

/**
 * Configures `startTls`. An accepted connection takes the same options as the `tls` option of `listen`. A dialled
 * connection takes the same options as the `tls` option of `connect`. `handshakeTimeout`, in ms, replaces the
 * connection's own `handshakeTimeout`.
 *
 * With `isServer: true`, the side that dialled becomes the TLS server, and takes the same options as the `tls` option
 * of `listen`. FTP's active mode needs `isServer: true`.
 *
 * @example
 * ```ts
 * const options: StartTlsOptions = { ca: readFileSync('authority.pem'), handshakeTimeout: 2_000 };
 * ```
 * @see {@link Connection.startTls}, rule T10
 */
export type StartTlsOptions =
  | ServerTls
  | (ServerTlsOptions & { readonly isServer: true })
  | (ClientTls & { readonly handshakeTimeout?: number | undefined });

/**
 * Describes a TLS connection and its peer.
 *
 * @example
 * ```ts
 * const nameOf = ({ authorized, peerCertificate }: TlsInfo): string =>
 *   authorized ? String(peerCertificate.subject.CN) : 'somebody';
 * ```
 * @see https://nodejs.org/docs/latest-v20.x/api/tls.html#class-tlstlssocket, rule T9
 */
export interface TlsInfo {
  /** Whether the peer's certificate was verified. False if verification failed, or if no certificate was requested. */
  readonly authorized: boolean;
  /** Why verification failed, if a certificate was requested and `rejectUnauthorized` is false. */
  readonly authorizationError?: string;
  /** The peer's certificate. An empty object if the peer presented no certificate, or if a client resumed a session. */
  readonly peerCertificate: tls.PeerCertificate;
  /** The name that the client asked for (SNI). */
  readonly servername?: string;
  /** The protocol that both sides agreed on (ALPN). */
  readonly alpnProtocol?: string;
  /** The version of TLS, such as `'TLSv1.3'`. */
  readonly protocol: string;
  /**
   * The latest session, which only a client has. Pass the session as `tls.session` to resume it on a later connection
   * to the same server. With TLS 1.3, the server sends a session only after the handshake, with the server's first
   * bytes.
   */
  readonly session?: Buffer;
}
