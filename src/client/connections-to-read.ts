import { readAhead } from '../io/inbound.js';

// A client's readers read its connections one after another, each to its end (K4, K14). All functions here are pure.

/** A connection whose data has not all been emitted yet. */
interface ReadSource<C> {
  readonly connection: C;
  /** Whether this was the last connection of its run. If so, its readers end with it, even during the next run (K8). */
  readonly endsRun: boolean;
}

/** The connections to read, the oldest first. The readers are attached to the first one, or wait if there is none. */
export type ConnectionsToRead<C> = readonly ReadSource<C>[];

/** The unread rest of a connection, and its readers. */
export interface Leftover {
  /** The number of received bytes that are not decoded yet. */
  readonly bytes: number;
  /** Whether a reader was notified of the connection's end. */
  readonly isRead: boolean;
  readonly hasReaders: boolean;
}

/** Looks up the leftover of a connection. */
export type LeftoverOf<C> = (connection: C) => Leftover;

/** The memory that an ended connection itself takes, in bytes, in addition to its leftover bytes (K14). */
const connectionCost = 1_024;

/** Whether earlier connections hold so many unread bytes that a new one must not be read yet (K14). */
export function waitsForReaders<C>(toRead: ConnectionsToRead<C>, leftover: LeftoverOf<C>): boolean {
  return toRead.reduce((sum, { connection }) => sum + leftover(connection).bytes + connectionCost, 0) >= readAhead;
}

/**
 * Drops the ended connections that have neither readers nor unread bytes (K8, K14). Call it while the client has no
 * connection.
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

/** Marks the newest connection as the last one of its run. */
export function endingRun<C>(toRead: ConnectionsToRead<C>): ConnectionsToRead<C> {
  const last = toRead.length - 1;
  return toRead.map((source, index) => (index === last ? { ...source, endsRun: true } : source));
}

/** Whether the readers still read the connections of an earlier run, and so do not end with the current run. */
export function readsEarlierRun<C>(toRead: ConnectionsToRead<C>): boolean {
  return toRead[0]?.endsRun === true && toRead.at(-1)?.endsRun === false;
}
