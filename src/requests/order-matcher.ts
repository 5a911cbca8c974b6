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
  /** In the order in which they were sent. */
  private readonly queue = new Fifo<PendingRequest<In, Id>>();

  get oldest(): PendingRequest<In, Id> | undefined {
    return this.queue.find(({ state }) => state === 'pending');
  }

  get isEmpty(): boolean {
    return this.first === undefined;
  }

  refusal(id: unknown): SocketError | undefined {
    if (id === undefined) return undefined;
    const message = `ask: an id needs the option answers, which tells the id of an answer; got ${describeValue(id)}`;
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

  /** It keeps its place: where it was not sent yet, it will be, and the first answer is its own. */
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

  /** @param isStranded - whether answers of theirs may still be read, so that they keep their places */
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
