import type net from 'node:net';
import { firstValueFrom, ReplaySubject, take, toArray } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import {
  connect,
  type Connection,
  listen,
  type ListenOptions,
  mergeMapPaced,
  type Server,
  SocketError,
} from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { memoryTransport } from 'rxjs-sockets/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { peerAt } from '../support/sockets/peer.js';
import { settled } from '../support/scheduling/event-loop.js';
import { places, tcp } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { record } from '../support/recording/record.js';
import { refusal } from '../support/errors/refusal.js';
import { until } from '../support/scheduling/event-loop.js';
import { gated } from '../support/transport/node/internals/accept-gate.js';

type Options = ListenOptions<string, string>;

interface Script {
  readonly server: Server<string, string>;
  at(time: number, what: () => void): void;
  connection(): Connection<string, string>;
  says(line: string): void;
  finishes(): void;
}

const day = 86_400_000;

/** Runs a server with one client in virtual time. Returns the events of the connection, each with its time. */
function run(options: Options, act: (script: Script) => void): string[] {
  const scheduler = new TestScheduler(() => undefined);
  const events: string[] = [];
  const note = (what: string): void => void events.push(`${scheduler.now()} ${what}`);
  scheduler.run(() => {
    const transport = memoryTransport();
    const server = listen<string, string>('memory:m', { transport, codec: lines(), ...options });
    let emitted: Connection<string, string> | undefined;
    server.incidents.subscribe(({ code }) => note(`incident ${code}`));
    const serving = server.subscribe((connection) => {
      emitted = connection;
      connection.closed.subscribe(({ reason, error }) => note(`${reason} ${error?.code ?? ''}`.trim()));
    });
    const { data } = connect<string, string>('memory:m', {
      transport,
      codec: lines(),
      halfOpen: true,
      halfOpenTimeout: 0,
    });
    data.subscribe({
      next: (line) => note(`client: ${line}`),
      complete: () => note('client: FIN'),
      error: (error: unknown) => note(`client: ${(error as SocketError).code}`),
    });
    act({
      server,
      at: (time, what) => void scheduler.schedule(what, time),
      connection: () => emitted as Connection<string, string>,
      says: (line) => data.next(line),
      finishes: () => data.complete(),
    });
    scheduler.schedule(() => {
      serving.unsubscribe();
      data.error('the test is over');
    }, 3 * day);
  });
  // Drops the events that the end of the test causes.
  return events.filter((event) => !event.startsWith(String(3 * day)));
}

const reading = ({ data }: Connection<string, string>): void => void data.subscribe({ error: () => undefined });

