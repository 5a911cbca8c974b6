import type { Carrier } from '../channel/channel-host.js';
import { SocketError } from '../errors/socket-error.js';
import { describeValue } from '../errors/describe-value.js';
import type { Matcher } from './matcher.js';
import type { PendingRequest } from './pending-request.js';

/** Finds the request that a message answers, by the id that the function `answers` returns for the message. */
export class IdMatcher<In, Id> implements Matcher<In, Id> {
  private readonly answers: (message: In) => Id | undefined;
  /** The maximum number of timed-out requests that are remembered. */
  private readonly limit: number;
  private readonly requests = new Map<Id, PendingRequest<In, Id>>();
  /**
   * The requests that have timed out, oldest first. Without this list, a late answer would be taken for the answer to a
   * new request with the same id.
   */
  private readonly abandoned = new Map<Id, PendingRequest<In, Id>>();

  constructor(answers: (message: In) => Id | undefined, limit: number) {
    this.answers = answers;
    this.limit = limit;
  }

  get pending(): number {
    return this.requests.size;
  }

  get oldest(): PendingRequest<In, Id> | undefined {
    const [oldest] = this.requests.values();
    return oldest;
  }

  get isEmpty(): boolean {
    return this.requests.size + this.abandoned.size === 0;
  }

  refusal(id: Id | undefined): SocketError | undefined {
    if (id === undefined) {
      return new SocketError('ERR_OPTION_INVALID', "ask: a request needs an id if the option 'answers' is set");
    }
    if (this.requests.has(id)) {
      return new SocketError('ERR_OPTION_INVALID', `ask: a request with the id ${describeValue(id)} is pending`);
    }
    if (this.abandoned.has(id)) {
      const message = `ask: a request with the id ${describeValue(id)} has timed out and may still be answered; use a new id`;
      return new SocketError('ERR_OPTION_INVALID', message);
    }
    return undefined;
  }

  add(request: PendingRequest<In, Id>): void {
    this.requests.set(request.id as Id, request);
  }

  match(
    message: In,
    isPossible: (request: PendingRequest<In, Id>) => boolean,
  ): PendingRequest<In, Id> | 'discard' | undefined {
    const { answers } = this;
    const id = answers(message);
    if (id === undefined) return undefined;
    const request = this.requests.get(id) ?? this.abandoned.get(id);
    if (request === undefined || !isPossible(request)) return 'discard';
    const { state } = request;
    this.remove(request);
    return state === 'pending' ? request : 'discard';
  }

  abandon(request: PendingRequest<In, Id>, error: SocketError): void {
    this.remove(request);
    request.abandon(error);
    this.abandoned.set(request.id as Id, request);
    if (this.abandoned.size <= this.limit) return;
    const [oldest] = this.abandoned.keys();
    this.abandoned.delete(oldest as Id);
  }

  reject(request: PendingRequest<In, Id>, error: SocketError): void {
    this.remove(request);
    request.reject(error);
  }

  endConnection(connection: Carrier): readonly PendingRequest<In, Id>[] {
    return this.clear(({ sentOn }) => sentOn !== connection);
  }

  clear(isKept: (request: PendingRequest<In, Id>) => boolean): readonly PendingRequest<In, Id>[] {
    const ended = [...this.requests.values()].filter((request) => !isKept(request));
    for (const request of [...ended, ...this.abandoned.values()]) if (!isKept(request)) this.remove(request);
    return ended;
  }

  private remove(request: PendingRequest<In, Id>): void {
    const id = request.id as Id;
    if (this.requests.get(id) === request) this.requests.delete(id);
    if (this.abandoned.get(id) === request) this.abandoned.delete(id);
  }
}
