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

/** Called when all of a connection was read and its channel goes on to another connection. */
export type StreamEndListener = (connection: Carrier, end: 'fin' | SocketError) => void;

/**
 * What a Channel receives from and sends on: a connection, or a client with its connections one after the other.
 *
 * A reader's end takes three calls. When it has emitted all that was received, it calls `readerDrained`, and the host, if
 * no other stream follows, ends the reader. Right before the reader notifies its subscribers of the end it calls
 * `readerEnding`, and after that `readerEnded`.
 */
export interface ChannelHost extends Origin {
  /**
   * The receiving side of the connection that is read: of a client, the oldest with unread data. It is undefined while a
   * client has nothing to read.
   */
  readonly inbound: Inbound | undefined;
  /** What its channels share when they send. */
  readonly lane: SendLane;
  /** Where their values go now. */
  readonly outbound: Outbound;
  /** The current connection. */
  readonly carrier: Carrier | undefined;
  /** Called at the end of each stream that another one may follow. */
  readonly streamEnds?: Set<StreamEndListener>;
  /** Whether its channels can be subscribed to again after the end, because another stream may come. */
  readonly reusable: boolean;
  /** Whether another stream follows the current one, so that the end of this one does not end the channel. */
  readonly continues: boolean;
  /** The channel has its first subscriber. */
  observed(reader: Reader): void;
  /** The channel has lost its last subscriber. */
  unobserved(reader: Reader): void;
  /** The channel may emit again. */
  ready(): void;
  /** The reader has emitted all that was received, and the stream has ended with `end`. */
  readerDrained(reader: Reader, end: 'fin' | SocketError): void;
  /** The reader is about to notify its subscribers of the end. */
  readerEnding(reader: Reader): void;
  /** The reader has notified its subscribers, which may have sent a last answer (C7). */
  readerEnded(): void;
  /** The received bytes can't be decoded, and so neither can the rest of the stream. */
  badFrame(error: SocketError): void;
  /** Fails the connection, because a value can't be encoded. */
  fail(error: SocketError): void;
  /** A handler, or a source that is being sent, has failed: that fails the connection, unless `cause` is its own error. */
  failedBy(cause: unknown): void;
  /** Whether `error` is an error of this host. */
  owns(error: unknown): boolean;
  /** Ends the sending side after what was sent. */
  complete(): void;
  /** The user destroys it. */
  destroy(reason: unknown): void;
  /** Closes gracefully. */
  close(): Promise<void>;
  /** Runs `work` once the running code has ended. */
  defer(work: () => void): void;
}
