import type { Observable } from 'rxjs';
import type { Origin } from '../errors/error-origin.js';
import { SocketError } from '../errors/socket-error.js';
import type { Inbound, Reader } from '../io/inbound.js';
import type { Outbound } from '../io/outbound.js';
import type { SendLane } from '../io/send-lane.js';

/** The connection that values were sent on, as a sender sees it. */
export interface Carrier {
  readonly inbound: Inbound;
  readonly closed: Observable<{ readonly error?: SocketError }>;
  fail(error: SocketError): void;
}

/** Called when everything from a connection has been read, and its channel continues with the next connection. */
export type StreamEndListener = (connection: Carrier, end: 'fin' | SocketError) => void;

/**
 * What a Channel receives from and sends on: a single connection, or a client with one connection after another.
 *
 * The end of a reader takes three calls. When the reader has emitted everything received, it calls `readerDrained`. If
 * no other stream follows, the host then ends the reader. The reader calls `readerEnding` just before it notifies its
 * subscribers of the end, and `readerEnded` just after.
 */
export interface ChannelHost extends Origin {
  /**
   * The receiving side of the connection that is being read. For a client, it is the oldest connection with unread
   * data; undefined while there is nothing to read.
   */
  readonly inbound: Inbound | undefined;
  /** The sending side that all channels of the host share. */
  readonly lane: SendLane;
  /** The Outbound that accepts the channels' values now. */
  readonly outbound: Outbound;
  /** The current connection. */
  readonly carrier: Carrier | undefined;
  /** The listeners to call at the end of each stream that may be followed by another one. */
  readonly streamEnds?: Set<StreamEndListener>;
  /** Whether its channels can be subscribed to again after the end, because another stream may follow. */
  readonly reusable: boolean;
  /** Whether another stream follows the current one, whose end then does not end the channel. */
  readonly continues: boolean;
  /** Called when the channel gets its first subscriber. */
  observed(reader: Reader): void;
  /** Called when the channel loses its last subscriber. */
  unobserved(reader: Reader): void;
  /** Called when the channel may emit again. */
  ready(): void;
  /** Called when the reader has emitted everything received, and the stream has ended with `end`. */
  readerDrained(reader: Reader, end: 'fin' | SocketError): void;
  /** Called when the reader is about to notify its subscribers of the end. */
  readerEnding(reader: Reader): void;
  /** Called when the reader has notified its subscribers of the end. They may have sent a last answer (C7). */
  readerEnded(): void;
  /** Called when a frame can't be decoded, so that the rest of the stream can't be decoded either. */
  badFrame(error: SocketError): void;
  /** Fails the connection, because a value can't be encoded. */
  fail(error: SocketError): void;
  /**
   * Called when a handler, or a source that is being sent, has failed. The connection then fails, too, unless `cause`
   * is the connection's own error.
   */
  failedBy(cause: unknown): void;
  /** Whether `error` originates from this host. */
  owns(error: unknown): boolean;
  /** Ends the sending side after the values sent so far. */
  complete(): void;
  /** Destroys the connection, or the client, on behalf of the user. */
  destroy(reason: unknown): void;
  /** Closes gracefully. */
  close(): Promise<void>;
  /** Runs `work` once the running code has ended. */
  defer(work: () => void): void;
}
