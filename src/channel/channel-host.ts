import type { Observable } from 'rxjs';
import type { Origin } from '../errors/error-origin.js';
import { SocketError } from '../errors/socket-error.js';
import type { Inbound, Reader } from '../io/inbound.js';
import type { Outbound } from '../io/outbound.js';
import type { SendLane } from '../io/send-lane.js';

/** The connection that carries sent values. `Carrier` has only the members that senders use. */
export interface Carrier {
  readonly inbound: Inbound;
  readonly closed: Observable<{ readonly error?: SocketError }>;
  fail(error: SocketError): void;
}

/** Called when a channel has stopped reading from `connection`, and continues with the next connection. */
export type StreamEndListener = (connection: Carrier, end: 'fin' | SocketError) => void;

/**
 * The owner of a Channel: a single connection, or a client with one connection after another.
 *
 * At the end of a stream, a reader calls three methods of the host. When the reader has emitted everything received, it
 * calls `readerDrained`. If no other stream follows, the host then ends the reader. The reader calls `readerEnding`
 * just before it notifies its subscribers of the end, and `readerEnded` just after this notification.
 */
export interface ChannelHost extends Origin {
  /**
   * The receiving side of the connection that is being read: for a client, the oldest connection that has not been read
   * to its end. Undefined while there is no connection to read.
   */
  readonly inbound: Inbound | undefined;
  readonly lane: SendLane;
  /** The Outbound that currently takes the values sent on the host's channels. */
  readonly outbound: Outbound;
  readonly carrier: Carrier | undefined;
  /** The listeners to call at the end of each stream. Absent if the host has only one stream. */
  readonly streamEnds?: Set<StreamEndListener>;
  /** Whether the channel can be subscribed to again after its end, because another stream may follow. */
  readonly reusable: boolean;
  /** Whether another stream follows. If so, the end of the current stream does not end the channel. */
  readonly continues: boolean;
  /** Called when the channel gets its first subscriber. */
  observed(reader: Reader): void;
  /** Called when the channel loses its last subscriber. */
  unobserved(reader: Reader): void;
  /** Called when the channel may emit again. */
  ready(): void;
  readerDrained(reader: Reader, end: 'fin' | SocketError): void;
  readerEnding(reader: Reader): void;
  /** Called when the subscribers have been notified of the end. The subscribers may have sent a last answer (C7). */
  readerEnded(): void;
  /** Called when a frame can't be decoded. The rest of the stream can't be decoded either. */
  badFrame(error: SocketError): void;
  /** Fails the connection, because a value can't be encoded. */
  fail(error: SocketError): void;
  /**
   * Called when a handler, or a source that is being sent, has failed. The connection then also fails, unless `cause`
   * is the connection's own error.
   */
  failedBy(cause: unknown): void;
  /** Whether `error` originates from this host. */
  owns(error: unknown): boolean;
  /** Ends the sending side when the values sent so far have gone out. */
  complete(): void;
  /** Destroys the connection, or the client, on behalf of the user. */
  destroy(reason: unknown): void;
  close(): Promise<void>;
  /** Runs `work` soon, after the code that is running now has returned. */
  defer(work: () => void): void;
}
