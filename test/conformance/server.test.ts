import { readFile } from 'node:fs/promises';
import { catchError, concatMap, EMPTY, firstValueFrom, from, map, ReplaySubject, take, tap, toArray } from 'rxjs';
import { type Connection, connect, type ListenOptions, mergeMapPaced, concatMapPaced, SocketError } from 'rxjs-sockets';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { peerAt } from '../support/sockets/peer.js';
import { settled } from '../support/scheduling/event-loop.js';
import { memory, tcp, unix } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { gated, ungated } from '../support/transport/node/internals/accept-gate.js';
import {
  listenAt,
  dialling,
  nobody,
  arrivalsOf,
  first,
  numberedPeers,
  everywhere,
} from '../support/server/listening-servers.js';

const firstText = async (connection: Connection): Promise<string> =>
  (await firstValueFrom(connection.bytes)).toString();

const numbers = (count: number): string[] => Array.from({ length: count }, (_, number) => String(number));

describe.each(everywhere)('a server on %s', (_name, place) => {
  it('S2: a server emits each client once, in the order in which the clients connected', async () => {
    const arrivals = new ReplaySubject<Connection>(Infinity);
    const { server, address } = await serverAt(place, (connection) => arrivals.next(connection));
    await numberedPeers(place, address, 8);
    const connections = await first(arrivals, 8);
    expect(await Promise.all(connections.map(firstText))).toEqual(numbers(8));
    expect(new Set(connections.map((connection) => connection.id)).size).toBe(8);
    expect(server.connections.size).toBe(8);
  });

  it('S2: each connection has the addresses of both sides', async () => {
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

  it('S2: if a client sends while the server is held, nothing that the client has sent is lost', async () => {
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

  it('S2: if a client leaves while the server is held, the connection of this client is still emitted, and ends', async () => {
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

  describe.each([
    ['in the kernel', gated],
    ['in the process, because the listener cannot be paused', ungated],
  ])('S5: clients that wait %s', (_where, prepared) => {
    const open = async (options: ListenOptions = {}) => {
      const arrivals = new ReplaySubject<Connection>(Infinity);
      const opened = await serverAt(prepared(place), (connection) => arrivals.next(connection), options);
      return { ...opened, arrivals };
    };

    it('S5: while the server is held, clients can connect but no connection is emitted, and on release all connections are emitted in order', async () => {
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

    it('S5: a server can be held before the first subscription', async () => {
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

    it('S5: when the last subscriber leaves, a Hold stays and applies to the next subscription', async () => {
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

    it('S5: if the server is held when the first of several clients is emitted, the other clients wait', async () => {
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

    it('S5: `for await` serves one connection after another', async () => {
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
      expect(await dialling(place, address)).toBe(nobody(place));
    });

    it.each([1, 2, 5])('S5: `mergeMapPaced` serves %i clients at a time, and never more clients', async (most) => {
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

    it('S5: `concatMapPaced` serves one client after another, in order', async () => {
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

  it('S5: clients that wait in the kernel do not count in `acceptQueue`', async () => {
    const arrivals = new ReplaySubject<Connection>(Infinity);
    const { server, address } = await serverAt(gated(place), (connection) => arrivals.next(connection), {
      acceptQueue: 1,
    });
    const incidents: SocketError[] = [];
    server.incidents.subscribe((error) => incidents.push(error));
    const hold = server.hold();
    await numberedPeers(place, address, 6);
    await settled();
    hold.release();
    expect(await Promise.all((await first(arrivals, 6)).map(firstText))).toEqual(numbers(6));
    expect(incidents).toEqual([]);
  });

  it('S5: if a server is held before it listens, it accepts no client before the release', async () => {
    const server = listenAt(gated(place), await place.address(), { acceptQueue: 1 });
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

  it('S5: if the server is held again after it has emitted the first of several waiting clients, the other clients stay in the kernel', async () => {
    const arrivals = new ReplaySubject<Connection>(Infinity);
    const { server, address } = await serverAt(
      gated(place),
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

  it('S5: if the listener cannot be paused, a client beyond `acceptQueue` is reset and reported in `incidents`', async () => {
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
    const later = await peerAt(place, address);
    later.write('later');
    expect(await firstText((await first(arrivals, 4))[3] as Connection)).toBe('later');
  });

  it('S5: a client beyond `maxConnections` is reset and reported in `incidents`, and the server continues', async () => {
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
});

describe('a server on real sockets', () => {
  it('S2: nothing is read from a client that waits in the process', async () => {
    const { server, address } = await serverAt(ungated(tcp), () => undefined, { acceptQueue: 4 });
    server.hold();
    const [peer] = await numberedPeers(tcp, address, 1);
    peer?.write('x'.repeat(99_999));
    await settled();
    const { port } = address as { port: number };
    const waiting = await socketsOf(port);
    expect(waiting.filter(({ state }) => state === 'established').map(({ unread }) => unread)).toEqual([100_000]);
  });

  it('S5: while a TCP server is held, its clients wait in the kernel', async () => {
    const arrivals = new ReplaySubject<Connection>(Infinity);
    const { server, address } = await serverAt(gated(tcp), (connection) => arrivals.next(connection));
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

  it('S5: while a unix server is held, its clients wait in the kernel, up to `backlog`', async () => {
    const arrivals = new ReplaySubject<Connection>(Infinity);
    const { server, address } = await serverAt(gated(unix), (connection) => arrivals.next(connection), { backlog: 2 });
    const hold = server.hold();
    // Linux queues one client more than `backlog`.
    await numberedPeers(unix, address, 3);
    await settled();
    await expect(rawClient(address)).rejects.toMatchObject({ code: 'EAGAIN' });
    expect(server.connections.size).toBe(0);
    hold.release();
    expect(await Promise.all((await first(arrivals, 3)).map(firstText))).toEqual(numbers(3));
    await rawClient(address);
    await first(arrivals, 4);
  });

  it('S2: if a client connects over IPv4 to a dual-stack server, the connection has IPv4 addresses', async (context) => {
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

  it('S5: if a server is held and released in one turn, the server continues to accept', async () => {
    for (const place of [tcp, unix, memory()]) {
      const arrivals = new ReplaySubject<Connection>(Infinity);
      const { server, address } = await serverAt(place, (connection) => arrivals.next(connection));
      for (let round = 0; round < 10; round++) server.hold().release();
      await peerAt(place, address);
      await first(arrivals, 1);
    }
  });
});

/** Returns the TCP sockets with this local port. `unread` counts unread bytes, or the queued clients of a listener. */
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
