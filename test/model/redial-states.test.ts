import fc from 'fast-check';
import type { Subscription } from 'rxjs';
import { type Address, type Client, connect, type ConnectionState, type Hold, listen, type Server } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { expectFollows } from '../support/client/state-order.js';
import { memory, type Place, tcp, unix } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const acts = [
  'watch',
  'leave',
  'read',
  'stop reading',
  'hold',
  'release',
  'send',
  'send many',
  'iterate',
  'serve',
  'serve no more',
  'server ends',
  'server resets',
  'end',
  'destroy',
] as const;

type Step = { readonly does: (typeof acts)[number]; readonly index: number } | { readonly turns: number };

const often = (act: (typeof acts)[number]): number => {
  if (act === 'end' || act === 'destroy') return 1;
  return act === 'serve' || act === 'send' ? 8 : 4;
};

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 30, arbitrary: fc.record({ turns: fc.integer({ min: 1, max: 8 }) }) },
  ...acts.map((does) => ({
    weight: often(does),
    arbitrary: fc.record({ does: fc.constant(does), index: fc.nat(3) }),
  })),
);

/** A subscription to the states. Checks the order of the states (K2). */
class Watcher {
  last: ConnectionState<string, string> | undefined;
  ended = false;
  readonly subscription: Subscription;

  constructor(client: Client<string, string>) {
    this.subscription = client.subscribe({
      next: (state) => this.next(state),
      error: () => (this.ended = true),
      complete: () => (this.ended = true),
    });
  }

  private next(state: ConnectionState<string, string>): void {
    const { last } = this;
    expect(this.ended).toBe(false);
    expect(this.subscription?.closed ?? false).toBe(false);
    if (last !== undefined) {
      expectFollows(last, state);
      if (state.status === 'waiting' && last.status === 'disconnected') expect(state.error).toBe(last.error);
    }
    this.last = state;
  }
}

class World {
  readonly client: Client<string, string>;
  readonly server: Server<string, string>;
  readonly watchers: Watcher[] = [];
  readonly readers: { readonly subscription: Subscription; ends: number }[] = [];
  readonly holds: Hold[] = [];
  readonly iterators: AsyncIterator<string>[] = [];
  /** The messages that have arrived at the server, and the messages that have come back to the client, by number. */
  readonly arrived: number[] = [];
  readonly echoed: number[] = [];
  private sent = 0;
  private serving: Subscription | undefined;

  constructor(place: Place, address: Address) {
    this.client = connect(address, { ...place.options, codec: lines(), reconnect: { delay: 1 }, claimTimeout: 0 });
    this.server = listen(address, { ...place.options, codec: lines(), claimTimeout: 0 });
  }

  take(does: (typeof acts)[number], index: number): void {
    const { client, server } = this;
    switch (does) {
      case 'watch':
        this.watchers.push(new Watcher(client));
        break;
      case 'leave':
        this.watchers.splice(index, 1)[0]?.subscription.unsubscribe();
        break;
      case 'read':
        this.read();
        break;
      case 'stop reading':
        this.readers.splice(index, 1)[0]?.subscription.unsubscribe();
        break;
      case 'hold':
        this.holds.push(client.data.hold());
        break;
      case 'release':
        this.holds.shift()?.release();
        break;
      case 'send':
        client.data.send(String(this.sent++)).catch(() => undefined);
        break;
      case 'send many':
        for (let i = 0; i < 200; i++) client.data.next(String(this.sent++));
        break;
      case 'iterate':
        this.iterators.push(client.data[Symbol.asyncIterator]());
        this.iterators[0]?.next().catch(() => undefined);
        break;
      case 'serve':
        this.serve();
        break;
      case 'serve no more':
        this.serving?.unsubscribe();
        this.serving = undefined;
        break;
      case 'server ends':
        for (const connection of server.connections) connection.data.complete();
        break;
      case 'server resets':
        for (const connection of server.connections) connection.destroy();
        break;
      case 'end':
        client.data.complete();
        break;
      case 'destroy':
        client.data.error('enough');
    }
  }

  async end(): Promise<void> {
    for (const hold of this.holds) hold.release();
    for (const iterator of this.iterators) void iterator.return?.();
    await turns();
    for (const watcher of this.watchers) watcher.subscription.unsubscribe();
    for (const reader of this.readers) {
      expect(reader.ends).toBeLessThan(2);
      reader.subscription.unsubscribe();
    }
    this.serving?.unsubscribe();
    for (const connection of this.server.connections) connection.destroy();
    await until(() => this.server.connections.size === 0);
    // If the numbers increase, no value was sent twice, and no value has overtaken another value.
    for (const numbers of [this.arrived, this.echoed]) {
      for (const [index, number] of numbers.entries())
        if (index > 0) expect(number).toBeGreaterThan(numbers[index - 1]!);
    }
  }

  private read(): void {
    const reader = { ends: 0, subscription: undefined as unknown as Subscription };
    reader.subscription = this.client.data.subscribe({
      // All readers get the same values, so only the values of the first reader are checked.
      next: (line) => {
        if (this.readers[0] === reader) this.echoed.push(Number(line));
      },
      error: () => reader.ends++,
      complete: () => reader.ends++,
    });
    this.readers.push(reader);
  }

  private serve(): void {
    this.serving ??= this.server.subscribe((connection) => {
      connection.data.subscribe({
        next: (line) => {
          this.arrived.push(Number(line));
          connection.data.next(line);
        },
        error: () => undefined,
      });
    });
  }
}

describe.each([
  ['memory', memory(), 200],
  ['tcp', tcp, 60],
  ['unix', unix, 60],
] as const)('a client with reconnect on %s', (_name, place, numRuns) => {
  it('K2: the states come in the documented order, and the client sends and emits each message at most once and in order (K4)', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { address, subscription } = await serverAt(place, () => undefined);
        subscription.unsubscribe();
        const world = new World(place, address);
        for (const step of steps) {
          if ('turns' in step) await turns(step.turns);
          else world.take(step.does, step.index);
        }
        await world.end();
      }),
      { numRuns },
    );
  });
});
