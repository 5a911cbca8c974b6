import type { Carrier } from '../channel/channel-host.js';
import type { SocketError } from '../errors/socket-error.js';
import type { PendingRequest } from './pending-request.js';

/** Finds the request that a message answers: by an id, or by the order of the requests. */
export interface Matcher<In, Id> {
  /** The number of requests that have neither been answered nor rejected. */
  readonly pending: number;
  /** The pending request that was made first. */
  readonly oldest: PendingRequest<In, Id> | undefined;
  /** Whether no answer is expected, not even a late answer to a request that has timed out. */
  readonly isEmpty: boolean;
  /** Returns an error if a request must not have this id. */
  refusal(id: Id | undefined): SocketError | undefined;
  add(request: PendingRequest<In, Id>): void;
  /**
   * Removes and returns the request that `message` answers.
   *
   * @param isPossible - whether the message can answer a given request
   * @returns the request; `'discard'` for an answer that no pending request awaits; `undefined` for a message that is
   * not an answer
   * @throws the error that the function `answers` throws
   */
  match(
    message: In,
    isPossible: (request: PendingRequest<In, Id>) => boolean,
  ): PendingRequest<In, Id> | 'discard' | undefined;
  /**
   * Rejects a request that has timed out. Remembers the request, so that its late answer is not taken for the answer to
   * a different request.
   */
  abandon(request: PendingRequest<In, Id>, error: SocketError): void;
  /** Removes a request that will not be answered, and rejects it. */
  reject(request: PendingRequest<In, Id>, error: SocketError): void;
  /** Removes the requests that were sent on an ended connection. Returns the removed requests that were pending. */
  endConnection(connection: Carrier): readonly PendingRequest<In, Id>[];
  /** Removes all requests for which `isKept` returns false. Returns the removed requests that were pending. */
  clear(isKept: (request: PendingRequest<In, Id>) => boolean): readonly PendingRequest<In, Id>[];
}
