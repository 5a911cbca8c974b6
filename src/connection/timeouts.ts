import { asyncScheduler } from 'rxjs';
import { SocketError, type SocketErrorCode } from '../errors/socket-error.js';
import type { Inbound } from '../io/inbound.js';
import type { Outbound } from '../io/outbound.js';
import { type Activity, IdleTimer } from '../scheduling/idle-timer.js';
import { Timer } from '../scheduling/timer.js';
import type { ConnectionSettings } from './connection-settings.js';

interface Timed {
  readonly inbound: Inbound;
  readonly outbound: Outbound;
  /** Whether a TLS handshake is in progress. The handshake has its own time limit. */
  readonly isUpgrading: boolean;
  fail(error: SocketError): void;
  close(): Promise<void>;
}

/** The timers of one connection. A limit of 0 ms means no timer. */
export class Timeouts {
  private readonly settings: ConnectionSettings<any, any>;
  private readonly connection: Timed;
  private idle: IdleTimer | undefined;
  private receive: IdleTimer | undefined;
  private halfOpen: IdleTimer | undefined;
  private claim: Timer | undefined;
  private close: Timer | undefined;
  private closeDue = Infinity;

  constructor(settings: ConnectionSettings<any, any>, connection: Timed) {
    this.settings = settings;
    this.connection = connection;
  }

  startIdleTimers(): void {
    const { idleTimeout, receiveTimeout } = this.settings;
    const { connection } = this;
    const { inbound, outbound } = connection;
    // If a connection has no reader, it is not idle while its handler works (C27).
    const isListening = (): boolean =>
      inbound.isReady && !connection.isUpgrading && (inbound.hasReader || outbound.lane.functions === 0);
    if (idleTimeout > 0) {
      const message = `nothing was received or written for ${idleTimeout} ms`;
      this.idle = this.startIdleTimer(idleTimeout, 'ERR_TIMEOUT_IDLE', message, {
        count: () => outbound.written,
        isListening,
      });
    }
    if (receiveTimeout > 0) {
      const message = `nothing was received for ${receiveTimeout} ms`;
      this.receive = this.startIdleTimer(receiveTimeout, 'ERR_TIMEOUT_RECEIVE', message, {
        count: () => 0,
        isListening,
      });
    }
  }

  /**
   * Call when bytes have arrived, or when this side can read again. Time during which this side cannot read does not
   * count toward the timeouts.
   */
  restartIdleTimers(): void {
    this.idle?.interrupt();
    this.receive?.interrupt();
  }

  written(): void {
    this.idle?.interrupt();
    this.halfOpen?.interrupt();
  }

  stopReceiveTimer(): void {
    this.receive?.stop();
  }

  /** Call when the peer has finished. Limits the time without a write to `halfOpenTimeout` ms (C7). */
  startHalfOpenTimer(): void {
    const { halfOpenTimeout } = this.settings;
    const { outbound } = this.connection;
    const message = `nothing was written for ${halfOpenTimeout} ms after the peer finished`;
    const signs = { count: () => outbound.written, isListening: () => true };
    this.halfOpen = this.startIdleTimer(halfOpenTimeout, 'ERR_TIMEOUT_HALF_OPEN', message, signs);
  }

  /**
   * Limits the time without a reader to `claimTimeout` ms. When that time is over, an unused connection fails, and a
   * connection whose sending side has ended is closed (C22).
   */
  startClaimTimer(): void {
    const { outbound } = this.connection;
    const { claimTimeout: limit } = this.settings;
    if (limit === 0 || this.claim !== undefined || (this.isUsed && !outbound.ended)) return;
    this.claim = new Timer(limit, () => {
      this.claim = undefined;
      if (outbound.closed) void this.connection.close();
      else if (!this.isUsed) this.expire('ERR_TIMEOUT_CLAIM', `the connection had no subscriber for ${limit} ms`);
    });
  }

  stopClaimTimer(): void {
    this.claim?.unsubscribe();
    this.claim = undefined;
  }

  /** Forces the connection to close after `limit` ms. A second call can shorten the time, but not extend it (S14). */
  startCloseTimer(limit: number): void {
    const due = asyncScheduler.now() + limit;
    if (limit === 0 || due >= this.closeDue) return;
    this.close?.unsubscribe();
    this.closeDue = due;
    this.close = new Timer(limit, () => {
      this.expire('ERR_TIMEOUT_CLOSE', `the connection did not close gracefully within ${limit} ms`);
    });
  }

  stop(): void {
    this.idle?.stop();
    this.receive?.stop();
    this.halfOpen?.stop();
    this.claim?.unsubscribe();
    this.close?.unsubscribe();
  }

  /** Whether the connection has ever had a reader, or anything was sent on the connection. */
  private get isUsed(): boolean {
    const { inbound, outbound } = this.connection;
    return inbound.claimed || outbound.written + outbound.bufferedBytes > 0;
  }

  private startIdleTimer(limit: number, code: SocketErrorCode, message: string, signs: Activity): IdleTimer {
    const timer = new IdleTimer(limit, () => this.expire(code, message), signs);
    timer.start();
    return timer;
  }

  private expire(code: SocketErrorCode, message: string): void {
    this.connection.fail(new SocketError(code, message));
  }
}
