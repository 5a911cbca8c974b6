import type { Carrier } from '../channel/channel-host.js';
import type { SocketError } from '../errors/socket-error.js';
import type { PendingRequest } from './pending-request.js';

/** Finds the request that a message answers: by an id, or by the order in which the requests were sent. */
export interface Matcher<In, Id> {
  /** How many requests have neither been answered nor rejected. */
  readonly pending: number;
  /** The pending request that was made first. */
  readonly oldest: PendingRequest<In, Id> | undefined;
  /** Whether no answer is expected, not even a late one. */
  readonly isEmpty: boolean;
  /** Why a request with this id can't be made. */
  refusal(id: Id | undefined): SocketError | undefined;
  add(request: PendingRequest<In, Id>): void;
  /**
   * Takes out the request that `message` answers.
   *
   * @param isPossible - whether the message can be the answer of a request
   * @returns `'nobody'` for an answer that no pending request waits for, and `undefined` for a message that is no answer
   * @throws what the option `answers` throws
   */
  match(
    message: In,
    isPossible: (request: PendingRequest<In, Id>) => boolean,
  ): PendingRequest<In, Id> | 'nobody' | undefined;
  /** A request has timed out: its answer, if it still comes, is not taken for another's. */
  abandon(request: PendingRequest<In, Id>): void;
  /** Takes out a request that will not be answered. */
  remove(request: PendingRequest<In, Id>): void;
  /** A connection has ended: gives the pending requests that were sent on it, which are taken out. */
  endConnection(connection: Carrier): readonly PendingRequest<In, Id>[];
  /** Takes out all but those of which `isKept` is true, and gives those that were pending. */
  clear(isKept: (request: PendingRequest<In, Id>) => boolean): readonly PendingRequest<In, Id>[];
}