describe('the timers of a connection, in virtual time', () => {
  it('C12: `idleTimeout` ends a connection on which nothing was received or written for the duration of `idleTimeout`', () => {
    const events = run({ idleTimeout: 100 }, ({ at, connection, says }) => {
      at(1, () => reading(connection()));
      at(90, () => says('a word'));
      at(180, () => connection().data.next('another'));
    });
    expect(events).toEqual([
      '180 client: another',
      '280 incident ERR_TIMEOUT_IDLE',
      '280 failed ERR_TIMEOUT_IDLE',
      '280 client: ECONNRESET',
    ]);
  });

  it('C7: `halfOpenTimeout` ends a connection whose peer has finished, if nothing is written for the duration of `halfOpenTimeout`', () => {
    const events = run({ halfOpenTimeout: 100 }, ({ at, connection, finishes }) => {
      at(1, () => reading(connection()));
      at(500, finishes);
      at(550, () => connection().data.next('a word'));
    });
    expect(events).toEqual([
      '550 client: a word',
      '650 incident ERR_TIMEOUT_HALF_OPEN',
      '650 failed ERR_TIMEOUT_HALF_OPEN',
      '650 client: ECONNRESET',
    ]);
  });

  it('C11: after `closeTimeout`, a close is forced', () => {
    const events = run({ closeTimeout: 100 }, ({ at, connection }) => {
      at(50, () => void connection().close());
    });
    expect(events).toEqual(['50 client: FIN', '150 incident ERR_TIMEOUT_CLOSE', '150 failed ERR_TIMEOUT_CLOSE']);
  });

  it('C22: `claimTimeout` destroys a connection that has no reader and on which nothing was sent', () => {
    const ends = ['incident ERR_TIMEOUT_CLAIM', 'failed ERR_TIMEOUT_CLAIM', 'client: ECONNRESET'];
    expect(run({ claimTimeout: 100 }, () => undefined)).toEqual(ends.map((what) => `100 ${what}`));
    // The time of `claimTimeout` counts from the emission of the connection.
    const held = run({ claimTimeout: 100 }, ({ at, server }) => {
      const hold = server.hold();
      at(1_000, () => hold.release());
    });
    expect(held).toEqual(ends.map((what) => `1100 ${what}`));
  });

  it('C22: `claimTimeout` gracefully closes a connection without a reader, if the sending side of this connection has ended', () => {
    const ended = run({ claimTimeout: 100, closeTimeout: 50 }, ({ at, connection, says }) => {
      at(1, () => connection().data.next('all that there is'));
      at(10, () => connection().data.complete());
      at(20, () => says('nobody reads this'));
    });
    expect(ended).toEqual([
      '1 client: all that there is',
      '10 client: FIN',
      '150 incident ERR_TIMEOUT_CLOSE',
      '150 failed ERR_TIMEOUT_CLOSE',
    ]);
    // If the sending side ends after `claimTimeout` has passed, `claimTimeout` starts again at the FIN.
    const later = run({ claimTimeout: 100, closeTimeout: 50 }, ({ at, connection, finishes }) => {
      at(1, () => connection().data.next('the first'));
      at(250, () => connection().data.next('the last'));
      at(260, () => connection().data.complete());
      at(320, finishes);
    });
    expect(later).toEqual(['1 client: the first', '250 client: the last', '260 client: FIN', '320 finished']);
  });

  it('C22: `claimTimeout` does not end a connection that was read in time, or on which something was sent in time', () => {
    const claimed = run({ claimTimeout: 100 }, ({ at, connection }) => {
      at(99, () => void firstValueFrom(connection().data).catch(() => undefined));
    });
    expect(claimed).toEqual([]);
    const sent = run({ claimTimeout: 100 }, ({ at, connection }) => at(99, () => connection().data.next('a word')));
    expect(sent).toEqual(['99 client: a word']);
  });

  it.each<[string, Options, (script: Script) => void, string[]]>([
    ['idleTimeout', { idleTimeout: 0 }, ({ at, connection }) => at(1, () => reading(connection())), []],
    [
      'halfOpenTimeout',
      { halfOpenTimeout: 0 },
      ({ at, connection, finishes }) => {
        at(1, () => reading(connection()));
        at(2, finishes);
        at(2 * day, () => connection().data.next('still there'));
      },
      [`${2 * day} client: still there`],
    ],
    [
      'closeTimeout',
      { closeTimeout: 0 },
      ({ at, connection, finishes }) => {
        at(1, () => void connection().close());
        at(2 * day, finishes);
      },
      ['1 client: FIN', `${2 * day} finished`],
    ],
    ['claimTimeout', { claimTimeout: 0 }, () => undefined, []],
  ])('C12: the value 0 disables %s', (_name, options, act, events) => {
    expect(run({ claimTimeout: 0, ...options }, act)).toEqual(events);
  });
});

describe.each(places.map((place) => [place.name, place] as const))('`maxConnections` on %s', (_name, place) => {
  it('S5: connections of an earlier subscription to the server, and connections that are closing, count in `maxConnections`', async () => {
    const { server, address, subscription } = await serverAt(place, () => undefined, { maxConnections: 2 });
    const [one, two] = [await peerAt(place, address), await peerAt(place, address)];
    await until(() => server.connections.size === 2);
    subscription.unsubscribe();
    const incidents = record(server.incidents);
    const again = server.subscribe();
    onTestFinished(() => again.unsubscribe());
    const three = await peerAt(place, await firstValueFrom(server.listening));
    expect(await incidents.count(1)).toMatchObject([{ code: 'ERR_LIMIT_CONNECTIONS' }]);
    await three.ended;
    const closing = [...server.connections].map((connection) => connection.close());
    const four = await peerAt(place, await firstValueFrom(server.listening));
    expect(await incidents.count(2)).toMatchObject([{}, { code: 'ERR_LIMIT_CONNECTIONS' }]);
    await four.ended;
    one.end();
    two.end();
    await Promise.all(closing);
    const five = await peerAt(place, await firstValueFrom(server.listening));
    await until(() => server.connections.size === 1);
    five.end();
  });
});

