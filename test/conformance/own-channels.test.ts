import * as fc from 'fast-check';
import type net from 'node:net';
import { interval, lastValueFrom, map, noop, Observable, repeat, retry } from 'rxjs';
import {
  type Address,
  Broadcast,
  type Channel,
  type Client,
  connect,
  type Connection,
  type ConnectOptions,
  sendTo,
} from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { nothingLeftOf } from '../faults/nothing-left.js';
import { type Place, realPlaces } from '../support/transport/places.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { abort } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';

type Lines = Client<string, string>;
type Own = Connection<string, string>;

interface Far {
  readonly address: Address;
  readonly sockets: net.Socket[];
  readonly received: string[];
}

/** Starts a plain server that does not read from its first `slow` connections. */
async function far(place: Place, slow = 0): Promise<Far> {
  const sockets: net.Socket[] = [];
  const received: string[] = [];
  const address = await rawServer(place, (socket) => {
    const number = sockets.push(socket);
    received.push('');
    if (number <= slow) {
      socket.pause();
      return;
    }
    socket.on('data', (chunk: Buffer) => {
      received[number - 1] = (received[number - 1] ?? '') + chunk.toString('latin1');
    });
    socket.on('end', () => socket.end());
  });
  return { address, sockets, received };
}

function dial(address: Address, options: ConnectOptions<string, string> = {}): { client: Lines; connections: Own[] } {
  const client = connect<string, string>(address, { codec: lines({ maxLength: 200_000 }), ...options });
  const connections: Own[] = [];
  const subscription = client.subscribe({
    next: (state) => {
      if (state.status === 'connected') connections.push(state.connection);
    },
    error: noop,
  });
  onTestFinished(() => {
    subscription.unsubscribe();
    for (const connection of connections) connection.destroy();
  });
  return { client, connections };
}

function* lots(counter: { pulled: number }, size = 100_000): Generator<string> {
  for (; counter.pulled < 500; counter.pulled++) yield 'o'.repeat(size);
}

const ends: Record<string, (far: Far, near: Own, client: Lines) => Promise<unknown> | void> = {
  'a reset': ({ sockets }, near) => abort(sockets[0]!, near),
  'its own destroy': (_, near) => near.destroy(),
  "its channel's error": (_, near) => near.data.error(new Error('a whim')),
  'its close': (_, near) => {
    void near.close();
  },
};

describe.each(realPlaces)("a connection's own channels on $name", (place) => {
  describe.each([true, false])('with `reconnect`: %s', (reconnects) => {
    const options: ConnectOptions<string, string> = {
      closeTimeout: 50,
      ...(reconnects ? { reconnect: { delay: 1 } } : {}),
    };

    it.each(Object.keys(ends))('C5, C21: everything pending on a connection ends after %s', async (how) => {
      const server = await far(place, 1);
      const { client, connections } = dial(server.address, options);
      await until(() => connections.length === 1);
      const near = connections[0]!;
      const counter = { pulled: 0 };
      const writable = record(near.data.writable);
      const sendFrom = record(near.data.sendFrom(lots(counter)));
      await until(() => writable.values.at(-1) === false);
      const framed = record(near.bytes.framed(lines()).sendFrom(['never']));
      const piped = record(
        interval(1).pipe(
          map((n) => `tick ${n}`),
          sendTo(near.data),
        ),
      );
      let stopped = false;
      const source = new Observable<string>(() => () => {
        stopped = true;
      });
      const idle = record(near.data.sendFrom(source));
      const sent = near.data.send('never').then(
        () => 'sent',
        (error: unknown) => (error as { code: string }).code,
      );
      await ends[how]!(server, near, client);
      for (const recording of [sendFrom, framed, piped, idle]) {
        const error = await recording.end();
        expect(['ERR_CLOSED', 'ERR_TIMEOUT_CLOSE', 'ECONNRESET', 'EPIPE']).toContain((error as { code: string }).code);
      }
      // Until a reset or a close takes effect, it is possible that the kernel still takes the value.
      if (!['a reset', 'its close'].includes(how)) expect(await sent).not.toBe('sent');
      await sent;
      expect(stopped).toBe(true);
      expect(await writable.end()).toBe('complete');
      expect(writable.values.at(-1)).toBe(false);
      expect(counter.pulled).toBeLessThan(500);
      const { pulled } = counter;
      expect(near.data.closed).toBe(true);
      near.data.next('never');
      near.bytes.next('never');
      await expect(near.data.send('never')).rejects.toThrow();
      if (reconnects) await until(() => connections.length === 2);
      else await lastValueFrom(near.closed);
      client.data.next('client');
      if (!reconnects) {
        // It is possible that `data` first reports the end of the first connection (K8).
        const next = record(client.data.pipe(retry(1), repeat(2)));
        onTestFinished(() => {
          next.subscription.unsubscribe();
        });
      }
      await until(() => server.received[1] === 'client\n');
      await turns();
      expect(counter.pulled).toBe(pulled);
      expect(server.received[1]).toBe('client\n');
    });
  });

  it('C5: when a connection ends during a `sendFrom` on it, a source with a pending `next()` is stopped, and the value of that `next()` does not go out on the next connection', async () => {
    const server = await far(place);
    const { client, connections } = dial(server.address, { reconnect: { delay: 1 } });
    await until(() => connections.length === 1);
    let give: (line: IteratorResult<string>) => void = noop;
    let returned = 0;
    const source: AsyncIterable<string> = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise((resolve) => (give = resolve)),
        return: () => {
          returned++;
          return Promise.resolve({ done: true, value: undefined });
        },
      }),
    };
    const sendFrom = record(connections[0]!.data.sendFrom(source));
    await turns(3);
    connections[0]!.destroy();
    await sendFrom.end();
    await until(() => connections.length === 2);
    give({ done: false, value: 'own' });
    client.data.next('client');
    await until(() => server.received[1] !== '');
    await turns();
    expect(server.received[1]).toBe('client\n');
    expect(returned).toBe(1);
  });

  it("C5: `complete` of a connection's own channel ends only that connection, after everything sent so far on the client and on the connection", async () => {
    const server = await far(place);
    const { client, connections } = dial(server.address, { reconnect: { delay: 1 } });
    await until(() => connections.length === 1);
    connections[0]!.data.next('own 1');
    client.data.next('client 1');
    connections[0]!.data.next('own 2');
    connections[0]!.data.complete();
    client.data.next('client 2');
    connections[0]!.data.next('never');
    expect([client.data.closed, connections[0]!.data.closed]).toEqual([false, true]);
    await until(() => server.received[1] === 'client 2\n');
    expect(server.received[0]).toBe('own 1\nclient 1\nown 2\n');
  });

  it('C5, S18: the client keeps no reference to a connection that has ended', async () => {
    const sockets: net.Socket[] = [];
    const address = await rawServer(place, (socket) => {
      sockets.push(socket);
      socket.resume();
      socket.on('end', () => socket.end());
    });
    const client = connect<string, string>(address, { codec: lines(), reconnect: { delay: 1 } });
    await nothingLeftOf(async (mark) => {
      let count = 0;
      await new Promise<void>((resolve) => {
        const subscription = client.subscribe((state) => {
          if (state.status !== 'connected') return;
          const { connection } = state;
          // The last connection is not checked for references, because this callback still refers to that connection.
          if (count < 19) {
            mark<object>(connection);
            mark<object>(connection.data);
          }
          connection.data.subscribe({ error: noop });
          connection.data.writable.subscribe(noop);
          connection.data.sendFrom(new Observable<string>(noop)).subscribe({ error: noop });
          client.data.next('client');
          if (++count < 20) setImmediate(() => connection.destroy());
          else {
            subscription.unsubscribe();
            resolve();
          }
        });
      });
      await until(() => sockets.every((socket) => socket.destroyed));
    });
  });

  it('B1, C5, K4, K12: in every interleaving of sends and ends, values arrive in order and at most once, and a value sent on the own channel of a connection arrives on no other connection', async () => {
    const action = fc.constantFrom(
      'client',
      'own',
      'large',
      'broadcast',
      'sendFrom',
      'turn',
      'turn',
      'reset',
      'complete',
    );
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 5, maxLength: 40 }), fc.nat(2), async (actions, slow) => {
        await interleave(place, actions, slow);
      }),
      { numRuns: 25 },
    );
  });
});

