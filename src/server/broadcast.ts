import { type Observer, Subscription } from 'rxjs';
import { bytes } from '../codecs/raw-bytes.js';
import type { Codec, Encoder } from '../codecs/codec.js';
import type { Connection } from '../connection/connection.js';
import { SocketConnection } from '../connection/socket-connection.js';
import { SocketError } from '../errors/socket-error.js';
import type { Outbound, Publisher } from '../io/outbound.js';
import { WriteBuffer } from '../io/write-buffer.js';
import type { FlushScheduler } from '../scheduling/flush-scheduler.js';

const encoded: Encoder<Uint8Array> = {
  encode(value, into) {
    into.bytes(value);
  },
};

const maxBatchBytes = 65_536;

interface Member {
  readonly connection: SocketConnection<any, any>;
  readonly membership: Subscription;
  /** The number of values that the member was given, plus the number of values sent before the member joined. */
  given: number;
}

/**
 * Sends each message to many connections. A message is encoded once, and each connection is written to once per turn.
 *
 * A member is removed when its connection closes. A slow member does not delay the other members. The connection of the
 * slow member buffers the member's messages, and the options `maxBuffered` and `overflow` of that connection apply.
 *
 * Apart from `size`, `refused` and the lower cost, a Broadcast is equivalent to:
 *
 * ```ts
 * const broadcastOf = <Out>(codec: Codec<unknown, Out>) => {
 *   const members = new Map<Connection<any, any>, Channel<unknown, Out>>();
 *   return {
 *     join: (connection: Connection<any, any>) => {
 *       members.set(connection, connection.bytes.framed(codec));
 *       const membership = new Subscription(() => members.delete(connection));
 *       membership.add(connection.closed.subscribe(() => membership.unsubscribe()));
 *       return membership;
 *     },
 *     next: (value: Out) => members.forEach((channel) => channel.next(value)),
 *     complete: () => members.forEach((channel) => channel.complete()),
 *     error: (reason: unknown) => members.forEach((_, connection) => connection.destroy(reason)),
 *   };
 * };
 * ```
 *
 * A Broadcast is an Observer, so you can subscribe it to any Observable. `complete` and `error` end the Broadcast for
 * good.
 *
 * @typeParam Out - the messages that the Broadcast sends
 * @backpressure `next` never blocks. The Broadcast keeps values until the turn ends, or until the values exceed 65,536
 * bytes. After that, each member's connection buffers the values, up to `maxBuffered`
 * @example
 * ```ts
 * const news = new Broadcast(lines());
 * server.subscribe((connection) => {
 *   news.join(connection);
 *   connection.data.subscribe({ next: (line) => news.next(line), error: () => undefined });
 * });
 * ```
 * @see rules B1 to B7
 */
export class Broadcast<Out = Uint8Array | string> implements Observer<Out> {
  private readonly encoder: Encoder<Out>;
  private readonly sink = new WriteBuffer();
  private readonly members = new Map<Outbound, Member>();
  /**
   * The encoded values since the last flush. `batchStart` is the number of values that were sent before these values.
   */
  private batch: Uint8Array[] = [];
  private batchStart = 0;
  private batchBytes = 0;
  private flushing = false;
  /** Members that already have all values of this batch. The next value has to be announced to these members. */
  private upToDate: Outbound[] = [];
  private refusedCount = 0;
  private outcome: { readonly reason?: unknown } | undefined;
  private readonly publisher: Publisher = {
    flush: () => {
      this.flush();
    },
    deliverTo: (outbound) => {
      this.settle(outbound);
    },
  };

  /**
   * Creates a Broadcast without members.
   *
   * @param codec - encodes the values, whatever codec the members have; without a codec, values are bytes or UTF-8
   * text. One encoder serves all members, so each value must be a complete frame by itself
   * @example
   * ```ts
   * const prices = new Broadcast(jsonLines<Price>());
   * ```
   * @see rules B1 and B2
   */
  constructor(codec?: Codec<unknown, Out>) {
    this.encoder = (codec ?? (bytes as unknown as Codec<unknown, Out>)).encoder();
  }

  /**
   * The number of members.
   *
   * @example
   * ```ts
   * console.log(`${news.size} are listening`);
   * ```
   * @see rule B4
   */
  get size(): number {
    return this.members.size;
  }

  /**
   * The number of values that could not be encoded, and so were sent to no member.
   *
   * @example
   * ```ts
   * if (news.refused > 0) console.log(`${news.refused} lines could not be sent`);
   * ```
   * @see rules B6 and D5
   */
  get refused(): number {
    return this.refusedCount;
  }

  /**
   * Adds a connection, which from now on gets every value that is passed to `next`.
   *
   * If a connection joins twice, the connection is still one member, and `join` returns the same membership. A
   * connection whose sending side has ended does not become a member. A connection that joins after `complete` is
   * completed immediately. A connection that joins after `error` is destroyed immediately.
   *
   * @param connection - a connection of a server or a client of this library
   * @returns the membership. Unsubscribe from the membership to remove the connection. A removed connection stays open,
   * and still gets the values that were passed to `next` before the removal
   * @throws `ERR_OPTION_INVALID` for an object that is not a connection of this library
   * @example
   * ```ts
   * const membership = news.join(connection);
   * membership.unsubscribe();
   * ```
   * @see rules B1, B4 and B5
   */
  join(connection: Connection<any, any>): Subscription {
    if (!(connection instanceof SocketConnection)) {
      throw new SocketError('ERR_OPTION_INVALID', 'join: only a connection of this library can be a member');
    }
    const { outbound } = connection;
    if (this.outcome !== undefined) {
      end(connection, this.outcome);
      return Subscription.EMPTY;
    }
    if (outbound.closed) return Subscription.EMPTY;
    const member = this.members.get(outbound);
    if (member !== undefined) return member.membership;
    const membership = new Subscription(() => {
      this.leave(outbound);
    });
    this.members.set(outbound, { connection, membership, given: this.batchStart + this.batch.length });
    if (this.batch.length > 0) this.upToDate.push(outbound);
    const leave = (): void => {
      membership.unsubscribe();
    };
    membership.add(connection.closed.subscribe({ complete: leave, error: leave }));
    return membership;
  }

