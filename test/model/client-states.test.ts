import fc from 'fast-check';
import type { Subscription } from 'rxjs';
import {
  type Address,
  type Client,
  connect,
  type Connection,
  type ConnectionState,
  type Hold,
  listen,
  type Server,
  SocketError,
} from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { memory, type Place, tcp, unix } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { turns, until } from '../support/scheduling/event-loop.js';

/** What a watcher does within the notifications that it gets. */
const manners = [
  'plain',
  'leaves at once',
  'leaves when connected',
  'joins at disconnected',
  'joins at its end',
] as const;
type Manner = (typeof manners)[number];

type Step =
  | { readonly does: 'join'; readonly manner: Manner }
  | { readonly does: 'leave' | 'stop reading'; readonly index: number }
  | { readonly does: 'turns'; readonly count: number }
  | {
      readonly does:
        | 'read'
        | 'hold'
        | 'release'
        | 'send'
        | 'end'
        | 'destroy'
        | 'serve'
        | 'serve no more'
        | 'server ends'
        | 'server resets';
    };

const step = (): fc.Arbitrary<Step> =>
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ does: fc.constant('join'), manner: fc.constantFrom(...manners) }) },
    { weight: 3, arbitrary: fc.record({ does: fc.constantFrom('leave', 'stop reading'), index: fc.nat(5) }) },
    { weight: 5, arbitrary: fc.record({ does: fc.constant('turns'), count: fc.integer({ min: 1, max: 6 }) }) },
    {
      weight: 8,
      arbitrary: fc.record({
        does: fc.constantFrom(
          'read',
          'hold',
          'release',
          'send',
          'end',
          'destroy',
          'serve',
          'serve',
          'serve no more',
          'server ends',
          'server resets',
        ),
      }),
    },
  );

class Watcher {
  /** A letter for each event: `c`onnecting, con`n`ected, `d`isconnected, and at the end `C`ompletion or `E`rror. */
  story = '';
  left = false;
  last: ConnectionState<string> | undefined;
  failure: unknown;
  readonly subscription: Subscription;

  constructor(world: World, manner: Manner) {
    world.watchers.push(this);
    this.subscription = world.client.subscribe({
      next: (state) => {
        this.last = state;
        expect(state.attempt).toBe(1);
        switch (state.status) {
          case 'connecting':
            this.story += 'c';
            expect(state.address).toEqual(world.address);
            break;
          case 'connected':
            this.story += 'n';
            break;
          case 'disconnected':
            this.story += 'd';
            if (manner === 'joins at disconnected') new Watcher(world, 'plain');
            break;
          case 'waiting':
            expect.unreachable('nothing is dialled again');
        }
        if (manner === 'leaves at once' || (manner === 'leaves when connected' && state.status === 'connected')) {
          this.leave();
        }
      },
      error: (error: unknown) => {
        this.story += 'E';
        this.failure = error;
        if (manner === 'joins at its end') new Watcher(world, 'plain');
      },
      complete: () => {
        this.story += 'C';
        if (manner === 'joins at its end') new Watcher(world, 'plain');
      },
    });
    // It is possible that the watcher has left within the call of `subscribe`.
    if (this.left) this.subscription.unsubscribe();
  }

  leave(): void {
    this.left = true;
    (this.subscription as Subscription | undefined)?.unsubscribe();
  }

  get isThere(): boolean {
    return !this.left && !/[CE]$/.test(this.story);
  }

  /** Checks that the watcher, which joined at any time, got the states in the order of rule K2, without reconnect. */
  judge(): void {
    expect(this.story).toMatch(this.left ? /^(c?n?|c?n?d[CE]?)$/ : /^(c|c?n|c?n?d[CE])$/);
    if (this.last?.status !== 'disconnected') return;
    if (this.left && this.story.endsWith('d')) return;
    expect(this.story.endsWith('E')).toBe(this.last.error !== undefined);
    if (this.last.error === undefined) return;
    expect(this.last.error).toBe(this.failure);
    expect(this.failure).toBeInstanceOf(SocketError);
  }
}