/** Performs the actions, and checks what each connection of the server received. */
async function interleave(place: Place, actions: readonly string[], slow: number): Promise<void> {
  const server = await far(place, slow);
  const options = { reconnect: { delay: 1 }, closeTimeout: 20, highWaterMark: 50_000 };
  const { client, connections } = dial(server.address, options);
  await until(() => connections.length === 1 && server.sockets.length === 1);
  const broadcast = new Broadcast<string>(lines({ maxLength: 200_000 }));
  let number = 0;
  const pending = new Set<number>();
  const watch = (sent: Promise<unknown>): void => {
    const id = number;
    pending.add(id);
    const settled = (): void => {
      expect(pending.delete(id)).toBe(true);
    };
    sent.then(settled, settled);
  };
  const give = (channel: Channel<string, string>, prefix: string, size: number): void => {
    watch(channel.send(`${prefix} ${++number} ${'x'.repeat(size)}`));
  };
  for (const action of actions) {
    const near = connections.at(-1)!;
    const own = `own${connections.length}`;
    if (action === 'client') give(client.data, 'client', 10);
    else if (action === 'own') give(near.data, own, 10);
    else if (action === 'large')
      give(number % 2 === 0 ? client.data : near.data, number % 2 === 0 ? 'client' : own, 90_000);
    else if (action === 'broadcast') {
      broadcast.join(near);
      broadcast.next(`${own} ${++number} b`);
    } else if (action === 'sendFrom') {
      const feed = ++number;
      const pulled = function* (): Generator<string> {
        for (let count = 0; count < 3; count++) yield `feed${feed} ${count} ${'x'.repeat(20_000)}`;
      };
      client.data.sendFrom(pulled()).subscribe({ error: noop });
    } else if (action === 'turn') await turns(1);
    else if (action === 'complete') near.data.complete();
    else near.destroy();
  }
  // The test sends the last value on a connection from which the server reads.
  await until(() => {
    for (const socket of server.sockets.slice(0, slow)) socket.destroy();
    return connections.length > slow && connections.at(-1)?.data.closed === false;
  });
  const last = `client ${++number} last`;
  client.data.next(last);
  await until(() => server.received.some((text) => text.includes(`${last}\n`)));
  await until(() => pending.size === 0);
  const lastOf = new Map<string, number>();
  server.received.forEach((text, at) => {
    if (at < slow) return;
    for (const line of text.split('\n').slice(0, -1)) {
      expect(line).toMatch(/^(client|feed\d+|own\d+) \d+ (x*|b|last)$/);
      const [prefix = '', count] = line.split(' ');
      // If the numbers of each source increase across the connections, no value has arrived twice.
      expect(Number(count)).toBeGreaterThan(lastOf.get(prefix) ?? -1);
      lastOf.set(prefix, Number(count));
      if (prefix.startsWith('own')) expect(prefix).toBe(`own${at + 1}`);
    }
  });
  connections.at(-1)!.destroy();
}
