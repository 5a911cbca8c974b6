import { type Observer, Subscription } from 'rxjs';
import { bytes } from '../codecs/raw-bytes.js';
import type { Codec, Encoder } from '../codecs/codec.js';
import type { Connection } from '../connection/connection.js';
import { SocketConnection } from '../connection/socket-connection.js';
import { SocketError } from '../errors/socket-error.js';
import type { Outbound, Publisher } from '../io/outbound.js';
import { WriteBuffer } from '../io/write-buffer.js';
import type { FlushScheduler } from '../scheduling/flush-scheduler.js';

/** What was encoded once is sent as it is. */
const encoded: Encoder<Uint8Array> = {
  encode(value, into) {
    into.bytes(value);
  },
};

/** The values of a turn are given to the members when so many bytes of them wait, at the latest. */
const mostPublished = 65_536;

/** One membership. */
interface Member {
  readonly connection: SocketConnection<any, any>;
  readonly membership: Subscription;
  /** How many of all the values it has, or is not to get since it joined after them. */
  given: number;
}

/**
 * Sends one message to many connections: encoded once, and written to each in one write a turn.
 *
 * A connection that ends leaves by itself. A member that is too slow costs only itself: its own `maxBuffered` and
 * `overflow` act. Apart from that, from `size` and `refused`, and from what it costs, it is equivalent to:
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
 * @typeParam Out - what it sends
 * @emits none: it is an Observer, which any Observable can be subscribed to
 * @throws none, but for {@link Broadcast.join}
 * @backpressure none, as `next` has none: what a member has not taken waits in its own connection, up to `maxBuffered`,
 * and then that member's `overflow` acts. It keeps values until the end of the turn, at most 65,536 bytes and one value
 * @teardown members leave by unsubscribing, or when their connection ends; `complete` and `error` end it for good
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
  /** The turn's values, encoded, and how many there were before them. */
  private values: Uint8Array[] = [];
  private before = 0;
  private waiting = 0;
  private flushing = false;
  /** Members that were given what there was before the turn's end: they are to be told of what comes after it. */
  private ahead: Outbound[] = [];
  private refusals = 0;
  private outcome: { readonly reason?: unknown } | undefined;
  private readonly publisher: Publisher = {
    flush: () => {
      this.flush();
    },
    settle: (outbound) => {
      this.settle(outbound);
    },
  };

  /**
   * Makes a Broadcast without members.
   *
   * @param codec - how a value becomes bytes, whatever the codec of a member is; none by default: bytes and UTF-8 text.
   * All members get what one encoder writes, so each value must be a whole frame by itself
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
   * Counts the members.
   *
   * @returns a number of connections, 0 and more
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
   * Counts the values that `next` was given and that can't be encoded, which nobody got.
   *
   * @returns a number of values, 0 and more
   * @example
   * ```ts
   * if (news.refused > 0) console.log(`${news.refused} lines could not be sent`);
   * ```
   * @see rules B6 and D5
   */
  get refused(): number {
    return this.refusals;
  }

  /**
   * Takes a connection in: it gets every value from now on, until it leaves.
   *
   * Who joins twice is one member, with one membership. A connection whose sending side has ended does not become one; after `complete` or
   * `error` a connection that joins is ended in the same way.
   *
   * @param connection - a connection of a server or of a client, of this library
   * @returns the membership: unsubscribe to leave. What was given to `next` before that is still sent
   * @throws `ERR_OPTION_INVALID`, at once, for what is no connection of this library
   * @backpressure as of {@link Broadcast}
   * @teardown unsubscribing leaves, and does not end the connection; a connection that ends leaves by itself (B4)
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
    this.members.set(outbound, { connection, membership, given: this.before + this.values.length });
    if (this.values.length > 0) this.ahead.push(outbound);
    const leave = (): void => {
      membership.unsubscribe();
    };
    membership.add(connection.closed.subscribe({ complete: leave, error: leave }));
    return membership;
  }

  /**
   * Sends a value to all who are members now.
   *
   * It comes in one order with what else is sent on a member's connection in the same turn, and the values of a turn
   * reach each member in one write, up to 65,536 bytes. Without members nothing is encoded.
   *
   * @param value - what to send; it must not be changed afterwards (C19)
   * @throws none: a value that can't be encoded is sent to nobody, and counted in {@link Broadcast.refused}
   * @backpressure none: it never waits. A member's own `overflow` acts where more than its `maxBuffered` would wait (B3)
   * @teardown none; ignored after `complete` and `error`
   * @example
   * ```ts
   * news.next('hello, everybody');
   * ```
   * @see rules B1 to B3, B6 and B7
   */
  next(value: Out): void {
    if (this.outcome !== undefined || this.members.size === 0) return;
    if (this.sink.add(this.encoder, value) !== undefined) {
      // It may be one member's doing, so it must not end the others: nobody gets it, and it is counted.
      this.refusals++;
      return;
    }
    // What is sent from within a flush is for those who were served already, too.
    if (this.values.length === 0 || this.flushing) this.announce(this.members.keys());
    else if (this.ahead.length > 0) this.announce(this.ahead.splice(0));
    const bytes = this.sink.takeAll();
    this.values.push(bytes);
    this.waiting += bytes.length;
    if (this.waiting > mostPublished) this.flush();
  }

  /**
   * Ends the sending side of every member, after what was sent.
   *
   * @teardown it has no members any more, and takes none; whoever joins later is completed at once
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
   * Destroys the connection of every member.
   *
   * @param reason - the `cause` of the `ERR_CLOSED` that each of them is told on this side
   * @emits `ERR_CLOSED` to the subscribers of the members' channels, at once (C8)
   * @backpressure none: what waits is dropped
   * @teardown it has no members any more, and takes none; whoever joins later is destroyed at once
   * @example
   * ```ts
   * news.error(new Error('the source of the news has failed'));
   * ```
   * @see rules B4 and C8
   */
  error(reason: unknown): void {
    this.finish({ reason });
  }

  /** Has the members ask for what they lack before anything else is sent on their connections (B1). */
  private announce(outbounds: Iterable<Outbound>): void {
    let turn: FlushScheduler | undefined;
    for (const outbound of outbounds) {
      if (!this.members.has(outbound)) continue;
      outbound.await(this.publisher);
      // Members of one transport share their turns; one flush serves all members, however often it is asked for.
      if (outbound.turn === turn) continue;
      turn = outbound.turn;
      turn?.addPublisher(this.publisher);
    }
  }

  /** The turn is over: its values are joined once, and each member is given the same bytes (B2). */
  private flush(): void {
    const { values, before } = this;
    const count = values.length;
    if (count === 0 || this.flushing) return;
    this.flushing = true;
    const all = count === 1 ? (values[0] as Uint8Array) : Buffer.concat(values);
    for (const [outbound, member] of this.members) {
      outbound.settled(this.publisher);
      if (member.given === before && values.length === count) {
        member.given += count;
        publish(outbound, all, values);
      } else this.give(outbound, member);
    }
    this.flushing = false;
    // Whoever fails because of it may be spoken of at once: that is given when the publisher's turn comes again.
    if (values.length > count) return;
    this.before += count;
    this.values = [];
    this.waiting = 0;
    this.ahead = [];
  }

  private settle(outbound: Outbound): void {
    const member = this.members.get(outbound);
    if (member === undefined) return;
    this.ahead.push(outbound);
    this.give(outbound, member);
  }

  /** Gives a member what it lacks. */
  private give(outbound: Outbound, member: Member): void {
    const rest = this.values.slice(member.given - this.before);
    if (rest.length === 0) return;
    member.given += rest.length;
    publish(outbound, rest.length === 1 ? (rest[0] as Uint8Array) : Buffer.concat(rest), rest);
  }

  private leave(outbound: Outbound): void {
    outbound.settle(this.publisher);
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

/** Sends several encoded values: together where they fit, else one by one, so that the policy acts on each (B3). */
function publish(outbound: Outbound, all: Uint8Array, values: readonly Uint8Array[]): void {
  if (values.length === 1 || all.length <= outbound.room) outbound.push(outbound.lane, encoded, all, 'free');
  else for (const value of values) outbound.push(outbound.lane, encoded, value, 'free');
}

function end(connection: SocketConnection<any, any>, outcome: { readonly reason?: unknown }): void {
  if ('reason' in outcome) connection.destroy(outcome.reason);
  else connection.complete();
}
