import { firstValueFrom, interval, map, Observable, of, Subject, throwError } from 'rxjs';
import { type Channel, type Closed, type Connection, listen, serve } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { peerAt } from '../support/sockets/peer.js';
import { settled } from '../support/scheduling/event-loop.js';
import { allPlaces, type Place } from '../support/transport/places.js';
import { record } from '../support/recording/record.js';
import { until } from '../support/scheduling/event-loop.js';

type Lines = Connection<string, string>;

/** A user's object that wraps a connection of the library. */
class Wrapped implements Connection<string, string> {
  closes = 0;
  private readonly inner: Lines;

  constructor(inner: Lines) {
    this.inner = inner;
  }

  get id(): number {
    return this.inner.id;
  }

  get local(): Lines['local'] {
    return this.inner.local;
  }

  get remote(): Lines['remote'] {
    return this.inner.remote;
  }

  get tls(): Lines['tls'] {
    return this.inner.tls;
  }

  get data(): Channel<string, string> {
    return this.inner.data;
  }

  get bytes(): Lines['bytes'] {
    return this.inner.bytes;
  }

  get stats(): Lines['stats'] {
    return this.inner.stats;
  }

  get closed(): Observable<Closed> {
    return this.inner.closed;
  }

  startTls(options: Parameters<Lines['startTls']>[0]): ReturnType<Lines['startTls']> {
    return this.inner.startTls(options);
  }

  close(): Promise<void> {
    this.closes++;
    return this.inner.close();
  }

  destroy(reason?: unknown): void {
    this.inner.destroy(reason);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

type Handler = Parameters<typeof serve<string, string>>[0];

async function serving(place: Place, handler: Handler, wrap: (connection: Lines) => Lines) {
  const server = listen<string, string>(await place.address(), { codec: lines(), ...place.options });
  const incidents = record(server.incidents);
  const outcomes = record(server.pipe(map(wrap), serve(handler)));
  onTestFinished(() => {
    outcomes.subscription.unsubscribe();
    for (const connection of server.connections) connection.destroy();
  });
  const peer = await peerAt(place, await firstValueFrom(server.listening));
  return { server, incidents, outcomes, peer };
}

describe.each(allPlaces.map((place) => [place.name, place] as const))('serve on %s', (_name, place) => {
  describe.each<[string, (connection: Lines) => Lines]>([
    ["the library's connections", (connection) => connection],
    ['wrapped connections', (connection) => new Wrapped(connection)],
  ])('with %s', (_kind, wrap) => {
    it('S6: serve sends the output of the handler, closes the connection, and emits how the connection ended', async () => {
      const { outcomes, incidents, peer } = await serving(place, () => of('hello'), wrap);
      await peer.receives('hello\n');
      expect(await peer.ended).toBe('fin');
      peer.end();
      expect(await outcomes.count(1)).toMatchObject([{ reason: 'finished' }]);
      expect(incidents.values).toEqual([]);
    });

    it('S6: an error from the handler is reported as ERR_HANDLER in `closed` and `incidents`', async () => {
      const boom = new Error('boom');
      const { outcomes, incidents } = await serving(place, () => throwError(() => boom), wrap);
      const [closed] = await outcomes.count(1);
      expect(closed).toMatchObject({ reason: 'failed', error: { code: 'ERR_HANDLER', cause: boom } });
      expect(incidents.values).toEqual([closed?.error]);
    });

    it('S6: a shutdown of the server waits for the handler', async () => {
      let begun = false;
      let open: () => void = () => undefined;
      const gate = new Promise<void>((resolve) => (open = resolve));
      const handler: Handler = async ({ data }) => {
        const line = await firstValueFrom(data);
        begun = true;
        await gate;
        return `${line}!`;
      };
      const { server, outcomes, peer } = await serving(place, handler, wrap);
      peer.write('hello\n');
      await until(() => begun);
      const shutdown = server.shutdown();
      await settled();
      open();
      await peer.receives('hello!\n');
      expect(await peer.ended).toBe('fin');
      peer.end();
      await shutdown;
      expect(outcomes.values).toMatchObject([{ reason: 'finished' }]);
    });

    it.each<[string, Handler]>([
      ['an interval', () => interval(1).pipe(map((count) => `tick ${count}`))],
      ['an echo', ({ data }) => data],
      ['a handler that returns nothing', ({ data }) => void data.subscribe((line) => data.next(line))],
      [
        'an endless generator',
        async function* () {
          for (;;) {
            await settled();
            yield 'more';
          }
        },
      ],
    ])('S6: unsubscribing from serve stops handlers and closes connections gracefully: %s', async (_what, handler) => {
      const { server, outcomes, incidents, peer } = await serving(place, handler, wrap);
      await until(() => server.connections.size === 1);
      const [connection] = server.connections;
      await settled();
      outcomes.subscription.unsubscribe();
      expect(await peer.ended).toBe('fin');
      peer.end();
      expect(await firstValueFrom((connection as Lines).closed)).toMatchObject({ reason: 'finished' });
      expect(incidents.values).toEqual([]);
    });
  });
});

describe('a connection that the user implements', () => {
  /** Makes a connection without a socket. It has only the members that `serve` needs. */
  function made() {
    const sent: string[] = [];
    const closed = new Subject<Closed>();
    const ends: unknown[] = [];
    const data = {
      closed: false,
      sendFrom: (source: Observable<string>) =>
        new Observable<never>((subscriber) =>
          source.subscribe({
            next: (value) => sent.push(value),
            error: (error: unknown) => subscriber.error(error),
            complete: () => subscriber.complete(),
          }),
        ),
    };
    const connection = {
      data,
      closed,
      remote: { transport: 'memory', name: 'far' },
      close: () => {
        ends.push('closed');
        return Promise.resolve();
      },
      destroy: (reason: unknown) => ends.push(reason),
    } as unknown as Lines;
    return { connection, sent, closed, ends };
  }

  it('S6: the connection gets the values that the handler emits, and is then closed', () => {
    const { connection, sent, closed, ends } = made();
    const outcomes = record(of(connection).pipe(serve(() => of('one', 'two'))));
    expect(sent).toEqual(['one', 'two']);
    expect(ends).toEqual(['closed']);
    const closing = { reason: 'finished', bytesRead: 0, bytesWritten: 8, connection } as Closed;
    closed.next(closing);
    closed.complete();
    expect(outcomes.values).toEqual([closing]);
    expect(outcomes.endings).toEqual(['complete']);
  });

  it('S6: the connection is destroyed with ERR_HANDLER if the handler throws', () => {
    const { connection, ends } = made();
    const boom = new Error('boom');
    const handler: Handler = () => {
      throw boom;
    };
    const outcomes = record(of(connection).pipe(serve(handler)));
    expect(ends).toMatchObject([{ code: 'ERR_HANDLER', cause: boom }]);
    outcomes.subscription.unsubscribe();
  });

  it('S6: the connection is closed when you unsubscribe from the output of serve', () => {
    const { connection, ends } = made();
    const outcomes = record(of(connection).pipe(serve(() => undefined)));
    expect(ends).toEqual([]);
    outcomes.subscription.unsubscribe();
    expect(ends).toEqual(['closed']);
  });
});
