import type net from 'node:net';
import type tls from 'node:tls';
import type { Address } from '../../../address/address.js';
import { describeValue } from '../../../errors/describe-value.js';
import { SocketError } from '../../../errors/socket-error.js';
import type { ServerTls, ServerTlsOptions } from '../../tls.js';
import { nodeTls } from '../../lazy-builtins.js';
import type { TlsParents } from '../internals/tls-parent.js';
import { attempt, checkServerTls } from './check-tls-options.js';
import type { HandshakeEvents } from './handshake.js';
import { handshakeError } from './tls-errors.js';

/**
 * The longest possible timeout, in ms. With this value, Node's own handshake timeout, which would not cover the PROXY
 * header, never ends a handshake.
 */
const never = 2 ** 31 - 1;

/**
 * Performs the handshakes of one server. If the options are a function, the function is called for each client (T8).
 */
export class TlsAcceptor {
  private readonly parents: TlsParents;
  private readonly options: () => ServerTlsOptions;
  private readonly underWay = new Map<net.Socket, HandshakeEvents>();
  /** A TLS server that does not listen, and the options with which this server was made. */
  private current: { readonly options: ServerTlsOptions; readonly server: tls.Server } | undefined;

  constructor(options: ServerTls, parents: TlsParents) {
    this.options = typeof options === 'function' ? options : (): ServerTlsOptions => options;
    this.parents = parents;
  }

  /**
   * Returns the TLS server for the next client. Throws `ERR_OPTION_INVALID` if the options cannot work for any client
   * (A5).
   */
  prepare(): tls.Server {
    const options = attempt(this.options);
    if (this.current === undefined || options !== this.current.options) {
      this.current = { options, server: this.serverWith(options) };
    }
    return this.current.server;
  }

  /**
   * Performs a handshake over `raw`. If the handshake takes too long, the caller destroys `raw`.
   *
   * @param server - the result of `prepare`. If `server` is omitted, `secure` calls `prepare`, and `events` receives
   * the error of `prepare`
   */
  secure(raw: net.Socket, remote: Address, events: HandshakeEvents, server?: tls.Server): void {
    this.underWay.set(raw, {
      onSecure: (secure) => {
        raw.allowHalfOpen = true;
        secure.socket.allowHalfOpen = true;
        events.onSecure(secure);
      },
      onError: (error) => {
        events.onError(new SocketError(error.code, error.message, { address: remote, cause: error.cause }));
      },
    });
    // A client that sends a FIN during the handshake has given up, so Node is allowed to close the socket.
    raw.allowHalfOpen = false;
    raw.on('close', () => {
      // If a TLS error has closed the socket, the TLS error says more than the error below. So report the error below
      // only in a later turn, when the TLS error has been reported.
      setImmediate(() => this.take(raw)?.onError(handshakeError(new Error('the client has gone'))));
    });
    try {
      this.parents.handOver(server ?? this.prepare(), raw);
    } catch (cause) {
      this.take(raw)?.onError(handshakeError(cause));
    }
  }

  private serverWith(options: ServerTlsOptions): tls.Server {
    checkServerTls(options);
    const allowHalfClosed = options.allowHalfClosed === true;
    const server = attempt(() =>
      nodeTls().createServer({ ...options, pauseOnConnect: false, handshakeTimeout: never }),
    );
    server.on('secureConnection', (socket) => this.take(this.below(socket))?.onSecure({ socket, allowHalfClosed }));
    server.on('tlsClientError', (cause, socket) => this.take(this.below(socket))?.onError(clientError(cause, socket)));
    return server;
  }

  private below(socket: tls.TLSSocket): net.Socket | undefined {
    return this.parents.below(socket);
  }

  private take(raw: net.Socket | undefined): HandshakeEvents | undefined {
    if (raw === undefined) return undefined;
    const events = this.underWay.get(raw);
    this.underWay.delete(raw);
    return events;
  }
}

/**
 * The acceptors for `startTls`, one for each options object, so that certificates are parsed only once and sessions can
 * be resumed.
 */
export class TlsAcceptors {
  private readonly parents: TlsParents;
  private readonly made = new WeakMap<object, TlsAcceptor>();

  constructor(parents: TlsParents) {
    this.parents = parents;
  }

  of(options: ServerTls): TlsAcceptor {
    const acceptor = this.made.get(options) ?? new TlsAcceptor(options, this.parents);
    // Only an object can be a key of the WeakMap. `prepare` rejects any other options.
    if (Object(options) === options) this.made.set(options, acceptor);
    return acceptor;
  }
}

/**
 * Converts an error from a handshake. If Node cannot verify a client, Node reports only a hang-up, but
 * `authorizationError` has the reason.
 */
function clientError(cause: Error, socket: tls.TLSSocket): SocketError {
  const reason = socket.authorizationError as unknown;
  if (reason === undefined || reason === null) return handshakeError(cause);
  return handshakeError(new Error(`the client's certificate is refused (${describeValue(reason)})`));
}
