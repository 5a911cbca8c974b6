import { readAhead } from '../io/inbound.js';

/**
 * What is read when one connection follows another: the readers of a client's `data` read one connection after the
 * other, each to its end (K4, K14). All functions here are pure.
 */

/** A connection of which `data` has not emitted everything yet. */
interface ReadSource<C> {
  readonly connection: C;
  /** Whether the client ended with this connection: its readers end with it, though a later run may have begun (K8). */
  readonly isLast: boolean;
}

/** What is to be read, the oldest first. The readers read the first one, or wait for the next. */
export type ReadOrder<C> = readonly ReadSource<C>[];

/** What a connection holds for its readers at this moment. */
export interface Unread {
  /** The bytes that were received and not yet decoded. */
  readonly bytes: number;
  /** Whether a reader was given its end. */
  readonly isRead: boolean;
  /** Whether a reader is attached to it. */
  readonly hasReaders: boolean;
}

/** Looks up what a connection holds. */
export type UnreadOf<C> = (connection: C) => Unread;

/** What an ended connection that still has bytes for a reader counts beside them, in bytes (K14). */
const connectionCost = 1_024;

/** Whether so much of earlier connections waits that a new one must not be read yet (K14). */
export function waitsForReaders<C>(order: ReadOrder<C>, unread: UnreadOf<C>): boolean {
  return order.reduce((sum, { connection }) => sum + unread(connection).bytes + connectionCost, 0) >= readAhead;
}

/** While the client has no connection, only bytes that nobody has read are kept of those that have ended (K8, K14). */
export function withoutEmpty<C>(order: ReadOrder<C>, unread: UnreadOf<C>): ReadOrder<C> {
  return order.filter(({ connection }) => {
    const { bytes, isRead, hasReaders } = unread(connection);
    return hasReaders || (!isRead && bytes > 0);
  });
}

/** The client ends: the newest connection is the last one of this run. */
export function ended<C>(order: ReadOrder<C>): ReadOrder<C> {
  const last = order.length - 1;
  return order.map((source, index) => (index === last ? { ...source, isLast: true } : source));
}

/** Whether the readers still read what an earlier run has left, and so wait for the end of this one. */
export function isBehind<C>(order: ReadOrder<C>): boolean {
  return order[0]?.isLast === true && order.at(-1)?.isLast === false;
}
