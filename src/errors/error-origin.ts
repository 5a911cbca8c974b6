import type { SocketError } from './socket-error.js';

/** A connection, or a client, that an error comes from. */
export interface Origin {
  /** Whether a server reports its errors in `closed` and in `incidents`. */
  readonly reports: boolean;
}

const origins = new WeakMap<object, Origin>();

/** Remembers where `error` comes from, unless that is known. */
export function originate(error: SocketError, origin: Origin): SocketError {
  if (!origins.has(error)) origins.set(error, origin);
  return error;
}

/** The connection or the client that `error` comes from, if it is the error of one. */
export function originOf(error: unknown): Origin | undefined {
  return typeof error === 'object' && error !== null ? origins.get(error) : undefined;
}

const reportedElsewhere = new WeakSet<object>();

/** A server reports `error`, which comes from a connection, as the cause of another one. */
export function reportElsewhere(error: unknown): void {
  if (originOf(error) !== undefined) reportedElsewhere.add(error as object);
}

/** Whether a server reports `error`, so that a subscriber need not handle it (S19). */
export function isReported(error: unknown): boolean {
  return (
    originOf(error)?.reports === true || (typeof error === 'object' && error !== null && reportedElsewhere.has(error))
  );
}
