import type tls from 'node:tls';

/**
 * Configures TLS of a server: the options of `node:tls` with at least a key and a certificate, or a function that returns
 * them for each new connection.
 *
 * `listen` calls the function once, and then once for each connection. It prepares the result again only if that is
 * another object than before. So a certificate is renewed without a restart.
 *
 * @throws `ERR_OPTION_INVALID` for options with which nobody can be served; in `incidents` if the function returns them later
 * @example
 * ```ts
 * const tls: ServerTls = { key: readFileSync('server.key'), cert: readFileSync('server.pem') };
 * const server = listen('tls://0.0.0.0:7000', { codec: lines(), tls });
 * ```
 * @see https://nodejs.org/docs/latest-v20.x/api/tls.html#tlscreateserveroptions-secureconnectionlistener, rules T2 and T8
 */
export type ServerTls = ServerTlsOptions | (() => ServerTlsOptions);

/**
 * Configures TLS of a server: the options of `tls.createServer`, and one of the library's own.
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
   * Whether a FIN without a close_notify is a proper end of a client's stream, unless it cuts through a frame. Browsers and
   * curl end theirs like that. Anybody on the way can send such a FIN, so the frames have to show whether a message is
   * complete.
   *
   * @defaultValue `false`: such an end is `ERR_TLS`
   */
  readonly allowHalfClosed?: boolean | undefined;
}

/**
 * Configures TLS of a client: the options of `tls.connect`.
 *
 * The server's certificate is verified unless `rejectUnauthorized` is false. It has to be for `servername`, by default
 * the dialled host, and over a unix socket `localhost`.
 *
 * @throws `ERR_OPTION_INVALID` for options with which no server can be reached
 * @example
 * ```ts
 * const tls: ClientTls = { ca: readFileSync('authority.pem') };
 * const client = connect('tls://localhost:7000', { codec: lines(), tls });
 * ```
 * @see https://nodejs.org/docs/latest-v20.x/api/tls.html#tlsconnectoptions-callback, rules T1 and T2
 */
export type ClientTls = tls.ConnectionOptions;

/**
 * Configures `startTls`: the option `tls` of `listen` if the connection was accepted, and that of `connect` if it was
 * dialled. An object may also have `handshakeTimeout`, in ms, in place of that of `listen` or `connect`.
 *
 * With `isServer: true` the side that dialled is the server of TLS, and takes the options of `listen`. FTP's active mode needs
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
 * Describes the peer of a connection, as far as TLS knows it.
 *
 * @example
 * ```ts
 * const nameOf = ({ authorized, peerCertificate }: TlsInfo): string =>
 *   authorized ? String(peerCertificate.subject.CN) : 'somebody';
 * ```
 * @see https://nodejs.org/docs/latest-v20.x/api/tls.html#class-tlstlssocket, rule T9
 */
export interface TlsInfo {
  /** Whether the peer's certificate was verified; also false if none was asked for. */
  readonly authorized: boolean;
  /** Why the certificate was not verified, if one was asked for and `rejectUnauthorized` is false. */
  readonly authorizationError?: string;
  /** The peer's certificate. It has no members if the peer has shown none, or if a client has resumed a session. */
  readonly peerCertificate: tls.PeerCertificate;
  /** The name that the client asked for (SNI). */
  readonly servername?: string;
  /** The protocol that both sides agreed on (ALPN). */
  readonly alpnProtocol?: string;
  /** The version of TLS, such as `'TLSv1.3'`. */
  readonly protocol: string;
  /**
   * The latest session, which a later connection to the same server can resume with the option `tls.session`. Only a client
   * has one. With TLS 1.3 the server sends it after the handshake, with its first bytes, and often several times.
   */
  readonly session?: Buffer;
}
