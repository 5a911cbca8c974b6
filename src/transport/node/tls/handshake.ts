import type net from 'node:net';
import type tls from 'node:tls';
import type { Address } from '../../../address/address.js';
import { describeValue } from '../../../errors/describe-value.js';
import { systemError } from '../../../errors/node-errors.js';
import { SocketError } from '../../../errors/socket-error.js';
import type { ClientTls, ServerTls, ServerTlsOptions, StartTlsOptions, TlsInfo } from '../../tls.js';
import { nodeTls } from '../../lazy-builtins.js';
import { attempt, checkClientTls, checkServerTls } from './check-tls-options.js';

/** A socket on which the handshake is over. */
export interface Secured {
  readonly socket: tls.TLSSocket;
  /** Whether a FIN without a close_notify ends the stream in order, between two frames (T11). */
  readonly allowHalfClosed: boolean;
}

/** Waits for a handshake, which ends in exactly one of the two. */
export interface Handshake {
  secured(secured: Secured): void;
  failed(error: SocketError): void;
}

/** A TLS server that does not listen, with the options that it was made of. */
interface Made {
  readonly options: ServerTlsOptions;
  readonly server: tls.Server;
}

/** Node's own limit, which counts from the wrong moment, is put out of the way: the longest that a timer can take, in ms. */
const never = 2 ** 31 - 1;

/** The handshakes of clients with one server. Where the options are another object than before, new connections get the new ones. */
export class TlsAcceptor {
  private readonly options: () => ServerTlsOptions;
  private readonly handshakes = new Map<net.Socket, Handshake>();
  private made: Made | undefined;

  constructor(options: ServerTls) {
    this.options = typeof options === 'function' ? options : (): ServerTlsOptions => options;
  }

  /** Gives the server for the next client. Throws `ERR_OPTION_INVALID` where no client could be served now (A5). */
  prepare(): tls.Server {
    const options = attempt(this.options);
    if (this.made === undefined || options !== this.made.options) this.made = { options, server: this.make(options) };
    return this.made.server;
  }

  /**
   * Shakes hands over `raw` and tells how it went. The caller bounds the time, by destroying `raw`.
   *
   * @param server - what `prepare` has given; by default it is called now, and what it throws is told
   */
  secure(raw: net.Socket, remote: Address, handshake: Handshake, server?: tls.Server): void {
    this.handshakes.set(raw, {
      secured: (secured) => {
        raw.allowHalfOpen = true;
        secured.socket.allowHalfOpen = true;
        handshake.secured(secured);
      },
      failed: (error) => {
        handshake.failed(new SocketError(error.code, error.message, { address: remote, cause: error.cause }));
      },
    });
    // A client that finishes in the middle of the handshake has given up.
    raw.allowHalfOpen = false;
    raw.on('close', () => {
      // If TLS has something to say to it, that comes first.
      setImmediate(() => this.take(raw)?.failed(handshakeError(new Error('the client has gone'))));
    });
    try {
      (server ?? this.prepare()).emit('connection', raw);
    } catch (cause) {
      this.take(raw)?.failed(handshakeError(cause));
    }
  }

  private make(options: ServerTlsOptions): tls.Server {
    checkServerTls(options);
    const allowHalfClosed = options.allowHalfClosed === true;
    const server = attempt(() =>
      nodeTls().createServer({ ...options, pauseOnConnect: false, handshakeTimeout: never }),
    );
    // The sockets come from a listener of our own, so nothing but its parent tells which one was secured.
    server.on('secureConnection', (socket) => this.take(parentOf(socket))?.secured({ socket, allowHalfClosed }));
    server.on('tlsClientError', (cause, socket) => this.take(parentOf(socket))?.failed(refusal(cause, socket)));
    return server;
  }

  private take(raw: net.Socket | undefined): Handshake | undefined {
    if (raw === undefined) return undefined;
    const handshake = this.handshakes.get(raw);
    this.handshakes.delete(raw);
    return handshake;
  }
}

/**
 * Shakes hands over a connected socket, as a client, and tells how it went. The caller bounds the time, by destroying `raw`.
 *
 * @param dialled - the address whose host the certificate has to be for
 * @param action - what is being done, for the message of an error
 */
export function secureClient(
  raw: net.Socket,
  options: ClientTls,
  dialled: Address,
  handshake: Handshake,
  action?: string,
): void {
  const tls = nodeTls();
  const { checkServerIdentity = tls.checkServerIdentity } = options;
  let isOver = false;
  const failed = (cause: unknown): void => {
    if (isOver) return;
    isOver = true;
    handshake.failed(handshakeError(cause, action, dialled));
  };
  let socket: tls.TLSSocket;
  try {
    socket = tls.connect({
      // To Node an option that is undefined is one that was given.
      ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
      ...namesOf(options, dialled),
      // Said here, so that no environment variable decides it.
      rejectUnauthorized: options.rejectUnauthorized ?? true,
      checkServerIdentity(name, certificate) {
        try {
          return checkServerIdentity(name, certificate);
        } catch (cause) {
          return cause instanceof Error ? cause : new Error(String(cause));
        }
      },
      socket: raw,
    });
  } catch (cause) {
    failed(cause);
    return;
  }
  socket.on('error', failed);
  socket.on('close', () => {
    failed(new Error('the server has gone'));
  });
  socket.on('secureConnect', () => {
    if (isOver) return;
    isOver = true;
    handshake.secured({ socket, allowHalfClosed: false });
  });
}

