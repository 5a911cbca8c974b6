import { type Observable, Subscription } from 'rxjs';
import type { Address } from '../address/address.js';
import type { Closed } from './connection.js';
import { SocketError } from '../errors/socket-error.js';
import type { Inbound } from '../io/inbound.js';
import type { Outbound } from '../io/outbound.js';
import { Timer } from '../scheduling/timer.js';
import { duration, withDefault } from '../validation/checks.js';
import { handled, noteOrigin, type Origin } from '../errors/error-origin.js';
import type { StartTlsOptions, TlsInfo } from '../transport/tls.js';
import type { TransportSocket } from '../transport/transport.js';

interface Upgraded extends Origin {
  readonly remote: Address;
  readonly inbound: Inbound;
  readonly outbound: Outbound;
  readonly closed: Observable<Closed>;
  readonly isUpgrading: boolean;
  fail(error: SocketError): void;
  /** Like `fail`, but drops everything that was received but not yet emitted. */
  failAtOnce(error: SocketError): void;
  defer(work: () => void): void;
}

/** Starts the handshake, and calls `secured` when the handshake has finished. */
type Handshake = (secured: () => void) => void;

/**
 * Upgrades an open connection to TLS (T10). The upgrade first flushes the values already sent, and then performs the
 * handshake. Values that are sent during the upgrade go out after the handshake.
 */
export class TlsUpgrade {
  private readonly connection: Upgraded;
  private readonly socket: TransportSocket;
  private readonly handshake: Handshake;
  /** In ms; 0 means no limit. */
  private readonly limit: number;

  private constructor(connection: Upgraded, socket: TransportSocket, handshake: Handshake, limit: number) {
    this.connection = connection;
    this.socket = socket;
    this.handshake = handshake;
    this.limit = limit;
  }

  /**
   * Checks that TLS can be started. Changes nothing yet.
   *
   * @param handshakeTimeout - the default time limit of the handshake, in ms; 0 means no limit
   * @throws `ERR_OPTION_INVALID`. If one side of the connection has ended, `prepare` throws `ERR_CLOSED`, or the error
   * that ended the connection
   */
  static prepare(
    connection: Upgraded,
    socket: TransportSocket,
    options: StartTlsOptions,
    handshakeTimeout: number,
  ): TlsUpgrade {
    const { inbound, isUpgrading, outbound } = connection;
    if (isUpgrading && !outbound.closed) throw invalid('the TLS handshake of this connection has already begun');
    if (socket.tls !== undefined) throw invalid('this connection already uses TLS');
    if (outbound.closed || inbound.end !== 'open') throw endedError(connection);
    if (socket.startTls === undefined) throw invalid('the transport has no TLS');
    if (outbound.isEncoding) throw invalid('an encoder cannot start it');
    const own = (Object(options) as { readonly handshakeTimeout?: number }).handshakeTimeout;
    const limit = withDefault(duration, handshakeTimeout)('handshakeTimeout', own);
    return new TlsUpgrade(connection, socket, socket.startTls(options), limit);
  }

  /**
   * @param onSecured - called after the handshake, before anything else is sent
   * @returns a promise that resolves after the handshake, and rejects if the connection ends first
   */
  run(onSecured: () => void): Promise<TlsInfo> {
    const { connection, limit, socket } = this;
    const { inbound, outbound } = connection;
    const watching = new Subscription();
    const secured = new Promise<TlsInfo>((resolve, reject) => {
      watching.add(
        connection.closed.subscribe({
          next: ({ error }) => {
            watching.unsubscribe();
            reject(error ?? endedError(connection));
          },
          error: reject,
        }),
      );
      const finish = (): void => {
        watching.unsubscribe();
        onSecured();
        resolve(socket.tls as TlsInfo);
        outbound.resume();
      };
      outbound.suspend(() => {
        // The socket may be in the middle of delivering an unencrypted chunk, so start the handshake when the running
        // code has returned.
        connection.defer(() => {
          if (outbound.error === undefined) this.handshake(finish);
        });
      });
    });
    if (limit > 0) watching.add(new Timer(limit, () => this.expire()));
    if (inbound.queue.length > 0) this.clearTextArrived();
    // A program may ignore the promise, because `closed` also reports the failure. So the rejection must not end the
    // process.
    return handled(secured);
  }

  /**
   * Call when unencrypted bytes have arrived. An attacker on the network may have sent them (command injection), so the
   * connection fails and emits none of them.
   */
  clearTextArrived(): void {
    const message =
      'unencrypted bytes arrived after the command that starts TLS, or before startTls was called to answer it';
    this.connection.failAtOnce(this.error('ERR_TLS', message));
  }

  peerFinished(): void {
    this.connection.fail(this.error('ERR_TLS', 'the TLS handshake failed: the peer finished before it'));
  }

  private expire(): void {
    const message = `the TLS handshake did not finish within ${this.limit} ms`;
    this.connection.fail(this.error('ERR_TIMEOUT_HANDSHAKE', message));
  }

  private error(code: 'ERR_TLS' | 'ERR_TIMEOUT_HANDSHAKE', message: string): SocketError {
    return new SocketError(code, message, { address: this.connection.remote });
  }
}

function endedError(connection: Upgraded): SocketError {
  const closed = new SocketError('ERR_CLOSED', 'startTls: one side of the connection has ended');
  return connection.outbound.error ?? noteOrigin(closed, connection);
}

function invalid(reason: string): SocketError {
  return new SocketError('ERR_OPTION_INVALID', `startTls: ${reason}`);
}
