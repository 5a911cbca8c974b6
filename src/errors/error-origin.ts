import type { SocketError } from './socket-error.js';

/** The connection or the client that an error comes from. */
export interface Origin {
  /** Whether a server reports the errors in `closed` and in `incidents`. */
  readonly reports: boolean;
}

const origins = new WeakMap<object, Origin>();

/** Notes the origin of `error`, unless it has one. */
export function originate(error: SocketError, origin: Origin): SocketError {
  if (!origins.has(error)) origins.set(error, origin);
  return error;
}

/** The origin of `error`, if it has one. */
export function originOf(error: unknown): Origin | undefined {
  return typeof error === 'object' && error !== null ? origins.get(error) : undefined;
}

const reportedElsewhere = new WeakSet<object>();

/** Notes that a server reports `error`, which comes from a connection, as the cause of another error. */
export function reportElsewhere(error: unknown): void {
  if (originOf(error) !== undefined) reportedElsewhere.add(error as object);
}

/** Whether a server reports `error`, so that a subscriber need not handle it (S19). */
export function isReported(error: unknown): boolean {
  return (
    originOf(error)?.reports === true || (typeof error === 'object' && error !== null && reportedElsewhere.has(error))
  );
}

/**
 * Keeps a rejection that nobody handles from ending the process. A server reports itself why a connection failed (S19).
 * Callers that wait for the promise still get the error.
 */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