/** Starts TLS on a plain socket that nobody reads any more, and tells how the handshake went. */
export type TlsStarter = (raw: net.Socket, remote: Address, handshake: Handshake) => void;

/** What each object of options has been made into: a certificate is parsed once, and sessions can be resumed. */
const acceptors = new WeakMap<object, TlsAcceptor>();

/** Whether this end is the server of a TLS that starts later: where it was accepted, and where it says so (T10). */
export function isTlsServer(options: StartTlsOptions, dialled: Address | undefined): boolean {
  return dialled === undefined || (Object(options) as { readonly isServer?: unknown }).isServer === true;
}

/**
 * Prepares to start TLS on an open connection (T10). Throws `ERR_OPTION_INVALID` where that could never succeed.
 *
 * @param dialled - the address that was dialled, where this end has dialled
 */
export function prepareTls(options: StartTlsOptions, dialled: Address | undefined): TlsStarter {
  if (dialled !== undefined && !isTlsServer(options, dialled)) {
    checkClientTls(options);
    return (raw, _remote, handshake) => {
      secureClient(raw, options, dialled, handshake);
    };
  }
  const acceptor = acceptorFor(options as ServerTls);
  const server = acceptor.prepare();
  return (raw, remote, handshake) => {
    acceptor.secure(raw, remote, handshake, server);
  };
}

function acceptorFor(options: ServerTls): TlsAcceptor {
  const made = acceptors.get(options) ?? new TlsAcceptor(options);
  // What is no object is refused when it is put to use.
  if (Object(options) === options) acceptors.set(options, made);
  return made;
}

/** What the client asks for (SNI), and what the certificate has to be for; an IP address is never asked for (RFC 6066). */
function namesOf({ servername, host }: ClientTls, address: Address): { servername?: string; host?: string } {
  const dialled = address.transport === 'tcp' ? address.host : undefined;
  const name = servername ?? host ?? dialled;
  if (name === undefined) return {};
  if (isIpAddress(name)) return { host: name, servername: '' };
  return { host: host ?? dialled ?? name, servername: name.replace(/\.$/, '') };
}

function isIpAddress(host: string): boolean {
  return /^[\d.]+$|:/.test(host);
}

/** What a secured socket tells of its peer; of a server also each new session. */
export function tlsInfo(socket: tls.TLSSocket, isClient: boolean): TlsInfo {
  const { servername } = socket as { servername?: string | false | null };
  const { alpnProtocol, authorizationError } = socket as {
    alpnProtocol: string | false | null;
    authorizationError: unknown;
  };
  const info: { -readonly [Name in keyof TlsInfo]: TlsInfo[Name] } = {
    authorized: socket.authorized,
    ...(authorizationError === undefined || authorizationError === null
      ? {}
      : { authorizationError: describeValue(authorizationError) }),
    peerCertificate: socket.getPeerCertificate(),
    ...(typeof servername === 'string' ? { servername } : {}),
    ...(typeof alpnProtocol === 'string' ? { alpnProtocol } : {}),
    protocol: socket.getProtocol() ?? 'unknown',
  };
  if (isClient) {
    // With TLS 1.3 that of a whole handshake can't be resumed, but for one that the server sends later.
    const session = info.protocol !== 'TLSv1.3' || socket.isSessionReused() ? socket.getSession() : undefined;
    if (session !== undefined) info.session = session;
    socket.on('session', (latest) => {
      info.session = latest;
    });
  }
  return info;
}

/** What the network did keeps its name; all else that goes wrong below the frames is `ERR_TLS`. */
export function tlsError(cause: unknown, action: string, address?: Address): SocketError {
  const code = (cause as { code?: unknown } | undefined)?.code;
  // OpenSSL's own errors have names with underscores, or are told as EPROTO.
  const isSystem = typeof code === 'string' && /^E[A-Z\d]+$/.test(code) && code !== 'EPROTO';
  return isSystem ? systemError(cause, action, address) : handshakeError(cause, action, address);
}

/** However a handshake fails, with the network or without, it is `ERR_TLS`. */
export function handshakeError(cause: unknown, action = 'the TLS handshake failed', address?: Address): SocketError {
  if (cause instanceof SocketError) return cause;
  return new SocketError('ERR_TLS', `${action}: ${detailOf(cause)}`, { address, cause });
}

/** OpenSSL's own messages have its error codes, files and lines around the reason. */
function detailOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return /:error:[^:]*:[^:]*:[^:]*:([^:]+):/.exec(cause.message)?.[1] ?? cause.message;
}

/** Node drops whom it can't verify without a word, and then tells that they have hung up. */
function refusal(cause: Error, socket: tls.TLSSocket): SocketError {
  const reason = socket.authorizationError as unknown;
  if (reason === undefined || reason === null) return handshakeError(cause);
  return handshakeError(new Error(`the client's certificate is refused (${describeValue(reason)})`));
}

function parentOf(socket: tls.TLSSocket): net.Socket | undefined {
  return (socket as unknown as { _parent?: net.Socket })._parent;
}
