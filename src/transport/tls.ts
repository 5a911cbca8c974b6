import type tls from 'node:tls';

/**
 * Sets what a server speaks TLS with: what `node:tls` takes, with a key and a certificate at least, or a function that
 * gives it for each new connection.
 *
 * The function is called once by `listen` and then for each connection, and what it gives is prepared again only where
 * it is another object than before: so a certificate is renewed without a restart.
 *
 * @throws what nobody can be served with is `ERR_OPTION_INVALID`: at once (A5), and in `incidents` where the function gives it
 * later
 * @example
 * ```ts
 * const tls: ServerTls = { key: readFileSync('server.key'), cert: readFileSync('server.pem') };
 * const server = listen('tls://0.0.0.0:7000', { codec: lines(), tls });
 * ```
 * @see https://nodejs.org/docs/latest-v20.x/api/tls.html#tlscreateserveroptions-secureconnectionlistener, rules T2 and T8
 */
export type ServerTls = ServerTlsOptions | (() => ServerTlsOptions);

/**
 * Lists what a server speaks TLS with: the options of `tls.createServer`, and one of the library's own.
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
   * Whether a FIN without a close_notify ends a client's stream in order, as long as it cuts through no frame: browsers and
   * curl end theirs like that. Anybody on the way can send such a FIN, so the frames have to show whether a message is
   * whole.
   *
   * @defaultValue `false`: it is `ERR_TLS`
   */
  readonly allowHalfClosed?: boolean | undefined;
}

/**
 * Sets what a client speaks TLS with: what `node:tls` takes.
 *
 * The server's certificate is verified unless `rejectUnauthorized` is false, and has to be for `servername`, by default
 * the host that is dialled, and over a unix socket `localhost`.
 *
 * @throws what no server could be reached with is `ERR_OPTION_INVALID`, at once (A5)
 * @example
 * ```ts
 * const tls: ClientTls = { ca: readFileSync('authority.pem') };
 * const client = connect('tls://localhost:7000', { codec: lines(), tls });
 * ```
 * @see https://nodejs.org/docs/latest-v20.x/api/tls.html#tlsconnectoptions-callback, rules T1 and T2
 */
export type ClientTls = tls.ConnectionOptions;

/**
 * Sets what `startTls` speaks TLS with: what `listen` takes as `tls` where the connection was accepted, and what `connect`
 * takes where it was dialled. An object may have `handshakeTimeout` as well, in ms, instead of that of `listen` or `connect`.
 *
 * With `isServer: true` the side that dialled is the server of TLS, and gives what `listen` takes. FTP's active mode needs
 * that: the server dials the data connection, and shows its certificate on it.
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
 * Tells what TLS knows of the peer of a connection.
 *
 * @example
 * ```ts
 * const nameOf = ({ authorized, peerCertificate }: TlsInfo): string =>
 *   authorized ? String(peerCertificate.subject.CN) : 'somebody';
 * ```
 * @see https://nodejs.org/docs/latest-v20.x/api/tls.html#class-tlstlssocket, rule T9
 */
export interface TlsInfo {
  /** Whether the peer's certificate was verified; false also where none was asked for. */
  readonly authorized: boolean;
  /** Why it was not, where one was asked for and `rejectUnauthorized` is false. */
  readonly authorizationError?: string;
  /** The peer's certificate; without members where it has shown none, and at a client that has resumed a session. */
  readonly peerCertificate: tls.PeerCertificate;
  /** The name that the client asked for (SNI). */
  readonly servername?: string;
  /** The protocol that was agreed on (ALPN). */
  readonly alpnProtocol?: string;
  /** `'TLSv1.3'`, say. */
  readonly protocol: string;
  /**
   * The session that a later connection to the same server can resume, with the option `tls.session`. Only a client has one,
   * and it is the latest: with TLS 1.3 the server sends it after the handshake, with its first bytes, often several times.
   */
  readonly session?: Buffer;
}
