import type { Observable, Unsubscribable } from 'rxjs';
import type { Address } from '../address/address.js';
import type { Closed } from './connection.js';
import { SocketError } from '../errors/socket-error.js';
import type { Inbound } from '../io/inbound.js';
import type { Outbound } from '../io/outbound.js';
import { Timer } from '../scheduling/timer.js';
import { duration, withDefault } from '../validation/checks.js';
import { handled, originate } from '../errors/error-origin.js';
import type { StartTlsOptions, TlsInfo } from '../transport/tls.js';
import type { TransportSocket } from '../transport/transport.js';

/** The connection that TLS starts on. */
interface Upgraded {
  readonly remote: Address;
  readonly inbound: Inbound;
  readonly outbound: Outbound;
  readonly closed: Observable<Closed>;
  /** Whether a server reports why it fails. */
  readonly reports: boolean;
  fail(error: SocketError): void;
  /** As `fail`, but what was received and not emitted is dropped. */
  abort(error: SocketError): void;
  defer(work: () => void): void;
}

/**
 * Starts TLS on an open connection (T10). Values that were sent before go out in the clear, then the handshake begins, and
 * values that were sent meanwhile follow it.
 */
export class TlsUpgrade {
  /** Resolves after the handshake, and rejects when the connection has ended. */
  readonly done: Promise<TlsInfo>;

  private readonly connection: Upgraded;
  private timer: Unsubscribable | undefined;

  /**
   * Throws `ERR_OPTION_INVALID`, or the error that ended the connection, if TLS can't be started. Nothing has changed then.
   *
   * @param limit - the time limit unless the options have a `handshakeTimeout`; in ms, 0 means none
   * @param secured - called when the handshake is over
   */
  constructor(
    connection: Upgraded,
    socket: TransportSocket,
    options: StartTlsOptions,
    limit: number,
    secured: () => void,
  ) {
    const { inbound, outbound } = connection;
    this.connection = connection;
    if (socket.tls !== undefined) throw invalid('this connection speaks TLS already');
    if (outbound.closed || inbound.end !== 'open') throw endedError(connection);
    if (socket.startTls === undefined) throw invalid('the transport has no TLS');
    if (outbound.isEncoding) throw invalid('an encoder can not start it');
    const { handshakeTimeout } = Object(options) as { readonly handshakeTimeout?: number };
    const most = withDefault(duration, limit)('handshakeTimeout', handshakeTimeout);
    const shakeHands = socket.startTls(options);
    const done = new Promise<TlsInfo>((resolve, reject) => {
      const watch = connection.closed.subscribe({
        next: ({ error }) => {
          this.timer?.unsubscribe();
          reject(error ?? endedError(connection));
        },
        error: reject,
      });
      const over = (): void => {
        watch.unsubscribe();
        this.timer?.unsubscribe();
        secured();
        resolve(socket.tls as TlsInfo);
        outbound.resume();
      };
      outbound.suspend(() => {
        // Not within the delivery of a chunk that was read in the clear.
        connection.defer(() => {
          if (outbound.error === undefined) shakeHands(over);
        });
      });
    });
    // The connection reports its failure itself: a peer must not end a process that ignores the promise.
    this.done = handled(done);
    if (most > 0) this.timer = this.expireAfter(most);
  }

  /** Bytes arrived in the clear. They may come from an attacker on the way (command injection), so they are not emitted. */
  clearTextArrived(): void {
    const message =
      'bytes came in the clear behind the command that starts TLS, or before startTls was called in answer to it';
    this.connection.abort(this.error('ERR_TLS', message));
  }

  /** The peer has sent its FIN instead of a handshake. */
  peerFinished(): void {
    this.connection.fail(this.error('ERR_TLS', 'the TLS handshake failed: the peer has finished before it'));
  }

  private expireAfter(limit: number): Timer {
    return new Timer(limit, () => {
      this.connection.fail(this.error('ERR_TIMEOUT_HANDSHAKE', `the TLS handshake was not over within ${limit} ms`));
    });
  }

  private error(code: 'ERR_TLS' | 'ERR_TIMEOUT_HANDSHAKE', message: string): SocketError {
    return new SocketError(code, message, { address: this.connection.remote });
  }
}

function endedError(connection: Upgraded): SocketError {
  const closed = new SocketError('ERR_CLOSED', 'startTls: one side of the connection has ended');
  return connection.outbound.error ?? originate(closed, connection);
}

function invalid(reason: string): SocketError {
  return new SocketError('ERR_OPTION_INVALID', `startTls: ${reason}`);
}