  /**
   * Sends a value to all current members. This method never throws, and does nothing after `complete` or `error`.
   *
   * On each connection, the Broadcast's values and the values of the connection's own channels go out in the order in
   * which they were sent. The values of a turn reach each member in one write if the values total at most 65,536 bytes.
   * A value that cannot be encoded is sent to no member, and is counted in {@link Broadcast.refused}. If the Broadcast
   * has no members, the value is not encoded.
   *
   * @param value - the value to send; do not change the value after the call
   * @example
   * ```ts
   * news.next('hello, everybody');
   * ```
   * @see rules B1 to B3, B6 and B7
   */
  next(value: Out): void {
    if (this.outcome !== undefined || this.members.size === 0) return;
    if (this.sink.add(this.encoder, value) !== undefined) {
      // A bad value may come from one member, and must not end the connections of the other members.
      this.refusedCount++;
      return;
    }
    // A value sent during a flush also has to reach the members that the flush has already served.
    if (this.batch.length === 0 || this.flushing) this.announce(this.members.keys());
    else if (this.upToDate.length > 0) this.announce(this.upToDate.splice(0));
    const bytes = this.sink.takeAll();
    this.batch.push(bytes);
    this.batchBytes += bytes.length;
    if (this.batchBytes > maxBatchBytes) this.flush();
  }

  /**
   * Ends the sending side of every member after the values already sent, and removes all members. A connection that
   * joins later is completed immediately.
   *
   * @example
   * ```ts
   * news.complete();
   * ```
   * @see rules B4 and C6
   */
  complete(): void {
    this.finish({});
  }

  /**
   * Destroys the connection of every member, and removes all members. Values that these connections have not sent yet
   * are dropped. A connection that joins later is destroyed immediately.
   *
   * @param reason - the members' channels fail with `ERR_CLOSED`, and `reason` is the `cause` of that error
   * @example
   * ```ts
   * news.error(new Error('the source of the news has failed'));
   * ```
   * @see rules B4 and C8
   */
  error(reason: unknown): void {
    this.finish({ reason });
  }

  /**
   * Makes each member ask for the member's missing values before anything else is sent on the member's connection (B1).
   */
  private announce(outbounds: Iterable<Outbound>): void {
    let scheduler: FlushScheduler | undefined;
    for (const outbound of outbounds) {
      if (!this.members.has(outbound)) continue;
      outbound.announce(this.publisher);
      // Members on the same transport share a scheduler. Add the publisher to each scheduler only once.
      if (outbound.scheduler === scheduler) continue;
      scheduler = outbound.scheduler;
      scheduler?.addPublisher(this.publisher);
    }
  }

  /** Concatenates the values of the batch once, and gives each member the same bytes (B2). */
  private flush(): void {
    const { batch, batchStart } = this;
    const count = batch.length;
    if (count === 0 || this.flushing) return;
    this.flushing = true;
    const all = count === 1 ? (batch[0] as Uint8Array) : Buffer.concat(batch);
    for (const [outbound, member] of this.members) {
      outbound.clearPublisher(this.publisher);
      if (member.given === batchStart && batch.length === count) {
        member.given += count;
        publish(outbound, all, batch);
      } else this.give(outbound, member);
    }
    this.flushing = false;
    // If a member fails during the flush, code that is notified of the failure may send more values. The next flush
    // sends these values.
    if (batch.length > count) return;
    this.batchStart += count;
    this.batch = [];
    this.batchBytes = 0;
    this.upToDate = [];
  }

  private settle(outbound: Outbound): void {
    const member = this.members.get(outbound);
    if (member === undefined) return;
    this.upToDate.push(outbound);
    this.give(outbound, member);
  }

  private give(outbound: Outbound, member: Member): void {
    const rest = this.batch.slice(member.given - this.batchStart);
    if (rest.length === 0) return;
    member.given += rest.length;
    publish(outbound, rest.length === 1 ? (rest[0] as Uint8Array) : Buffer.concat(rest), rest);
  }

  private leave(outbound: Outbound): void {
    outbound.pullFrom(this.publisher);
    this.members.delete(outbound);
  }

  private finish(outcome: { readonly reason?: unknown }): void {
    if (this.outcome !== undefined) return;
    this.outcome = outcome;
    const members = [...this.members.values()];
    for (const { membership } of members) membership.unsubscribe();
    for (const { connection } of members) end(connection, outcome);
  }
}

/**
 * Sends encoded values together if they fit into the connection's buffer. If the values do not fit, sends them one at a
 * time, so that `overflow` applies to each value (B3).
 */
function publish(outbound: Outbound, all: Uint8Array, values: readonly Uint8Array[]): void {
  if (values.length === 1 || all.length <= outbound.room) outbound.push(outbound.lane, encoded, all, 'free');
  else for (const value of values) outbound.push(outbound.lane, encoded, value, 'free');
}

function end(connection: SocketConnection<any, any>, outcome: { readonly reason?: unknown }): void {
  if ('reason' in outcome) connection.destroy(outcome.reason);
  else connection.complete();
}
