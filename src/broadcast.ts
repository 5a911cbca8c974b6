import { type Observer, Subscription } from 'rxjs';
import { bytes } from './bytes.js';
import type { Codec, Encoder } from './codec.js';
import type { Connection } from './connection.js';
import { SocketConnection } from './socket-connection.js';
import { SocketError } from './errors.js';
import type { Outbound, Publisher } from './io/outbound.js';
import { SendBuffer } from './io/send-buffer.js';
import type { Turn } from './io/turn.js';

/** What was encoded once is sent as it is. */
const encoded: Encoder<Uint8Array> = {
  encode(value, into) {
    into.bytes(value);
  },
};

/** One membership. */
interface Member {
  readonly connection: SocketConnection<any, any>;
  /** How many of the turn's values it has, or is not to get since it joined after them. */
  given: number;
}

export class Broadcast<Out = Uint8Array | string> implements Observer<Out> {
  private readonly encoder: Encoder<Out>;
  private readonly sink = new SendBuffer();
  private readonly members = new Map<Outbound, Member>();
  /** The turn's values, encoded. */
  private values: Uint8Array[] = [];
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

  constructor(codec?: Codec<unknown, Out>) {
    this.encoder = (codec ?? (bytes as unknown as Codec<unknown, Out>)).encoder();
  }

  get size(): number {
    return this.members.size;
  }

  /** How many values were given to `next` that can't be encoded; nobody got them. */
  get refused(): number {
    return this.refusals;
  }

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
    if (!this.members.has(outbound)) {
      this.members.set(outbound, { connection, given: this.values.length });
      if (this.values.length > 0) this.ahead.push(outbound);
    }
    const membership = new Subscription(() => {
      this.leave(outbound);
    });
    const leave = (): void => {
      membership.unsubscribe();
    };
    membership.add(connection.closed.subscribe({ complete: leave, error: leave }));
    return membership;
  }

  next(value: Out): void {
    if (this.outcome !== undefined || this.members.size === 0) return;
    if (this.sink.add(this.encoder, value) !== undefined) {
      // It may be one member's doing, so it must not end the others: nobody gets it, and it is counted.
      this.refusals++;
      return;
    }
    if (this.values.length === 0) this.announce(this.members.keys());
    else if (this.ahead.length > 0) this.announce(this.ahead.splice(0));
    this.values.push(this.sink.takeAll());
  }

  complete(): void {
    this.finish({});
  }

  error(reason: unknown): void {
    this.finish({ reason });
  }

  /** Has the members ask for what they lack before anything else is sent on their connections (B1). */
  private announce(outbounds: Iterable<Outbound>): void {
    let turn: Turn | undefined;
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
    const { values } = this;
    if (values.length === 0) return;
    const all = values.length === 1 ? (values[0] as Uint8Array) : Buffer.concat(values);
    for (const [outbound, member] of this.members) {
      const { given } = member;
      member.given = 0;
      outbound.settled(this.publisher);
      if (given === 0) publish(outbound, all, values);
      else if (given < values.length) publishRest(outbound, values, given);
    }
    this.values = [];
    this.ahead = [];
  }

  private settle(outbound: Outbound): void {
    const member = this.members.get(outbound);
    if (member === undefined || member.given === this.values.length) return;
    const { given } = member;
    member.given = this.values.length;
    this.ahead.push(outbound);
    publishRest(outbound, this.values, given);
  }

  private leave(outbound: Outbound): void {
    outbound.settle(this.publisher);
    this.members.delete(outbound);
  }

  private finish(outcome: { readonly reason?: unknown }): void {
    if (this.outcome !== undefined) return;
    this.outcome = outcome;
    const connections = [...this.members.values()].map((member) => member.connection);
    for (const outbound of [...this.members.keys()]) this.leave(outbound);
    for (const connection of connections) end(connection, outcome);
  }
}

function publishRest(outbound: Outbound, values: readonly Uint8Array[], given: number): void {
  const rest = values.slice(given);
  publish(outbound, rest.length === 1 ? (rest[0] as Uint8Array) : Buffer.concat(rest), rest);
}

/** Sends several encoded values: together where they fit, else one by one, so that the policy acts on each (B3). */
function publish(outbound: Outbound, all: Uint8Array, values: readonly Uint8Array[]): void {
  if (values.length === 1 || all.length <= outbound.room) outbound.push(encoded, all);
  else for (const value of values) outbound.push(encoded, value);
}

function end(connection: SocketConnection<any, any>, outcome: { readonly reason?: unknown }): void {
  if ('reason' in outcome) connection.destroy(outcome.reason);
  else connection.outbound.complete();
}
