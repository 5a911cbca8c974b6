import type { SocketError } from '../errors/socket-error.js';
import type { Outbound } from './outbound.js';
import type { Flushable } from '../scheduling/flush-scheduler.js';

/** The options that bound what waits to be sent, all in bytes. */
export interface OutboundLimits {
  readonly highWaterMark: number;
  readonly maxBuffered: number;
  readonly overflow: 'error' | 'drop';
}

/** What an Outbound tells the connection that it belongs to. */
export interface OutboundOwner {
  /** Whether a server reports what ends it, so that nobody else has to (S19). */
  readonly reports: boolean;
  /** A value was over `maxBuffered`, and the policy is `'error'`. */
  overflowed(error: SocketError): void;
  /** The transport has taken bytes. */
  progressed?(): void;
  /** The FIN was handed over. */
  finishedSending?(): void;
  /** No paced send and no handler is in progress any more. */
  settled?(): void;
}

/** What has values for several connections, and gives them to each before anything else is sent on it. */
export interface Publisher extends Flushable {
  /** Gives `outbound` what it lacks. */
  settle(outbound: Outbound): void;
}

/**
 * How a source goes: freely, so that `overflow` acts; while the channel is writable; or to its end, with what is in
 * memory already and has nowhere else to wait.
 */
export type Pace = 'free' | 'paced' | 'last';

/** Why a value was not taken: closed, over `maxBuffered`, or it can't be encoded. */
export type Refusal = 'closed' | 'overflow' | SocketError;
