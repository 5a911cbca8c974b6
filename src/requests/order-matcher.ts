import type { Carrier } from '../channel/channel-host.js';
import { SocketError } from '../errors/socket-error.js';
import { describeValue } from '../errors/describe-value.js';
import { Fifo } from '../collections/fifo.js';
import type { Matcher } from './matcher.js';
import type { PendingRequest } from './pending-request.js';

/**
 * The oldest request gets the next message. The queue also has those that only keep a place: of a request that has timed
 * out before it was sent, and of those whose connection has ended while its last messages were still to be read.
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
    const message = `ask: id must be omitted without the option answers, got ${describeValue(id)}`;
    return new SocketError('ERR_OPTION_INVALID', message);
  }

  add(request: PendingRequest<In, Id>): void {
    this.queue.push(request);
    this.pending++;
  }

  match(
    _message: In,
    isPossible: (request: PendingRequest<In, Id>) => boolean,
  ): PendingRequest<In, Id> | 'nobody' | undefined {
    for (let { first } = this; first !== undefined; { first } = this) {
      const isTheirs = isPossible(first);
      if (!isTheirs && !first.isStranded) return undefined;
      this.queue.shift();
      if (!isTheirs) continue;
      if (first.state !== 'pending') return 'nobody';
      this.pending--;
      return first;
    }
    return undefined;
  }

  /** The request keeps its place in the order: it has been sent, or will be, and so gets an answer. */
  abandon(request: PendingRequest<In, Id>): void {
    if (request.state === 'pending') this.pending--;
  }

  remove(request: PendingRequest<In, Id>): void {
    if (request.state === 'pending') this.pending--;
    request.state = 'over';
  }

  endConnection(connection: Carrier): readonly PendingRequest<In, Id>[] {
    return this.takeOut(({ sentOn }) => sentOn === connection, connection.inbound.queue.length > 0);
  }

  clear(isKept: (request: PendingRequest<In, Id>) => boolean): readonly PendingRequest<In, Id>[] {
    return this.takeOut((request) => !isKept(request), false);
  }

  /** @param isStranded - whether their answers may still be read, so that they keep their places */
  private takeOut(
    isTheirs: (request: PendingRequest<In, Id>) => boolean,
    isStranded: boolean,
  ): readonly PendingRequest<In, Id>[] {
    const theirs: PendingRequest<In, Id>[] = [];
    for (let left = this.queue.length; left > 0; left--) {
      const request = this.queue.shift()!;
      if (!isTheirs(request)) this.queue.push(request);
      else {
        if (request.state === 'pending') theirs.push(request);
        request.isStranded = isStranded;
        if (isStranded) this.queue.push(request);
      }
    }
    this.pending -= theirs.length;
    return theirs;
  }

  private get first(): PendingRequest<In, Id> | undefined {
    const { queue } = this;
    while (queue.first?.state === 'over' && !queue.first.isStranded) queue.shift();
    return queue.first;
  }
}