describe('limits before a connection is emitted', () => {
  const proxyProtocol = { trusted: ['127.0.0.1'] };
  const header = (port: number): string => `PROXY TCP4 192.0.2.1 192.0.2.2 ${port} 7000\r\n`;
  const gone = (socket: net.Socket): Promise<unknown> =>
    new Promise((resolve) => socket.resume().once('end', resolve).once('error', resolve));

  it('P1: a client that does not send its PROXY header within `handshakeTimeout` is dropped and reported in `incidents`', async () => {
    const options = { proxyProtocol, handshakeTimeout: 30 };
    const { server, address } = await serverAt(tcp, () => undefined, options);
    const incidents = record(server.incidents);
    const [silent, slow] = [await rawClient(address), await rawClient(address)];
    slow.write(header(1).slice(0, 20));
    await Promise.all([gone(silent), gone(slow)]);
    expect(await incidents.count(2)).toMatchObject([
      { code: 'ERR_TIMEOUT_HANDSHAKE', address: { transport: 'tcp' } },
      { code: 'ERR_TIMEOUT_HANDSHAKE', address: { transport: 'tcp' } },
    ]);
    expect(server.connections.size).toBe(0);
    // `handshakeTimeout` does not end a connection whose header has arrived.
    (await rawClient(address)).write(header(2));
    await until(() => server.connections.size === 1);
    const late = await rawClient(address);
    await gone(late);
    expect(server.connections.size).toBe(1);
  });

  it('P1: with `handshakeTimeout` 0, a server waits for the header without a limit', async () => {
    const { server, address } = await serverAt(tcp, () => undefined, { proxyProtocol, handshakeTimeout: 0 });
    const other = await serverAt(tcp, () => undefined, { proxyProtocol, handshakeTimeout: 1 });
    const patient = await rawClient(address);
    await gone(await rawClient(other.address));
    await settled();
    patient.write(header(1));
    await until(() => server.connections.size === 1);
  });

  it('S17: while `maxConnections` clients are sending their PROXY headers, a further client is dropped and reported in `incidents`', async () => {
    const { server, address } = await serverAt(tcp, () => undefined, { proxyProtocol, maxConnections: 2 });
    const incidents = record(server.incidents);
    const clients = [await rawClient(address), await rawClient(address)];
    await settled();
    await gone(await rawClient(address));
    expect(await incidents.count(1)).toMatchObject([{ code: 'ERR_LIMIT_CONNECTIONS' }]);
    for (const client of clients) client.write(header(1));
    await until(() => server.connections.size === 2);
  });

  it('S17: if the PROXY header of a client arrives while the server is held, the client waits for the release, even if more than `acceptQueue` clients are waiting', async () => {
    const server = listen(await tcp.address(), { ...gated(tcp).options, proxyProtocol, acceptQueue: 3 });
    const incidents = record(server.incidents);
    const arrivals = new ReplaySubject<Connection>(Infinity);
    const serving = server
      .pipe(
        mergeMapPaced(async (connection) => {
          arrivals.next(connection);
          expect(server.connections.size).toBe(1);
          await connection.close();
        }, 1),
      )
      .subscribe();
    onTestFinished(() => serving.unsubscribe());
    const address = await firstValueFrom(server.listening);
    const clients = await Promise.all(Array.from({ length: 20 }, () => rawClient(address)));
    await settled();
    for (const [index, client] of clients.entries()) {
      client.write(header(index + 1));
      client.resume().on('end', () => client.end());
    }
    const served = await firstValueFrom(arrivals.pipe(take(20), toArray()));
    expect(new Set(served.map(({ remote }) => (remote as { port: number }).port)).size).toBe(20);
    expect(incidents.values).toEqual([]);
  });
});

it('A5: `reusePort` is refused if Node lacks the option', (context) => {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12)) context.skip('this Node has it');
  expect(refusal(() => listen('tcp://127.0.0.1:0', { reusePort: true }))).toMatchObject({
    code: 'ERR_OPTION_INVALID',
    message: expect.stringContaining('reusePort'),
  });
});

it('S5: with `reusePort` two servers share a port', async (context) => {
  const make = (port: number): Server => listen({ port, host: '127.0.0.1' }, { reusePort: true });
  try {
    void make(0);
  } catch (error) {
    expect(error).toBeInstanceOf(SocketError);
    context.skip('this Node has no such option');
  }
  const one = make(0);
  const emitted = [record(one)];
  const address = await firstValueFrom(one.listening);
  const other = make((address as { port: number }).port);
  emitted.push(record(other));
  expect(await firstValueFrom(other.listening)).toEqual(address);
  onTestFinished(() => {
    for (const { subscription } of emitted) subscription.unsubscribe();
    for (const connection of [...one.connections, ...other.connections]) connection.destroy();
  });
  // For each of these clients, the kernel chooses one of the two servers.
  for (let count = 0; count < 4; count++) await rawClient(address);
  await until(() => one.connections.size + other.connections.size === 4);
});
