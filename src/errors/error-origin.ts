import { SocketError } from './socket-error.js';

/** The connection or the client that has caused an error. */
export interface Origin {
  /**
   * Whether a server reports this origin's errors in `incidents`, so that the program need not handle them elsewhere
   * (S19).
   */
  readonly hasIncidents: boolean;
}

const origins = new WeakMap<object, Origin>();

/** Records the origin of `error`, unless `error` already has an origin. */
export function noteOrigin(error: SocketError, origin: Origin): SocketError {
  if (!origins.has(error)) origins.set(error, origin);
  return error;
}

export function originOf(error: unknown): Origin | undefined {
  return typeof error === 'object' && error !== null ? origins.get(error) : undefined;
}

const reportedCauses = new WeakSet<object>();

/** Records that a server reports `error` as the `cause` of a different error. Ignores an `error` without an origin. */
export function noteReportedCause(error: unknown): void {
  if (originOf(error) !== undefined) reportedCauses.add(error as object);
}

/** Whether a server reports `error`, so that a subscriber need not handle it (S19). */
export function isReported(error: unknown): boolean {
  return (
    originOf(error)?.hasIncidents === true || (typeof error === 'object' && error !== null && reportedCauses.has(error))
  );
}

export function isReportedBy(error: unknown, origin: unknown): boolean {
  return originOf(error) === origin && isReported(error);
}

/** Whether `error` means that a received message could not be decoded. If so, the connection can still send (D3). */
export function isBadFrame(error: unknown): boolean {
  return error instanceof SocketError && error.code.startsWith('ERR_FRAME_') && originOf(error) !== undefined;
}

/**
 * Marks a promise as handled, so that its rejection cannot end the process (S19). Code that awaits the promise still
 * receives the error.
 */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