class Reader {
  readonly values: string[] = [];
  ends = 0;
  readonly subscription: Subscription;

  constructor(client: Client<string, string>) {
    this.subscription = client.data.subscribe({
      next: (value) => {
        expect(this.ends).toBe(0);
        this.values.push(value);
      },
      error: () => this.ends++,
      complete: () => this.ends++,
    });
  }
}

class World {
  readonly address: Address;
  readonly client: Client<string, string>;
  readonly server: Server<string, string>;
  readonly watchers: Watcher[] = [];
  readonly readers: Reader[] = [];
  readonly holds: Hold[] = [];
  serving: Subscription | undefined;

  constructor(place: Place, address: Address) {
    this.address = address;
    this.client = connect(address, { ...place.options, codec: lines() });
    this.server = listen(address, { ...place.options, codec: lines() });
  }

  async take(step: Step): Promise<void> {
    const { client } = this;
    switch (step.does) {
      case 'join': {
        const others = this.watchers.filter((other) => other.isThere);
        const watcher = new Watcher(this, step.manner);
        // The new watcher gets the state that all other watchers have got last.
        for (const other of others) expect(watcher.last).toBe(other.last);
        break;
      }
      case 'leave':
        this.watchers[step.index]?.leave();
        break;
      case 'read':
        this.readers.push(new Reader(client));
        break;
      case 'stop reading':
        this.readers[step.index]?.subscription.unsubscribe();
        break;
      case 'hold':
        this.holds.push(client.data.hold());
        break;
      case 'release':
        this.holds.shift()?.release();
        break;
      case 'send':
        client.data.next('hello');
        break;
      case 'end':
        client.data.complete();
        break;
      case 'destroy':
        client.data.error('enough');
        break;
      case 'serve':
        this.serving ??= this.server.subscribe((connection) => serve(connection));
        break;
      case 'serve no more':
        this.serving?.unsubscribe();
        this.serving = undefined;
        break;
      case 'server ends':
        for (const connection of this.server.connections) connection.data.complete();
        break;
      case 'server resets':
        for (const connection of this.server.connections) connection.destroy();
        break;
      case 'turns':
        await turns(step.count);
    }
  }

  async end(): Promise<void> {
    for (const hold of this.holds) hold.release();
    await turns();
    for (const watcher of this.watchers) watcher.judge();
    // All watchers that are still present have seen the same last state.
    expect(new Set(this.watchers.filter((watcher) => watcher.isThere).map(({ last }) => last)).size).toBeLessThan(2);
    const stories = this.watchers.map(({ story }) => story);
    for (const watcher of this.watchers) watcher.leave();
    for (const reader of this.readers) reader.subscription.unsubscribe();
    await until(() => this.server.connections.size === 0 || this.serving === undefined);
    this.serving?.unsubscribe();
    for (const connection of this.server.connections) connection.destroy();
    await until(() => this.server.connections.size === 0);
    expect(
      this.watchers.map(({ story }) => story),
      'watchers that have left get nothing',
    ).toEqual(stories);
    for (const reader of this.readers) {
      expect(reader.ends).toBeLessThan(2);
      expect(reader.values.every((value) => value === 'welcome' || value === 'hello')).toBe(true);
    }
  }
}

function serve(connection: Connection<string, string>): void {
  connection.data.next('welcome');
  connection.data.subscribe(connection.data);
}

describe.each([
  ['memory', memory(), 300],
  ['tcp', tcp, 60],
  ['unix', unix, 60],
] as const)('the states of a client on %s', (_name, place, numRuns) => {
  it('K2: the states come in the documented order, whatever the server and the subscribers do', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step(), { maxLength: 40 }), async (steps) => {
        // `address` is free, and stays the same when the server restarts.
        const { address, subscription } = await serverAt(place, () => undefined);
        subscription.unsubscribe();
        const world = new World(place, address);
        for (const step of steps) await world.take(step);
        await world.end();
      }),
      { numRuns },
    );
  });
});
