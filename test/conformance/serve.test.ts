import net from 'node:net';
import { concat, firstValueFrom, interval, map, NEVER, Observable, of, Subject, throwError } from 'rxjs';
import {
  type Address,
  type Closed,
  type Connection,
  listen,
  type ListenOptions,
  serve,
  type ServeOptions,
  type Server,
  type SocketError,
} from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { peerAt } from '../support/sockets/peer.js';
import { settled } from '../support/scheduling/event-loop.js';
import { type Place, places, realPlaces, tcp } from '../support/transport/places.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { readAll } from '../support/sockets/read-socket.js';
import { type Recording, record } from '../support/recording/record.js';
import { refusal } from '../support/errors/refusal.js';
import { until } from '../support/scheduling/event-loop.js';

type Handler = Parameters<typeof serve<string, string>>[0];

interface Serving {
  readonly server: Server<string, string>;
  readonly address: Address;
  readonly outcomes: Recording<Closed>;
  readonly incidents: Recording<SocketError>;
}

async function serving(
  place: Place,
  handler: Handler,
  options: ListenOptions<string, string> & ServeOptions = {},
): Promise<Serving> {
  const { concurrent, ...rest } = options;
  const server = listen<string, string>(await place.address(), { codec: lines(), ...place.options, ...rest });
  const incidents = record(server.incidents);
  const outcomes = record(server.pipe(serve(handler, concurrent === undefined ? {} : { concurrent })));
  onTestFinished(() => {
    outcomes.subscription.unsubscribe();
    for (const connection of server.connections) connection.destroy();
  });
  return { server, outcomes, incidents, address: await firstValueFrom(server.listening) };
}

async function* generated(): AsyncGenerator<string> {
  yield 'one';
  await settled();
  yield 'two';
}

