import { readAhead } from '../io/inbound.js';

// The readers of a client's `data` read the client's connections one after another, each connection to its end (K4,
// K14).

/** A connection that has not been read to its end. */
interface ReadSource<C> {
  readonly connection: C;
  /**
   * Whether this was the last connection of a run (see `SessionState`). If so, the readers end with this connection,
   * even if the next run has already begun (K8).
   */
  readonly endsRun: boolean;
}

/**
 * The connections to read, oldest first. The readers are attached to the first connection. If the list is empty, the
 * readers wait for the next connection.
 */
export type ConnectionsToRead<C> = readonly ReadSource<C>[];

/** The unread data and the readers of a connection. */
export interface Leftover {
  /** The number of received bytes that are not decoded yet. */
  readonly bytes: number;
  /** Whether a reader was notified of the connection's end. */
  readonly isRead: boolean;
  readonly hasReaders: boolean;
}

export type LeftoverOf<C> = (connection: C) => Leftover;

/** The memory that an ended connection takes in addition to its unread data, in bytes (K14). */
const connectionCost = 1_024;

/** Whether the connections in `toRead` have so much unread data that a new connection must not be read yet (K14). */
export function waitsForReaders<C>(toRead: ConnectionsToRead<C>, leftover: LeftoverOf<C>): boolean {
  return toRead.reduce((sum, { connection }) => sum + leftover(connection).bytes + connectionCost, 0) >= readAhead;
}

/**
 * Drops each ended connection that has neither a reader nor unread data for a later reader (K8, K14). Call
 * `withoutEmpty` while the client has no connection.
 *
 * @param alsoKeep - a connection that the readers are about to be attached to
 */
export function withoutEmpty<C>(
  toRead: ConnectionsToRead<C>,
  leftover: LeftoverOf<C>,
  alsoKeep?: C,
): ConnectionsToRead<C> {
  return toRead.filter(({ connection }) => {
    const { bytes, isRead, hasReaders } = leftover(connection);
    return connection === alsoKeep || hasReaders || (!isRead && bytes > 0);
  });
}

export function endingRun<C>(toRead: ConnectionsToRead<C>): ConnectionsToRead<C> {
  const last = toRead.length - 1;
  return toRead.map((source, index) => (index === last ? { ...source, endsRun: true } : source));
}

/**
 * Whether the readers still read a connection of an earlier run. If so, the readers do not end with the current run.
 */
export function readsEarlierRun<C>(toRead: ConnectionsToRead<C>): boolean {
  return toRead[0]?.endsRun === true && toRead.at(-1)?.endsRun === false;
}
