import type net from 'node:net';
import tls from 'node:tls';
import type { Address } from '../address.js';
import { shown, SocketError, systemError } from '../errors.js';

/** What `node:tls` takes for a server, or a function that gives it for each new connection. */
export type ServerTls = tls.TlsOptions | (() => tls.TlsOptions);

/** What `node:tls` takes for a client; `servername` defaults to the host, and certificates are verified. */
export type ClientTls = tls.ConnectionOptions;

/** What TLS knows of the peer of a connection. */
export interface TlsInfo {
  /** Whether the peer's certificate was verified; false also where none was asked for. */
  readonly authorized: boolean;
  /** Why it was not, where one was asked for and `rejectUnauthorized` is false. */
  readonly authorizationError?: string;
  /** The peer's certificate; without members where it has shown none. */
  readonly peerCertificate: tls.PeerCertificate;
  /** The name that the client asked for (SNI). */
  readonly servername?: string;
  /** The protocol that was agreed on (ALPN). */
  readonly alpnProtocol?: string;
  /** `'TLSv1.3'`, say. */
  readonly protocol: string;
}

/** Whoever waits for a handshake. */
interface Handshake {
  secured(socket: tls.TLSSocket): void;
  failed(error: SocketError): void;
}

/** A TLS server that does not listen, with the options that it was made of. */
interface Made {
  readonly options: tls.TlsOptions;
  readonly server: tls.Server;
}

/** The handshakes of one listener. Where the options are another object than before, new connections get the new ones. */
export class TlsAcceptor {
  private readonly options: () => tls.TlsOptions;
  private readonly handshakes = new Map<net.Socket, Handshake>();
  private made: Made;

  /** Throws `ERR_OPTION_INVALID` where no client could ever be served (A5). */
  constructor(options: ServerTls) {
    this.options = typeof options === 'function' ? options : (): tls.TlsOptions => options;
    this.made = this.make(this.options());
  }

  /** Shakes hands over `raw` and tells how it went. The caller bounds the time, by destroying `raw`. */
  secure(raw: net.Socket, handshake: Handshake): void {
    try {
      const options = this.options();
      if (options !== this.made.options) this.made = this.make(options);
    } catch (cause) {
      handshake.failed(tlsError(cause, 'tls'));
      return;
    }
    this.handshakes.set(raw, handshake);
    raw.on('close', () => {
      this.take(raw)?.failed(new SocketError('ECONNRESET', 'the TLS handshake failed: the client has gone'));
    });
    this.made.server.emit('connection', raw);
  }

  private make(options: tls.TlsOptions): Made {
    checkOptions(options);
    const { key, cert, pfx, SNICallback, pskCallback } = options;
    if (
      (key === undefined || cert === undefined) &&
      pfx === undefined &&
      SNICallback === undefined &&
      pskCallback === undefined
    ) {
      throw new SocketError(
        'ERR_OPTION_INVALID',
        'tls: a server needs `key` and `cert`, `pfx`, `SNICallback` or `pskCallback`',
      );
    }
    const server = attempt(() => tls.createServer({ ...options, handshakeTimeout: 0, allowHalfOpen: true }));
    // The sockets come from a listener of our own, so nothing but its parent tells which one was secured.
    server.on('secureConnection', (socket) => this.take(parentOf(socket))?.secured(socket));
    server.on('tlsClientError', (cause, socket) =>
      this.take(parentOf(socket))?.failed(tlsError(cause, 'the TLS handshake failed')),
    );
    return { options, server };
  }

  private take(raw: net.Socket | undefined): Handshake | undefined {
    if (raw === undefined) return undefined;
    const handshake = this.handshakes.get(raw);
    this.handshakes.delete(raw);
    return handshake;
  }
}

/** Throws `ERR_OPTION_INVALID` where no server could ever be reached with these options (A5). */
export function checkClientTls(options: ClientTls): void {
  checkOptions(options);
  attempt(() => tls.createSecureContext(options));
}

/** Shakes hands over a connected socket, as a client. */
export function secureClient(raw: net.Socket, options: ClientTls, address: Address): tls.TLSSocket {
  const host = address.transport === 'tcp' ? address.host : undefined;
  const isName = host !== undefined && !/^[\d.]+$|:/.test(host);
  return tls.connect({
    ...(isName ? { servername: host } : {}),
    ...(host === undefined ? {} : { host }),
    ...options,
    // Said here, so that no environment variable decides it.
    rejectUnauthorized: options.rejectUnauthorized ?? true,
    socket: raw,
  });
}

/** What a secured socket tells of its peer. */
export function tlsInfo(socket: tls.TLSSocket): TlsInfo {
  const { servername } = socket as { servername?: string | false | null };
  const { alpnProtocol, authorizationError } = socket as {
    alpnProtocol: string | false | null;
    authorizationError: unknown;
  };
  return {
    authorized: socket.authorized,
    ...(authorizationError === undefined || authorizationError === null
      ? {}
      : { authorizationError: shown(authorizationError) }),
    peerCertificate: socket.getPeerCertificate(),
    ...(typeof servername === 'string' ? { servername } : {}),
    ...(typeof alpnProtocol === 'string' ? { alpnProtocol } : {}),
    protocol: socket.getProtocol() ?? 'unknown',
  };
}

/** What the network did keeps its name; all else that goes wrong below the frames is `ERR_TLS`. */
export function tlsError(cause: unknown, action: string, address?: Address): SocketError {
  if (cause instanceof SocketError) return cause;
  const code = (cause as { code?: unknown } | undefined)?.code;
  if (typeof code === 'string' && /^E(CONN|PIPE|TIMEDOUT|HOST|NET)/.test(code))
    return systemError(cause, action, address);
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new SocketError('ERR_TLS', `${action}: ${detail}`, { address, cause });
}

function parentOf(socket: tls.TLSSocket): net.Socket | undefined {
  return (socket as unknown as { _parent?: net.Socket })._parent;
}

function checkOptions(options: { readonly rejectUnauthorized?: unknown }): void {
  if (typeof options !== 'object' || (options as unknown) === null) {
    throw new SocketError('ERR_OPTION_INVALID', 'tls must be an object of the options of node:tls');
  }
  const { rejectUnauthorized } = options;
  if (rejectUnauthorized !== undefined && typeof rejectUnauthorized !== 'boolean') {
    throw new SocketError(
      'ERR_OPTION_INVALID',
      `tls.rejectUnauthorized must be true or false, not ${shown(rejectUnauthorized)}`,
    );
  }
}

/** Keys and certificates that are garbage, or don't match, are found when they are put to use. */
function attempt<T>(make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new SocketError('ERR_OPTION_INVALID', `tls: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}