describe.each(places.map((place) => [place.name, place] as const))('serve on %s', (_name, place) => {
  it.each<[string, () => ReturnType<Handler>]>([
    ['an Observable', () => of('one', 'two')],
    ['an array', () => ['one', 'two']],
    ['an async iterable', generated],
    ['a promise', () => Promise.resolve('one\ntwo'.split('\n')[0] as string)],
  ])('S6: serve sends the output of a handler that returns %s, then ends the connection', async (kind, handler) => {
    const { address, outcomes, incidents } = await serving(place, handler);
    const client = await peerAt(place, address);
    await client.receives(kind === 'a promise' ? 'one\n' : 'one\ntwo\n');
    expect(await client.ended).toBe('fin');
    client.end();
    expect(await outcomes.count(1)).toMatchObject([{ reason: 'finished' }]);
    expect(outcomes.values[0]?.error).toBeUndefined();
    expect(incidents.values).toEqual([]);
  });

  it("S6: serve echoes if the handler returns the connection's data", async () => {
    const { address, outcomes } = await serving(place, ({ data }) => data.pipe(map((line) => line.toUpperCase())));
    const client = await peerAt(place, address);
    client.write('one\ntwo\n');
    await client.receives('ONE\nTWO\n');
    client.write('three');
    client.end();
    await client.receives('ONE\nTWO\nTHREE\n');
    expect(await client.ended).toBe('fin');
    expect(await outcomes.count(1)).toMatchObject([{ reason: 'finished', bytesRead: 13, bytesWritten: 14 }]);
  });

  it('S6: if an async handler resolves with nothing, serve sends nothing and ends the connection', async () => {
    const heard: string[] = [];
    const { address, outcomes } = await serving(place, async ({ data }) => {
      heard.push(await firstValueFrom(data));
      await settled();
      heard.push(await firstValueFrom(data));
    });
    const client = await peerAt(place, address);
    client.write('one\ntwo\nthree\n');
    expect(await client.ended).toBe('fin');
    client.end();
    await outcomes.count(1);
    expect(heard).toEqual(['one', 'two']);
    expect(outcomes.values).toMatchObject([{ reason: 'finished', bytesRead: 14, bytesWritten: 0 }]);
  });

  it('S6: a handler that returns nothing manages its connection itself', async () => {
    let connection: Connection<string, string> | undefined;
    const { address, outcomes } = await serving(place, (arrived) => {
      connection = arrived;
    });
    const client = await peerAt(place, address);
    client.write('hello\n');
    await settled();
    expect(connection?.data.closed).toBe(false);
    expect(outcomes.values).toEqual([]);
    const line = await firstValueFrom((connection as Connection<string, string>).data);
    connection?.data.next(`${line}!`);
    await client.receives('hello!\n');
    void connection?.close();
    expect(await client.ended).toBe('fin');
    client.end();
    expect(await outcomes.count(1)).toMatchObject([{ reason: 'finished' }]);
  });

  it('S6: after the output of the handler has completed, serve reads and discards input that has no subscriber', async () => {
    const { address, outcomes } = await serving(place, () => of('bye'));
    const client = await peerAt(place, address);
    expect(await client.ended).toBe('fin');
    // The kernel's buffers cannot hold all the input, so the client can finish only if the server reads.
    const text = 'x'.repeat(place.name === 'memory' ? 100_000 : 1_000_000);
    for (let part = 0; part < 8; part++) client.write(text);
    client.end();
    expect(await outcomes.count(1)).toMatchObject([{ reason: 'finished', bytesRead: 8 * text.length }]);
  });

  it('S6: after the output of the handler has completed, a subscriber still gets all the input', async () => {
    const heard: string[] = [];
    const { address, outcomes } = await serving(place, ({ data }) => {
      data.subscribe((line) => heard.push(line));
      return of('hello');
    });
    const client = await peerAt(place, address);
    expect(await client.ended).toBe('fin');
    client.write('one\ntwo\n');
    client.end();
    await outcomes.count(1);
    expect(heard).toEqual(['one', 'two']);
    expect(outcomes.values).toMatchObject([{ reason: 'finished' }]);
  });

  const boom = new Error('boom');
  it.each<[string, Handler]>([
    [
      'throws',
      () => {
        throw boom;
      },
    ],
    ['rejects', () => Promise.reject(boom)],
    ['returns an Observable that fails at once', () => throwError(() => boom)],
    [
      'returns an Observable that fails later',
      () =>
        concat(
          of('one'),
          throwError(() => boom),
        ),
    ],
    [
      'returns an iterable that throws',
      async function* () {
        await settled();
        yield 'one';
        throw boom;
      },
    ],
    [
      'ends the sending side, then rejects',
      async ({ data }) => {
        data.complete();
        await settled();
        throw boom;
      },
    ],
  ])('S6: if a handler %s, only its own connection fails, with ERR_HANDLER', async (_how, failing) => {
    let arrived = 0;
    const { server, address, outcomes, incidents } = await serving(place, (connection) =>
      ++arrived === 2 ? failing(connection) : connection.data,
    );
    const other = await peerAt(place, address);
    other.write('still ');
    await until(() => arrived === 1);
    const unlucky = await peerAt(place, address);
    const [closed] = await outcomes.count(1);
    expect(closed).toMatchObject({ reason: 'failed', error: { code: 'ERR_HANDLER', cause: boom } });
    expect(closed?.error?.message).toContain('boom');
    expect(await incidents.count(1)).toEqual([closed?.error]);
    await unlucky.ended;
    other.write('here\n');
    await other.receives('still here\n');
    expect(server.connections.size).toBe(1);
    expect(outcomes.endings).toEqual([]);
  });

  it('S6: if a handler returns something that is not a source, its connection fails with ERR_HANDLER', async () => {
    for (const nonsense of [null, 7, {}, Symbol('s')]) {
      const { address, outcomes } = await serving(place, (() => nonsense) as unknown as Handler);
      await peerAt(place, address);
      expect(await outcomes.count(1)).toMatchObject([{ reason: 'failed', error: { code: 'ERR_HANDLER' } }]);
    }
  });

  it('S6: if a connection ends before the source that its handler has returned, serve stops the source', async () => {
    let stopped = 0;
    const { address, outcomes, incidents } = await serving(
      place,
      () =>
        new Observable<string>(() => () => {
          stopped++;
        }),
      { halfOpen: false },
    );
    const client = await peerAt(place, address);
    client.end();
    expect(await outcomes.count(1)).toMatchObject([{ reason: 'finished' }]);
    expect(stopped).toBe(1);
    expect(incidents.values).toEqual([]);
  });

  it('S6: the end of a connection while its handler is sending does not count as a failure of the handler', async () => {
    const { server, address, outcomes, incidents } = await serving(place, async ({ data }) => {
      await firstValueFrom(data);
      for (;;) await data.send('more');
    });
    const client = await peerAt(place, address);
    client.write('go\n');
    await client.receives('more\n').catch(() => undefined);
    const shutdown = server.shutdown({ drain: false });
    await client.ended;
    client.end();
    await shutdown;
    expect(await outcomes.count(1)).toMatchObject([{ reason: 'finished' }]);
    expect(incidents.values).toEqual([]);
  });

  it('S6: unsubscribing from serve stops the server and the sources of the handlers, and closes the connections gracefully', async () => {
    let stopped = 0;
    const news = new Subject<string>();
    const { server, address, outcomes } = await serving(
      place,
      () =>
        new Observable<string>((subscriber) =>
          news.subscribe(subscriber).add(() => {
            stopped++;
          }),
        ),
    );
    const client = await peerAt(place, address);
    await until(() => news.observed);
    news.next('one');
    await client.receives('one\n');
    outcomes.subscription.unsubscribe();
    expect(stopped).toBe(1);
    await expect(peerAt(place, address)).rejects.toMatchObject({ code: expect.stringMatching(/ENOENT|ECONNREFUSED/) });
    expect(await client.ended).toBe('fin');
    const [connection] = server.connections;
    client.end();
    expect(await firstValueFrom(connection!.closed)).toMatchObject({ reason: 'finished' });
    expect(outcomes.endings).toEqual([]);
  });

  it('S6: serve completes when the server has been shut down and every connection has ended', async () => {
    const { server, address, outcomes } = await serving(place, ({ data }) => data);
    const client = await peerAt(place, address);
    client.write('hello\n');
    await client.receives('hello\n');
    void client.ended.then(() => client.end());
    await server.shutdown();
    expect(outcomes.values).toMatchObject([{ reason: 'finished' }]);
    expect(outcomes.endings).toEqual(['complete']);
  });

  it('S6: serve fails if the server cannot bind', async () => {
    const { address } = await serving(place, () => NEVER);
    const second = record(
      listen<string, string>(address, { codec: lines(), ...place.options }).pipe(serve(() => NEVER)),
    );
    expect(await second.end()).toMatchObject({ code: 'EADDRINUSE' });
  });

  it.each([1, 3])('S6: `concurrent` limits serve to %i clients at a time, and others wait', async (concurrent) => {
    let busiest = 0;
    const handler: Handler = ({ data }) => {
      busiest = Math.max(busiest, server.connections.size);
      return firstValueFrom(data);
    };
    const { server, address, outcomes } = await serving(place, handler, { concurrent });
    const clients = await Promise.all(Array.from({ length: 9 }, () => peerAt(place, address)));
    await settled();
    expect(server.connections.size).toBe(concurrent);
    for (const [number, client] of clients.entries()) {
      client.write(`${number}\n`);
      void client.ended.then(() => client.end());
    }
    await outcomes.count(9);
    expect(busiest).toBe(concurrent);
    for (const [number, client] of clients.entries()) await client.receives(`${number}\n`);
  });
});

