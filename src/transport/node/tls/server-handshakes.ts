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

/** The longest time that a timer can take, in ms: disables Node's own limit, which counts from another moment. */
const never = 2 ** 31 - 1;

/** Shakes hands with the clients of one server. When the options are a new object, new clients get the new options (T8). */
export class TlsAcceptor {
  private readonly parents: TlsParents;
  private readonly options: () => ServerTlsOptions;
  private readonly underWay = new Map<net.Socket, HandshakeEvents>();
  /** A TLS server that does not listen, and the options that it was made from. */
  private current: { readonly options: ServerTlsOptions; readonly server: tls.Server } | undefined;

  constructor(options: ServerTls, parents: TlsParents) {
    this.options = typeof options === 'function' ? options : (): ServerTlsOptions => options;
    this.parents = parents;
  }

  /** Returns the server for the next client. Throws `ERR_OPTION_INVALID` if no client could be served now (A5). */
  prepare(): tls.Server {
    const options = attempt(this.options);
    if (this.current === undefined || options !== this.current.options) {
      this.current = { options, server: this.serverWith(options) };
    }
    return this.current.server;
  }

  /**
   * Shakes hands over `raw`. The caller limits the time, by destroying `raw`.
   *
   * @param server - what `prepare` has returned. By default it is called now, and what it throws is reported in `events`
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
    // A client that finishes in the middle of the handshake has given up.
    raw.allowHalfOpen = false;
    raw.on('close', () => {
      // An error of TLS comes first.
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

/** The acceptors of TLS that starts later, one for each object of options: it parses certificates once and resumes sessions. */
export class TlsAcceptors {
  private readonly parents: TlsParents;
  private readonly made = new WeakMap<object, TlsAcceptor>();

  constructor(parents: TlsParents) {
    this.parents = parents;
  }

  of(options: ServerTls): TlsAcceptor {
    const acceptor = this.made.get(options) ?? new TlsAcceptor(options, this.parents);
    // `prepare` refuses what is no object.
    if (Object(options) === options) this.made.set(options, acceptor);
    return acceptor;
  }
}

/** Node drops a client that it cannot verify without an error of its own, and then reports that the client has hung up. */
function clientError(cause: Error, socket: tls.TLSSocket): SocketError {
  const reason = socket.authorizationError as unknown;
  if (reason === undefined || reason === null) return handshakeError(cause);
  return handshakeError(new Error(`the client's certificate is refused (${describeValue(reason)})`));
}
