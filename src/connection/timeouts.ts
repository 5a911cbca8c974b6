import { asyncScheduler } from 'rxjs';
import { SocketError, type SocketErrorCode } from '../errors/socket-error.js';
import type { Inbound } from '../io/inbound.js';
import type { Outbound } from '../io/outbound.js';
import { type Activity, IdleTimer } from '../scheduling/idle-timer.js';
import { Timer } from '../scheduling/timer.js';
import type { ConnectionSettings } from './connection-settings.js';

/** The connection that the timers belong to. */
interface Timed {
  readonly inbound: Inbound;
  readonly outbound: Outbound;
  /** Whether TLS is being started: the handshake has a limit of its own. */
  readonly isUpgrading: boolean;
  fail(error: SocketError): void;
  close(): Promise<void>;
}

/** The timers that limit each wait of one connection; 0 ms means no limit. */
export class Timeouts {
  private readonly settings: ConnectionSettings<any, any>;
  private readonly connection: Timed;
  private idle: IdleTimer | undefined;
  private receive: IdleTimer | undefined;
  private halfOpen: IdleTimer | undefined;
  private claim: Timer | undefined;
  private forced: Timer | undefined;
  /** The time at which the connection is forced to close. */
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
    // A function that works on a request is busy, though nobody reads and nobody holds (C27).
    const isListening = (): boolean =>
      inbound.isReady && !connection.isUpgrading && !(inbound.unread && outbound.lane.functions > 0);
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

  received(): void {
    this.idle?.interrupt();
    this.receive?.interrupt();
  }

  /** This side is ready to read again: the time in which it was not ready does not count. */
  ready(): void {
    this.received();
  }

  written(): void {
    this.idle?.interrupt();
    this.halfOpen?.interrupt();
  }

  /** The peer has finished: nothing more can be received. */
  heardAll(): void {
    this.receive?.stop();
  }

  /** The peer has finished, and the sending side goes on. */
  awaitEnd(): void {
    const { halfOpenTimeout } = this.settings;
    const { outbound } = this.connection;
    const message = `nothing was written for ${halfOpenTimeout} ms after the peer finished`;
    const signs = { count: () => outbound.written, isListening: () => true };
    this.halfOpen = this.startIdleTimer(halfOpenTimeout, 'ERR_TIMEOUT_HALF_OPEN', message, signs);
  }

  /** The connection has a reader, or is closing. */
  claimed(): void {
    this.claim?.unsubscribe();
    this.claim = undefined;
  }

  /** Gives the connection up if it stays without a reader: one that was never used, or whose sending side has ended (C22). */
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

  /** Forces the connection to close. The shortest limit holds: a server's shutdown may hurry a close (S7). */
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
    this.receive?.stop();
    this.halfOpen?.stop();
    this.claim?.unsubscribe();
    this.forced?.unsubscribe();
  }

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