describe.each(realPlaces.map((place) => [place.name, place] as const))('serve to a slow peer on %s', (_name, place) => {
  it.each([
    ['an iterable', true],
    ['a Flow', false],
  ])('S6: while a peer does not read, serve pauses %s that the handler has returned', async (_kind, isIterable) => {
    let pulled = 0;
    const line = 'x'.repeat(999);
    const endless = async function* () {
      for (;;) {
        pulled++;
        yield line;
      }
    };
    const { address, server } = await serving(place, ({ data }) =>
      isIterable ? endless() : data.pipe(map((text) => (pulled++, text))),
    );
    const client = await rawClient(address);
    client.pause();
    if (!isIterable) {
      // The client does not read the echo, so the server stops reading, and the kernel's buffers fill.
      let taken = 0;
      while (taken < 64_000_000 && client.writableLength < 1_000_000) {
        client.write(`${line}\n`.repeat(100));
        taken += 100_000;
        await settled();
      }
    }
    await until(() => [...server.connections].some(({ data }) => data.bufferedBytes > 0));
    await settled();
    const before = pulled;
    const [connection] = server.connections;
    expect(connection?.data.bufferedBytes).toBeLessThan(65_536 + 200_000);
    await settled();
    expect(pulled).toBe(before);
    client.resume();
    await until(() => pulled > before + 1_000);
  });

  it('C11: a reply of 4 MB arrives complete, although the client keeps sending input that the handler does not read', async () => {
    const { address, outcomes } = await serving(place, () =>
      Array.from({ length: 64 }, (_, part) => String.fromCharCode(65 + (part % 26)).repeat(65_535)),
    );
    for (let round = 0; round < 3; round++) {
      const client = await rawClient(address);
      const pipelined = setInterval(() => client.write('GET / HTTP/1.1\n'.repeat(1_000)), 0);
      const reply = await readAll(client);
      clearInterval(pipelined);
      client.end();
      expect(reply.length).toBe(64 * 65_536);
      await outcomes.count(round + 1);
    }
    expect(outcomes.values.map(({ reason }) => reason)).toEqual(Array(3).fill('finished'));
  });
});

it('S6: the call of serve refuses a bad `concurrent` with ERR_OPTION_INVALID', () => {
  for (const concurrent of [0, -1, 1.5, NaN, Infinity, '2' as unknown as number]) {
    expect(refusal(() => serve(() => NEVER, { concurrent }))).toMatchObject({
      code: 'ERR_OPTION_INVALID',
      message: expect.stringContaining('concurrent'),
    });
  }
});

it('S6: serve works on a plain Observable of connections', async () => {
  const server = listen<string, string>(await tcp.address(), { codec: lines() });
  const plain = new Observable<Connection<string, string>>((subscriber) => server.subscribe(subscriber));
  const welcome = record(plain.pipe(serve(() => interval(1_000).pipe(map((count) => `${count}`)))));
  onTestFinished(() => {
    welcome.subscription.unsubscribe();
  });
  const { port } = (await firstValueFrom(server.listening)) as { port: number };
  const client = net.connect(port, '127.0.0.1');
  await until(() => server.connections.size === 1);
  client.resetAndDestroy();
  expect(await welcome.count(1)).toMatchObject([{ reason: 'failed', error: { code: 'ECONNRESET' } }]);
});
