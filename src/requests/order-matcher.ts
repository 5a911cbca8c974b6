import type { Carrier } from '../channel/channel-host.js';
import { SocketError } from '../errors/socket-error.js';
import { describeValue } from '../errors/describe-value.js';
import { Fifo } from '../collections/fifo.js';
import type { Matcher } from './matcher.js';
import type { PendingRequest } from './pending-request.js';

/**
 * Gives the next message to the oldest request. Two kinds of requests stay in the queue as placeholders, because their
 * answers may still arrive: requests that have timed out, and requests whose connection has ended with unread messages.
 */
export class OrderMatcher<In, Id> implements Matcher<In, Id> {
  pending = 0;
  /** The requests, in the order in which they are sent. */
  private readonly queue = new Fifo<PendingRequest<In, Id>>();

  get oldest(): PendingRequest<In, Id> | undefined {
    return this.queue.find(({ state }) => state === 'pending');
  }

  get isEmpty(): boolean {
    return this.first === undefined;
  }

  refusal(id: unknown): SocketError | undefined {
    if (id === undefined) return undefined;
    const message = `ask: an id needs the option 'answers', got ${describeValue(id)}`;
    return new SocketError('ERR_OPTION_INVALID', message);
  }

  add(request: PendingRequest<In, Id>): void {
    this.queue.push(request);
    this.pending++;
  }

  match(
    _message: In,
    isPossible: (request: PendingRequest<In, Id>) => boolean,
  ): PendingRequest<In, Id> | 'discard' | undefined {
    for (let { first } = this; first !== undefined; { first } = this) {
      const isAnswer = isPossible(first);
      if (!isAnswer && !first.isStranded) return undefined;
      this.queue.shift();
      if (!isAnswer) continue;
      if (first.state !== 'pending') return 'discard';
      this.pending--;
      return first;
    }
    return undefined;
  }

  abandon(request: PendingRequest<In, Id>, error: SocketError): void {
    if (request.state === 'pending') this.pending--;
    request.abandon(error);
  }

  reject(request: PendingRequest<In, Id>, error: SocketError): void {
    if (request.state === 'pending') this.pending--;
    request.reject(error);
  }

  endConnection(connection: Carrier): readonly PendingRequest<In, Id>[] {
    return this.end(({ sentOn }) => sentOn === connection, connection.inbound.queue.length > 0);
  }

  clear(isKept: (request: PendingRequest<In, Id>) => boolean): readonly PendingRequest<In, Id>[] {
    return this.end((request) => !isKept(request), false);
  }

  /**
   * Ends the requests that `isAffected` selects. Returns the ended requests that were pending. If `isStranded` is true,
   * the ended requests stay in the queue as placeholders.
   */
  private end(
    isAffected: (request: PendingRequest<In, Id>) => boolean,
    isStranded: boolean,
  ): readonly PendingRequest<In, Id>[] {
    const ended: PendingRequest<In, Id>[] = [];
    for (let left = this.queue.length; left > 0; left--) {
      const request = this.queue.shift()!;
      if (!isAffected(request)) this.queue.push(request);
      else {
        if (request.state === 'pending') ended.push(request);
        request.isStranded = isStranded;
        if (isStranded) this.queue.push(request);
      }
    }
    this.pending -= ended.length;
    return ended;
  }

  private get first(): PendingRequest<In, Id> | undefined {
    const { queue } = this;
    while (queue.first?.state === 'over' && !queue.first.isStranded) queue.shift();
    return queue.first;
  }
}
