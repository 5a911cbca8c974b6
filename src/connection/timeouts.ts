import { asyncScheduler } from 'rxjs';
import { SocketError, type SocketErrorCode } from '../errors/socket-error.js';
import type { Inbound } from '../io/inbound.js';
import type { Outbound } from '../io/outbound.js';
import { type Signs, IdleTimer } from '../scheduling/idle-timer.js';
import { Timer } from '../scheduling/timer.js';
import type { ConnectionSettings } from './connection-settings.js';

/** The connection that the timers are for. */
interface Timed {
  readonly inbound: Inbound;
  readonly outbound: Outbound;
  /** Whether TLS is being started: the handshake has a limit of its own. */
  readonly isUpgrading: boolean;
  fail(error: SocketError): void;
  close(): Promise<void>;
}

/** What bounds each wait of one connection; 0 ms is no bound. */
export class Timeouts {
  private readonly settings: ConnectionSettings<any, any>;
  private readonly connection: Timed;
  private idle: IdleTimer | undefined;
  private unheard: IdleTimer | undefined;
  private peerFinished: IdleTimer | undefined;
  private claim: Timer | undefined;
  private forced: Timer | undefined;
  /** When it is forced to close. */
  private forcedBy = Infinity;

  constructor(settings: ConnectionSettings<any, any>, connection: Timed) {
    this.settings = settings;
    this.connection = connection;
  }

  /** The connection is open. */
  start(): void {
    const { idleTimeout, receiveTimeout } = this.settings;
    const { connection } = this;
    const { inbound, outbound } = connection;
    // A function that has taken a request and works on it is busy, though nobody reads and nobody holds (C27).
    const isListening = (): boolean =>
      inbound.isReady && !connection.isUpgrading && !(inbound.unread && outbound.lane.functions > 0);
    if (idleTimeout > 0) {
      const message = `nothing was received or written for ${idleTimeout} ms`;
      this.idle = this.silence(idleTimeout, 'ERR_TIMEOUT_IDLE', message, {
        count: () => outbound.written,
        isListening,
      });
    }
    if (receiveTimeout > 0) {
      const message = `nothing was received for ${receiveTimeout} ms`;
      this.unheard = this.silence(receiveTimeout, 'ERR_TIMEOUT_RECEIVE', message, { count: () => 0, isListening });
    }
  }

  received(): void {
    this.idle?.interrupt();
    this.unheard?.interrupt();
  }

  /** This side is ready to read again: the time in which it was not does not count. */
  ready(): void {
    this.received();
  }

  written(): void {
    this.idle?.interrupt();
    this.peerFinished?.interrupt();
  }

  /** The peer has finished: nothing more can be received. */
  heardAll(): void {
    this.unheard?.stop();
  }

  /** The peer has finished, and the sending side goes on. */
  awaitEnd(): void {
    const { halfOpenTimeout } = this.settings;
    const { outbound } = this.connection;
    const message = `nothing was written for ${halfOpenTimeout} ms after the peer finished`;
    const signs = { count: () => outbound.written, isListening: () => true };
    this.peerFinished = this.silence(halfOpenTimeout, 'ERR_TIMEOUT_HALF_OPEN', message, signs);
  }

  /** Somebody reads, or it is being closed. */
  claimed(): void {
    this.claim?.unsubscribe();
    this.claim = undefined;
  }

  /** Nobody reads. Where that lasts so long, it is given up: one that was never used, or whose sending side has ended (C22). */
  awaitClaim(): void {
    const { outbound } = this.connection;
    const { claimTimeout: limit } = this.settings;
    if (limit === 0 || this.claim !== undefined || (this.isUsed && !outbound.ended)) return;
    this.claim = new Timer(limit, () => {
      this.claim = undefined;
      if (outbound.closed) void this.connection.close();
      else if (!this.isUsed) this.expire('ERR_TIMEOUT_CLAIM', `nobody subscribed to the connection for ${limit} ms`);
    });
  }

  /** The shortest limit holds: a server's shutdown may hurry what was closing at leisure (S7). */
  forceWithin(limit: number): void {
    const due = asyncScheduler.now() + limit;
    if (limit === 0 || due >= this.forcedBy) return;
    this.forced?.unsubscribe();
    this.forcedBy = due;
    this.forced = new Timer(limit, () => {
      this.expire('ERR_TIMEOUT_CLOSE', `the connection was not closed in order within ${limit} ms`);
    });
  }

  stop(): void {
    this.idle?.stop();
    this.unheard?.stop();
    this.peerFinished?.stop();
    this.claim?.unsubscribe();
    this.forced?.unsubscribe();
  }

  private get isUsed(): boolean {
    const { inbound, outbound } = this.connection;
    return inbound.claimed || outbound.written + outbound.bufferedBytes > 0;
  }

  private silence(limit: number, code: SocketErrorCode, message: string, signs: Signs): IdleTimer {
    const silence = new IdleTimer(limit, () => this.expire(code, message), signs);
    silence.start();
    return silence;
  }

  private expire(code: SocketErrorCode, message: string): void {
    this.connection.fail(new SocketError(code, message));
  }
}
