import { chmodSync, existsSync, lstatSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import net from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import {
  catchError,
  concatMap,
  EMPTY,
  endWith,
  filter,
  repeat,
  firstValueFrom,
  from,
  lastValueFrom,
  map,
  ReplaySubject,
  retry,
  take,
  tap,
  toArray,
} from 'rxjs';
import {
  type Address,
  type AddressInput,
  type Connection,
  connect,
  listen,
  type ListenOptions,
  mergeMapPaced,
  parseAddress,
  concatMapPaced,
  type Server,
  SocketError,
} from 'rxjs-sockets';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { type Peer, peerAt } from '../support/sockets/peer.js';
import { settled } from '../support/scheduling/event-loop.js';
import { freshFolder, memory, type Place, places, tcp, unix } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { rawClient, rawServer } from '../support/sockets/plain-sockets.js';
import { until } from '../support/scheduling/event-loop.js';
import { ungated } from '../support/transport/node/internals/without-accept-gate.js';

/** How many sockets and listeners this process has. */
const handles = (): number => process.getActiveResourcesInfo().filter((kind) => /^(TCP|Pipe)/.test(kind)).length;
const atRest = handles();

const everywhere = places.map((place) => [place.name, place] as const);

/** An address with a fixed name that nobody listens on. */
async function freeAddress(place: Place): Promise<Address> {
  const address = await place.address();
  if (place.name === 'memory') return parseAddress(address);
  if (place.name === 'unix') return { transport: 'unix', path: (address as { path: string }).path };
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return { transport: 'tcp', host: '127.0.0.1', port };
}

/** The code of the error that somebody gets who dials `address`, or 'connected'. */
async function dialling(place: Place, address: Address): Promise<string> {
  try {
    if (place.name === 'memory') {
      await firstValueFrom(connect(address, place.options).pipe(filter(({ status }) => status === 'connected')));
      return 'connected';
    }
    (await rawClient(address)).destroy();
    return 'connected';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

/** What nobody listens on answers with. */
const nobody = (place: Place): string => (place.name === 'unix' ? 'ENOENT' : 'ECONNREFUSED');

/** As `listen`; what it has accepted is ended with the test. */
function listenAt(place: Place, address: AddressInput, options: ListenOptions = {}): Server {
  const server = listen(address, { ...place.options, ...options });
  onTestFinished(() => {
    for (const connection of server.connections) connection.destroy();
  });
  return server;
}

/** Subscribes for the length of the test and gives what is emitted, from the first on. */
function arrivalsOf<In, Out>(server: Server<In, Out>): ReplaySubject<Connection<In, Out>> {
  const arrivals = new ReplaySubject<Connection<In, Out>>(Infinity);
  const subscription = server.subscribe(arrivals);
  onTestFinished(() => subscription.unsubscribe());
  return arrivals;
}

/** The next `count` of them. */
const first = <T>(arrivals: ReplaySubject<T>, count: number): Promise<T[]> =>
  firstValueFrom(arrivals.pipe(take(count), toArray()));

/** The first text that comes on a connection. */
const firstText = async (connection: Connection): Promise<string> =>
  (await firstValueFrom(connection.bytes)).toString();

/** Connects one after the other, each with its number as its first bytes. */
async function numberedPeers(place: Place, address: Address, count: number): Promise<Peer[]> {
  const peers: Peer[] = [];
  for (let number = 0; number < count; number++) {
    const peer = await peerAt(place, address);
    peer.write(String(number));
    peers.push(peer);
  }
  return peers;
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, number) => String(number));

describe.each(everywhere)('a server on %s', (_name, place) => {
  it('S1: binds nothing before somebody subscribes, nor for those who only ask for the address', async () => {
    const address = await freeAddress(place);
    const server = listenAt(place, address);
    const told: Address[] = [];
    const listening = server.listening.subscribe((bound) => told.push(bound));
    const hold = server.hold();
    const derived = server.pipe(map((connection) => connection.id));
    server.incidents.subscribe();
    await settled();
    expect(await dialling(place, address)).toBe(nobody(place));
    expect(told).toEqual([]);
    expect(server.connections.size).toBe(0);
    hold.release();
    const subscription = derived.subscribe();
    await firstValueFrom(server.listening);
    expect(told).toEqual([address]);
    expect(await dialling(place, address)).toBe('connected');
    subscription.unsubscribe();
    listening.unsubscribe();
  });

  it('S1: all subscribers share one listener and get the same connections', async () => {
    const server = listenAt(place, await place.address());
    const one = arrivalsOf(server);
    const address = await firstValueFrom(server.listening);
    const other = arrivalsOf(server);
    await peerAt(place, address);
    await peerAt(place, address);
    const [ones, others] = await Promise.all([first(one, 2), first(other, 2)]);
    expect(others).toEqual(ones);
    expect(others[0]).toBe(ones[0]);
    expect(new Set(server.connections)).toEqual(new Set(ones));
  });

  it('S1: goes on for those who stay when one of them leaves', async () => {
    const server = listenAt(place, await place.address());
    const staying = arrivalsOf(server);
    const leaving = server.subscribe();
    const address = await firstValueFrom(server.listening);
    leaving.unsubscribe();
    await peerAt(place, address);
    expect(await first(staying, 1)).toHaveLength(1);
  });

  it('S1: is closed at once when the last one leaves, and what was emitted lives on', async () => {
    const { server, address, subscription } = await serverAt(place, (connection) => {
      connection.bytes.subscribe(connection.bytes);
    });
    const peer = await peerAt(place, address);
    peer.write('before');
    await peer.receives('before');
    subscription.unsubscribe();
    if (address.transport === 'unix') expect(existsSync(address.path)).toBe(false);
    expect(await dialling(place, address)).toBe(nobody(place));
    peer.write(', after');
    await peer.receives('before, after');
    expect(server.connections.size).toBe(1);
    peer.end();
    expect(await peer.ended).toBe('fin');
  });

  it('S1: resets the clients that still wait when the last one leaves', async () => {
    const { server, address, subscription } = await serverAt(place, () => undefined);
    server.hold();
    const peers = [await peerAt(place, address), await peerAt(place, address), await peerAt(place, address)];
    await settled();
    subscription.unsubscribe();
    expect(await Promise.all(peers.map((peer) => peer.ended))).toEqual(Array(3).fill('ECONNRESET'));
    expect(server.connections.size).toBe(0);
  });

  it('S1: resets those who wait in the process too, where the listener cannot be stopped', async () => {
    const { server, address, subscription } = await serverAt(ungated(place), () => undefined);
    server.hold();
    const peers = [await peerAt(place, address), await peerAt(place, address), await peerAt(place, address)];
    await settled();
    subscription.unsubscribe();
    // A unix socket has no reset; nobody had written to it.
    const how = place.name === 'unix' ? 'fin' : 'ECONNRESET';
    expect(await Promise.all(peers.map((peer) => peer.ended))).toEqual(Array(3).fill(how));
    expect(server.connections.size).toBe(0);
  });

  it('S1: binds again for whoever subscribes after the last has left', async () => {
    const address = await freeAddress(place);
    const server = listenAt(place, address);
    for (let round = 0; round < 3; round++) {
      const emitted = firstValueFrom(server);
      expect(await firstValueFrom(server.listening)).toEqual(address);
      await peerAt(place, address);
      expect(server.connections).toContain(await emitted);
      expect(await dialling(place, address)).toBe(nobody(place));
    }
    expect(server.connections.size).toBe(3);
  });

  it('S1: may be left and subscribed to again before the listener is up', async () => {
    const address = await freeAddress(place);
    const server = listenAt(place, address);
    server.subscribe().unsubscribe();
    server.subscribe().unsubscribe();
    const arrivals = arrivalsOf(server);
    expect(await firstValueFrom(server.listening)).toEqual(address);
    await peerAt(place, address);
    await first(arrivals, 1);
  });

  it('S10: `listening` gives the address to those who come early and to those who come late', async () => {
    const server = listenAt(place, await place.address());
    const early: unknown[] = [];
    server.listening.subscribe({ next: (bound) => early.push(bound), complete: () => early.push('complete') });
    const subscription = server.subscribe();
    const address = await firstValueFrom(server.listening);
    const late: unknown[] = [];
    server.listening.subscribe({ next: (bound) => late.push(bound), complete: () => late.push('complete') });
    expect(early).toEqual([address]);
    expect(late).toEqual([address]);
    if (address.transport === 'tcp') expect(address.port).toBeGreaterThan(0);
    // It is the address that one can connect to.
    expect(await dialling(place, address)).toBe('connected');
    subscription.unsubscribe();
    expect(early).toEqual([address, 'complete']);
    expect(late).toEqual([address, 'complete']);
  });

  it('S10: `listening` completes when the server could not be bound, and when it is shut down', async () => {
    const { address } = await serverAt(place, () => undefined);
    const refused = listenAt(place, address);
    const ofRefused = lastValueFrom(refused.listening, { defaultValue: 'complete' });
    refused.subscribe({ error: () => undefined });
    expect(await ofRefused).toBe('complete');

    const stopped = listenAt(place, await place.address());
    const ofStopped = firstValueFrom(stopped.listening.pipe(toArray()));
    stopped.subscribe();
    const bound = await firstValueFrom(stopped.listening);
    const shutdown = stopped.shutdown();
    expect(await ofStopped).toEqual([bound]);
    // At once, and for ever.
    expect(await firstValueFrom(stopped.listening.pipe(toArray()))).toEqual([]);
    await shutdown;
    expect(await firstValueFrom(stopped.listening.pipe(toArray()))).toEqual([]);
  });

  it('S10: `listening` completes for those who asked before a server was shut down that never listened', async () => {
    const server = listenAt(place, await place.address());
    const told = firstValueFrom(server.listening.pipe(toArray()));
    await server.shutdown();
    expect(await told).toEqual([]);
    expect(await firstValueFrom(server.pipe(toArray()))).toEqual([]);
  });

  it('S11: a server that is shut down binds nothing any more', async () => {
    const address = await freeAddress(place);
    const server = listenAt(place, address);
    const arrivals = arrivalsOf(server);
    await firstValueFrom(server.listening);
    await server.shutdown();
    expect(await firstValueFrom(arrivals.pipe(toArray()))).toEqual([]);
    expect(await firstValueFrom(server.pipe(toArray()))).toEqual([]);
    expect(await dialling(place, address)).toBe(nobody(place));
  });

  it('S10: `listening` tells the address of the next run to those who ask again', async () => {
    const server = listenAt(place, await place.address());
    const told: (Address | 'complete')[] = [];
    const listening = server.listening
      .pipe(endWith('complete' as const), repeat(2))
      .subscribe((address) => told.push(address));
    for (let round = 0; round < 2; round++) {
      const subscription = server.subscribe();
      const bound = await firstValueFrom(server.listening);
      subscription.unsubscribe();
      expect(told.slice(round * 2)).toEqual([bound, 'complete']);
    }
    listening.unsubscribe();
  });

  it('S11: a failure to bind and the end are told at once, also while the server is held', async () => {
    const { address } = await serverAt(place, () => undefined);
    const refused = listenAt(place, address);
    refused.hold();
    await expect(firstValueFrom(refused)).rejects.toMatchObject({ code: 'EADDRINUSE' });

    const stopped = listenAt(place, await place.address());
    const ended = firstValueFrom(stopped.pipe(toArray()));
    const bound = await firstValueFrom(stopped.listening);
    stopped.hold();
    const [peer] = await numberedPeers(place, bound, 1);
    await stopped.shutdown();
    expect(await ended).toEqual([]);
    expect(['ECONNRESET', 'EPIPE']).toContain(await peer?.ended);
  });

  it('S2: emits each client once, in the order in which they came', async () => {
    const arrivals = new ReplaySubject<Connection>(Infinity);
    const { server, address } = await serverAt(place, (connection) => arrivals.next(connection));
    await numberedPeers(place, address, 8);
    const connections = await first(arrivals, 8);
    expect(await Promise.all(connections.map(firstText))).toEqual(numbers(8));
    expect(new Set(connections.map((connection) => connection.id)).size).toBe(8);
    expect(server.connections.size).toBe(8);
  });

  it('S2: each connection bears the names of its two ends', async () => {
    const arrivals = new ReplaySubject<Connection>(Infinity);
    const { address } = await serverAt(place, (connection) => arrivals.next(connection));
    const client = connect(address, place.options);
    const state = await firstValueFrom(
      client.pipe(concatMap((now) => (now.status === 'connected' ? from([now.connection]) : EMPTY))),
    );
    const [connection] = await first(arrivals, 1);
    expect(connection?.local).toEqual(address);
    expect(state.remote).toEqual(address);
    if (place.name === 'unix') expect(connection?.remote).toEqual({ transport: 'unix', path: '' });
    else expect(connection?.remote).toEqual(state.local);
  });

  it('S2: nothing is lost of what a client sent before it was served', async () => {
    const arrivals = new ReplaySubject<Connection>(Infinity);
    const { server, address } = await serverAt(place, (connection) => arrivals.next(connection));
    const hold = server.hold();
    const peers = await numberedPeers(place, address, 4);
    for (const peer of peers) peer.end();
    await settled();
    hold.release();
    const connections = await first(arrivals, 4);
    const received = connections.map((connection) => firstValueFrom(connection.bytes.pipe(toArray())));
    expect((await Promise.all(received)).map((chunks) => Buffer.concat(chunks).toString())).toEqual(numbers(4));
  });

  it('S2: a client that has gone before it was served is emitted, and its end is told', async () => {
    const arrivals = new ReplaySubject<Connection>(Infinity);
    const options = { halfOpen: false };
    const { server, address } = await serverAt(place, (connection) => arrivals.next(connection), options);
    const hold = server.hold();
    const [gone] = await numberedPeers(place, address, 1);
    gone?.destroy();
    const staying = await peerAt(place, address);
    staying.write('here');
    await settled();
    hold.release();
    const connections = await first(arrivals, 2);
    expect(await firstText(connections[1] as Connection)).toBe('here');
    const closed = await firstValueFrom((connections[0] as Connection).closed);
    expect(closed.reason).not.toBe('destroyed');
  });

  it('S3: a name in use is an error notification with EADDRINUSE and the address', async () => {
    const { address } = await serverAt(place, () => undefined);
    const server = listenAt(place, address);
    const error = await firstValueFrom(server).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(SocketError);
    expect(error).toMatchObject({ code: 'EADDRINUSE', address });
    // The owner is none the worse for it.
    expect(await dialling(place, address)).toBe('connected');
    if (address.transport === 'unix') expect(lstatSync(address.path).isSocket()).toBe(true);
  });

  it('S3: a failure reaches all subscribers, and none of them as an exception', async () => {
    const { address } = await serverAt(place, () => undefined);
    const server = listenAt(place, address);
    const codes = await Promise.all(
      [1, 2, 3].map(() => firstValueFrom(server).catch((reason: unknown) => (reason as SocketError).code)),
    );
    expect(codes).toEqual(['EADDRINUSE', 'EADDRINUSE', 'EADDRINUSE']);
  });

  it('S3: subscribing again tries again', async () => {
    const owner = await serverAt(place, () => undefined);
    const server = listenAt(place, owner.address);
    await expect(firstValueFrom(server)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await expect(firstValueFrom(server)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    owner.subscription.unsubscribe();
    const subscription = server.subscribe();
    onTestFinished(() => subscription.unsubscribe());
    expect(await firstValueFrom(server.listening)).toEqual(owner.address);
  });

  it('S3: `retry` tries again', async () => {
    const owner = await serverAt(place, () => undefined);
    const server = listenAt(place, owner.address);
    const failures: string[] = [];
    const subscription = server
      .pipe(
        retry({
          count: 3,
          delay: (error: SocketError) => {
            failures.push(error.code);
            if (failures.length === 3) owner.subscription.unsubscribe();
            return from([0]);
          },
        }),
      )
      .subscribe();
    onTestFinished(() => subscription.unsubscribe());
    expect(await lastValueFrom(server.listening, { defaultValue: 'failed' })).toBe('failed');
    while (failures.length < 3) await settled();
    expect(await firstValueFrom(server.listening)).toEqual(owner.address);
    expect(failures).toEqual(['EADDRINUSE', 'EADDRINUSE', 'EADDRINUSE']);
  });

  describe.each([
    ['in the kernel', (at: Place) => at],
    ['in the process, where the listener cannot be stopped', ungated],
  ])('S5: waiting %s', (_where, prepared) => {
    const open = async (options: ListenOptions = {}) => {
      const arrivals = new ReplaySubject<Connection>(Infinity);
      const opened = await serverAt(prepared(place), (connection) => arrivals.next(connection), options);
      return { ...opened, arrivals };
    };

    it('S5: while it is held clients connect and none is emitted; on release all are, in order', async () => {
      const { server, address, arrivals } = await open();
      for (let round = 0; round < 3; round++) {
        const holds = [server.hold(), server.hold()];
        await numberedPeers(place, address, 5);
        holds[0]?.release();
        holds[0]?.release();
        await settled();
        expect(server.connections.size).toBe(round * 5);
        holds[1]?.release();
        const connections = (await first(arrivals, round * 5 + 5)).slice(round * 5);
        expect(await Promise.all(connections.map(firstText))).toEqual(numbers(5));
      }
    });

    it('S5: a Hold that was taken before the first subscription counts', async () => {
      const at = prepared(place);
      const server = listenAt(at, await at.address());
      const hold = server.hold();
      const arrivals = arrivalsOf(server);
      const address = await firstValueFrom(server.listening);
      await numberedPeers(place, address, 3);
      await settled();
      expect(server.connections.size).toBe(0);
      hold.release();
      expect(await Promise.all((await first(arrivals, 3)).map(firstText))).toEqual(numbers(3));
    });

    it('S5: a Hold outlives the subscription, and counts for the next', async () => {
      const { server, subscription } = await open();
      const hold = server.hold();
      subscription.unsubscribe();
      const arrivals = arrivalsOf(server);
      const address = await firstValueFrom(server.listening);
      await numberedPeers(place, address, 3);
      await settled();
      expect(server.connections.size).toBe(0);
      hold.release();
      expect(await Promise.all((await first(arrivals, 3)).map(firstText))).toEqual(numbers(3));
    });

    it('S5: holding as the first of several is emitted keeps the others waiting', async () => {
      const { server, address, arrivals } = await open();
      const start = server.hold();
      const subscription = server.subscribe(() => server.hold());
      onTestFinished(() => subscription.unsubscribe());
      await numberedPeers(place, address, 5);
      await settled();
      start.release();
      await first(arrivals, 1);
      await settled();
      expect(server.connections.size).toBe(1);
    });

    it('S5: `for await` serves one after the other', async () => {
      const at = prepared(place);
      const server = listenAt(at, await at.address());
      const bound = firstValueFrom(server.listening);
      const served: string[] = [];
      const serving = (async () => {
        for await (const connection of server) {
          expect([...server.connections]).toEqual([connection]);
          served.push(await firstText(connection));
          await settled();
          expect([...server.connections]).toEqual([connection]);
          await connection.close();
          if (served.length === 4) break;
        }
      })();
      const address = await bound;
      for (const peer of await numberedPeers(place, address, 5)) void peer.ended.then(() => peer.end());
      await serving;
      expect(served).toEqual(numbers(4));
      expect(server.connections.size).toBe(0);
      // `break` has left: nobody listens any more.
      expect(await dialling(place, address)).toBe(nobody(place));
    });

    it.each([1, 2, 5])('S5: `mergeMapPaced` serves %i at once, and never more', async (most) => {
      const at = prepared(place);
      const server = listenAt(at, await at.address());
      let busy = 0;
      let busiest = 0;
      const served = firstValueFrom(
        server.pipe(
          mergeMapPaced(async (connection) => {
            busiest = Math.max(busiest, ++busy);
            expect(server.connections.size).toBeLessThanOrEqual(most);
            const text = await firstText(connection);
            if (busy === most) await settled();
            await connection.close();
            busy--;
            return text;
          }, most),
          take(12),
          toArray(),
        ),
      );
      const address = await firstValueFrom(server.listening);
      for (const peer of await numberedPeers(place, address, 12)) void peer.ended.then(() => peer.end());
      expect((await served).toSorted((a, b) => Number(a) - Number(b))).toEqual(numbers(12));
      expect(busiest).toBe(most);
    });

    it('S5: `concatMapPaced` over connections serves in order', async () => {
      const at = prepared(place);
      const server = listenAt(at, await at.address());
      const served = firstValueFrom(
        server.pipe(
          concatMapPaced((connection) =>
            connection.bytes.pipe(
              take(1),
              map((chunk) => chunk.toString()),
              tap(() => connection.destroy()),
            ),
          ),
          take(6),
          toArray(),
        ),
      );
      await numberedPeers(place, await firstValueFrom(server.listening), 6);
      expect(await served).toEqual(numbers(6));
    });
  });

  it('S5: what waits in the kernel does not count in `acceptQueue`', async () => {
    const arrivals = new ReplaySubject<Connection>(Infinity);
    const { server, address } = await serverAt(place, (connection) => arrivals.next(connection), { acceptQueue: 1 });
    const incidents: SocketError[] = [];
    server.incidents.subscribe((error) => incidents.push(error));
    const hold = server.hold();
    await numberedPeers(place, address, 6);
    await settled();
    hold.release();
    expect(await Promise.all((await first(arrivals, 6)).map(firstText))).toEqual(numbers(6));
    expect(incidents).toEqual([]);
  });

  it('S5: a server that is held before it listens accepts nobody', async () => {
    const server = listenAt(place, await place.address(), { acceptQueue: 1 });
    const hold = server.hold();
    const incidents: SocketError[] = [];
    server.incidents.subscribe((error) => incidents.push(error));
    const arrivals = arrivalsOf(server);
    await numberedPeers(place, await firstValueFrom(server.listening), 6);
    await settled();
    hold.release();
    expect(await Promise.all((await first(arrivals, 6)).map(firstText))).toEqual(numbers(6));
    expect(incidents).toEqual([]);
  });

  it('S5: holding in the middle of a burst leaves the rest of it in the kernel', async () => {
    const arrivals = new ReplaySubject<Connection>(Infinity);
    const { server, address } = await serverAt(
      place,
      (connection) => {
        arrivals.next(connection);
        server.hold();
      },
      { acceptQueue: 1 },
    );
    const incidents: SocketError[] = [];
    server.incidents.subscribe((error) => incidents.push(error));
    const hold = server.hold();
    await numberedPeers(place, address, 6);
    await settled();
    hold.release();
    await first(arrivals, 1);
    await settled();
    expect(server.connections.size).toBe(1);
    expect(incidents).toEqual([]);
  });

  it('S5: one over `acceptQueue` is reset and told, where the listener cannot be stopped', async () => {
    const arrivals = new ReplaySubject<Connection>(Infinity);
    const options = { acceptQueue: 3 };
    const { server, address } = await serverAt(ungated(place), (connection) => arrivals.next(connection), options);
    const incidents = new ReplaySubject<SocketError>(Infinity);
    server.incidents.subscribe(incidents);
    const hold = server.hold();
    const peers = await numberedPeers(place, address, 5);
    const [incident] = await first(incidents, 2);
    expect(incident).toMatchObject({ code: 'ERR_LIMIT_CONNECTIONS', message: expect.stringContaining('acceptQueue') });
    expect(incident).toBeInstanceOf(SocketError);
    for (const peer of peers.slice(3)) expect(['ECONNRESET', 'EPIPE']).toContain(await peer.ended);
    hold.release();
    expect(await Promise.all((await first(arrivals, 3)).map(firstText))).toEqual(numbers(3));
    // There is room again.
    const later = await peerAt(place, address);
    later.write('later');
    expect(await firstText((await first(arrivals, 4))[3] as Connection)).toBe('later');
  });

  it('S5: one over `maxConnections` is reset and told, and the server goes on', async () => {
    const arrivals = new ReplaySubject<Connection>(Infinity);
    const options = { maxConnections: 2 };
    const { server, address } = await serverAt(place, (connection) => arrivals.next(connection), options);
    const incidents = new ReplaySubject<SocketError>(Infinity);
    server.incidents.subscribe(incidents);
    const peers = await numberedPeers(place, address, 3);
    const [incident] = await first(incidents, 1);
    expect(incident).toMatchObject({
      code: 'ERR_LIMIT_CONNECTIONS',
      message: expect.stringContaining('maxConnections'),
    });
    expect(['ECONNRESET', 'EPIPE']).toContain(await peers[2]?.ended);
    expect(server.connections.size).toBe(2);
    const [one] = await first(arrivals, 2);
    one?.destroy();
    await firstValueFrom((one as Connection).closed);
    expect(server.connections.size).toBe(1);
    const later = await peerAt(place, address);
    later.write('later');
    expect(await firstText((await first(arrivals, 3))[2] as Connection)).toBe('later');
  });

  it('S1: `connections` has a connection from its emission to its end', async () => {
    let atEmission = false;
    const arrivals = new ReplaySubject<Connection>(Infinity);
    const { server, address } = await serverAt(place, (connection) => {
      atEmission = server.connections.has(connection);
      arrivals.next(connection);
    });
    const peer = await peerAt(place, address);
    const [connection] = await first(arrivals, 1);
    expect(atEmission).toBe(true);
    let atClosed = true;
    const closed = firstValueFrom(
      (connection as Connection).closed.pipe(tap(() => (atClosed = server.connections.has(connection as Connection)))),
    );
    (connection as Connection).bytes.subscribe((connection as Connection).bytes);
    peer.end();
    await closed;
    expect(atClosed).toBe(false);
  });
});

describe('a server on real sockets', () => {
  it('S1: a name that is looked up is not bound for somebody who has left meanwhile', async () => {
    const { port } = (await freeAddress(tcp)) as { port: number };
    const server = listenAt(tcp, { host: 'localhost', port });
    server.subscribe().unsubscribe();
    await settled();
    expect(await dialling(tcp, { transport: 'tcp', host: 'localhost', port })).toBe('ECONNREFUSED');
    const arrivals = arrivalsOf(server);
    expect(await firstValueFrom(server.listening)).toMatchObject({ port });
    await rawClient({ transport: 'tcp', host: 'localhost', port });
    await first(arrivals, 1);
  });

  it('S1: with port 0 each run has a port of its own', async () => {
    const server = listenAt(tcp, { port: 0 });
    const ports: number[] = [];
    for (let round = 0; round < 2; round++) {
      const subscription = server.subscribe();
      const address = await firstValueFrom(server.listening);
      if (address.transport === 'tcp') ports.push(address.port);
      expect(address).toMatchObject({ transport: 'tcp', host: '127.0.0.1' });
      expect(await dialling(tcp, address)).toBe('connected');
      subscription.unsubscribe();
    }
    expect(ports.every((port) => port > 0)).toBe(true);
  });

  it('S1: has one handle, takes none for the clients that wait, and leaves none behind', async () => {
    for (const place of [tcp, unix]) {
      const { server, address, subscription } = await serverAt(place, () => undefined);
      await until(() => handles() === atRest + 1);
      const hold = server.hold();
      const peers = await numberedPeers(place, address, 3);
      await settled();
      await until(() => handles() <= atRest + 4);
      expect(handles()).toBe(atRest + 4);
      subscription.unsubscribe();
      await Promise.all(peers.map((peer) => peer.ended));
      for (const peer of peers) peer.destroy();
      hold.release();
      await until(() => handles() === atRest);
    }
  });

  it('S2: nothing is read of a client that waits in the process', async () => {
    const { server, address } = await serverAt(ungated(tcp), () => undefined, { acceptQueue: 4 });
    server.hold();
    const [peer] = await numberedPeers(tcp, address, 1);
    peer?.write('x'.repeat(99_999));
    await settled();
    const { port } = address as { port: number };
    const waiting = await socketsOf(port);
    expect(waiting.filter(({ state }) => state === 'established').map(({ unread }) => unread)).toEqual([100_000]);
  });

  it('S3: a missing folder is ENOENT and names the path', async () => {
    const path = join(await freshFolder(), 'missing', 'socket');
    const server = listenAt(tcp, { path });
    await expect(firstValueFrom(server)).rejects.toMatchObject({
      code: 'ENOENT',
      address: { transport: 'unix', path },
      message: expect.stringContaining(path),
    });
    expect(existsSync(path)).toBe(false);
  });

  it('S3: a folder that may not be written to is EACCES', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'socket');
    chmodSync(folder, 0o555);
    const isRoot = process.geteuid?.() === 0;
    // Root may write everywhere.
    if (isRoot) process.seteuid?.(65_534);
    onTestFinished(() => {
      if (isRoot) process.seteuid?.(0);
      chmodSync(folder, 0o755);
    });
    const server = listenAt(tcp, { path });
    await expect(firstValueFrom(server)).rejects.toMatchObject({
      code: 'EACCES',
      address: { transport: 'unix', path },
    });
  });

  it('S3: an address that is not of this machine is EADDRNOTAVAIL', async () => {
    const server = listenAt(tcp, 'tcp://192.0.2.1:0');
    await expect(firstValueFrom(server)).rejects.toMatchObject({
      code: 'EADDRNOTAVAIL',
      address: { transport: 'tcp', host: '192.0.2.1', port: 0 },
    });
  });

  it('S3: a name that does not exist is an error notification', async () => {
    const server = listenAt(tcp, 'tcp://no-such-host.invalid:0');
    const error = await firstValueFrom(server).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(SocketError);
    expect(['ENOTFOUND', 'EAI_AGAIN']).toContain((error as SocketError).code);
  });

  it('S3: another process that listens is EADDRINUSE, and keeps its socket file', async () => {
    const address = await rawServer(unix, () => undefined);
    const server = listenAt(tcp, address);
    await expect(firstValueFrom(server)).rejects.toMatchObject({ code: 'EADDRINUSE', address });
    await rawClient(address);
  });

  it.each<[string, (path: string) => void]>([
    ['a file', (path) => writeFileSync(path, 'precious')],
    ['a folder', (path) => mkdirSync(path)],
    ['a symbolic link to nothing', (path) => symlinkSync('/nowhere', path)],
    ['a symbolic link to a file', (path) => symlinkSync('/etc/hostname', path)],
  ])('S3: %s at the path is ERR_NOT_A_SOCKET, and stays as it is', async (_what, make) => {
    const path = join(await freshFolder(), 'socket');
    make(path);
    const before = lstatSync(path);
    const server = listenAt(unix, { path });
    await expect(firstValueFrom(server)).rejects.toMatchObject({
      code: 'ERR_NOT_A_SOCKET',
      address: { transport: 'unix', path },
    });
    expect(lstatSync(path)).toMatchObject({ ino: before.ino, mode: before.mode, mtimeMs: before.mtimeMs });
  });

  it('S5: the kernel holds the clients of a TCP server that is held', async () => {
    const arrivals = new ReplaySubject<Connection>(Infinity);
    const { server, address } = await serverAt(tcp, (connection) => arrivals.next(connection));
    const { port } = address as { port: number };
    const hold = server.hold();
    await numberedPeers(tcp, address, 5);
    await settled();
    const queued = async (): Promise<number | undefined> =>
      (await socketsOf(port)).find(({ state }) => state === 'listening')?.unread;
    expect(await queued()).toBe(5);
    hold.release();
    await first(arrivals, 5);
    expect(await queued()).toBe(0);
  });

  it('S5: the kernel holds the clients of a unix server that is held, up to `backlog`', async () => {
    const arrivals = new ReplaySubject<Connection>(Infinity);
    const { server, address } = await serverAt(unix, (connection) => arrivals.next(connection), { backlog: 2 });
    const hold = server.hold();
    // Linux takes one more than asked for.
    await numberedPeers(unix, address, 3);
    await settled();
    await expect(rawClient(address)).rejects.toMatchObject({ code: 'EAGAIN' });
    expect(server.connections.size).toBe(0);
    hold.release();
    expect(await Promise.all((await first(arrivals, 3)).map(firstText))).toEqual(numbers(3));
    await rawClient(address);
    await first(arrivals, 4);
  });

  it('S1: an abstract name makes no file, and is given back', async () => {
    const name = `rxjs-sockets-${process.pid}-${Math.random()}`;
    for (let round = 0; round < 2; round++) {
      const server = listenAt(unix, `unix:@${name}`);
      const arrivals = arrivalsOf(server);
      expect(await firstValueFrom(server.listening)).toEqual({ transport: 'unix', path: `\0${name}` });
      const client = connect(`unix:@${name}`);
      const text = firstValueFrom(client.data);
      const [connection] = await first(arrivals, 1);
      connection?.data.next('hello');
      expect((await text).toString()).toBe('hello');
      expect(connection?.local).toEqual({ transport: 'unix', path: `\0${name}` });
      await connection?.close();
      await server.shutdown();
    }
    expect(existsSync(name) || existsSync(`@${name}`)).toBe(false);
  });

  it('S2: a client that comes over IPv4 to a server on both has its IPv4 address', async (context) => {
    const server = listenAt(tcp, { port: 0, host: '::' });
    const arrivals = arrivalsOf(server);
    const address = await firstValueFrom(server.listening.pipe(catchError(() => EMPTY)), { defaultValue: undefined });
    if (address === undefined) context.skip('there is no IPv6');
    const { port } = address as { port: number };
    expect(address).toEqual({ transport: 'tcp', host: '::', port });
    await rawClient({ transport: 'tcp', host: '127.0.0.1', port });
    await rawClient({ transport: 'tcp', host: '::1', port });
    const connections = await first(arrivals, 2);
    expect(connections.map(({ remote }) => (remote as { host: string }).host)).toEqual(['127.0.0.1', '::1']);
    expect(connections.map(({ local }) => (local as { host: string }).host)).toEqual(['127.0.0.1', '::1']);
  });

  it('S5: a server that is held and released in one turn goes on', async () => {
    for (const place of [tcp, unix, memory()]) {
      const arrivals = new ReplaySubject<Connection>(Infinity);
      const { server, address } = await serverAt(place, (connection) => arrivals.next(connection));
      for (let round = 0; round < 10; round++) server.hold().release();
      await peerAt(place, address);
      await first(arrivals, 1);
    }
  });

  it('A2: without a host it is on the loopback alone', async () => {
    const { address } = await serverAt(tcp, () => undefined);
    expect(address).toMatchObject({ host: '127.0.0.1' });
    const { port } = address as { port: number };
    const other = outerAddress();
    if (other !== undefined) expect(await dialling(tcp, { transport: 'tcp', host: other, port })).toBe('ECONNREFUSED');
    expect(await dialling(tcp, address)).toBe('connected');
  });
});

/** An address of this machine that is not the loopback's, if it has one. */
function outerAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ internal, family }) => !internal && family === 'IPv4')?.address;
}

/** The TCP sockets of this machine with the local port `port`, and how much waits in them: bytes, or clients. */
async function socketsOf(port: number): Promise<{ state: string; unread: number }[]> {
  const table = await readFile('/proc/net/tcp', 'utf8');
  const states: Record<string, string> = { '01': 'established', '0A': 'listening' };
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local]) => local?.endsWith(`:${port.toString(16).toUpperCase().padStart(4, '0')}`))
    .map(([, , , state = '', queues = '']) => ({
      state: states[state] ?? state,
      unread: Number.parseInt(queues.split(':')[1] ?? '', 16),
    }));
}
