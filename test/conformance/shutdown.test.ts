import { existsSync, readdirSync } from 'node:fs';
import net from 'node:net';
import { dirname } from 'node:path';
import { firstValueFrom, ReplaySubject, take, toArray } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { connect, type Connection, listen, type SocketError } from 'rxjs-sockets';
import { memoryTransport } from 'rxjs-sockets/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Puppet } from '../faults/puppets.js';
import '../support/leaks.js';
import { peerAt } from '../support/sockets/peer.js';
import { settled } from '../support/scheduling/event-loop.js';
import { freshFolder, type Place, places, realPlaces, tcp, unix } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { record } from '../support/recording/record.js';
import { until } from '../support/scheduling/event-loop.js';
import { gated, ungated } from '../support/transport/node/internals/accept-gate.js';

async function opened(place: Place, options = {}) {
  const arrivals = new ReplaySubject<Connection>(Infinity);
  const { server, address } = await serverAt(place, (connection) => arrivals.next(connection), options);
  const accepted = (count: number): Promise<Connection[]> => firstValueFrom(arrivals.pipe(take(count), toArray()));
  return { server, address, accepted };
}

const refusal = /ENOENT|ECONNREFUSED/;

describe.each(places.map((place) => [place.name, place] as const))('shutdown on %s', (_name, place) => {
  it('S7: a shutdown stops accepting, closes every connection gracefully, completes the server, and resolves', async () => {
    const { server, address, accepted } = await opened(place);
    const [one, other] = [await peerAt(place, address), await peerAt(place, address)];
    const connections = await accepted(2);
    const recording = record(server);
    const incidents = record(server.incidents);
    for (const { bytes } of connections) bytes.next('the last words');
    const shutdown = server.shutdown();
    await expect(peerAt(place, address)).rejects.toMatchObject({ code: expect.stringMatching(refusal) });
    for (const peer of [one, other]) {
      await peer.receives('the last words');
      expect(await peer.ended).toBe('fin');
      expect(recording.endings).toEqual([]);
      peer.write('and mine');
      peer.end();
    }
    await shutdown;
    expect(recording.endings).toEqual(['complete']);
    expect(incidents.endings).toEqual(['complete']);
    expect(incidents.values).toEqual([]);
    expect(server.connections.size).toBe(0);
    for (const { closed } of connections) {
      expect(await firstValueFrom(closed)).toMatchObject({ reason: 'finished', bytesRead: 8, bytesWritten: 14 });
    }
  });

  it('S7: a second call of `shutdown` returns the promise of the first call, even if a notification of the first call makes the second call', async () => {
    const { server, address, accepted } = await opened(place);
    const peer = await peerAt(place, address);
    const [connection] = await accepted(1);
    const promises: Promise<void>[] = [];
    const again = (): void => void promises.push(server.shutdown());
    server.listening.subscribe({ complete: again });
    server.incidents.subscribe({ complete: again });
    server.subscribe({ complete: again });
    connection?.data.subscribe({ complete: again });
    connection?.data.writable.subscribe({ complete: again });
    connection?.closed.subscribe(again);
    const first = server.shutdown();
    again();
    void peer.ended.then(() => peer.end());
    await first;
    again();
    expect(promises.length).toBe(8);
    expect(promises.every((promise) => promise === first)).toBe(true);
  });

  it('S7: connections that are still open at the deadline are aborted and reported in `incidents`', async () => {
    const { server, address, accepted } = await opened(place);
    const peer = await peerAt(place, address);
    const [connection] = await accepted(1);
    const incidents = record(server.incidents);
    // The peer reads, but never ends its side.
    await server.shutdown({ deadline: 20 });
    expect(await firstValueFrom((connection as Connection).closed)).toMatchObject({
      reason: 'failed',
      error: { code: 'ERR_TIMEOUT_CLOSE' },
    });
    expect(incidents.values).toMatchObject([{ code: 'ERR_TIMEOUT_CLOSE' }]);
    expect(server.connections.size).toBe(0);
    await peer.ended;
  });

  it('S7: a shutdown resets the clients that wait to be accepted', async () => {
    const { server, address } = await opened(gated(place));
    const hold = server.hold();
    const peers = [await peerAt(place, address), await peerAt(place, address), await peerAt(place, address)];
    await settled();
    await server.shutdown();
    expect(await Promise.all(peers.map(({ ended }) => ended))).toEqual(Array(3).fill('ECONNRESET'));
    hold.release();
    expect(server.connections.size).toBe(0);
  });

  it('S7: if the listener cannot be paused, a shutdown disconnects the clients that wait in the process', async () => {
    const { server, address } = await opened(ungated(place));
    server.hold();
    const peers = [await peerAt(place, address), await peerAt(place, address), await peerAt(place, address)];
    await settled();
    await server.shutdown();
    await Promise.all(peers.map(({ ended }) => ended));
    expect(server.connections.size).toBe(0);
  });

  it('S14: after a shutdown, the server completes at once for each new subscriber, and binds nothing', async () => {
    const server = listen(await place.address(), place.options);
    const asked = record(server.listening);
    await server.shutdown();
    expect(asked.endings).toEqual(['complete']);
    for (const observable of [server, server.listening, server.incidents]) {
      const recording = record<unknown>(observable);
      expect(await recording.end()).toBe('complete');
      expect(recording.values).toEqual([]);
    }
    const values: unknown[] = [];
    for await (const connection of server) values.push(connection);
    expect(values).toEqual([]);
    server.hold().release();
    await server.shutdown();
  });

  it('S7: a shutdown closes the connections of a server even if the server has no subscribers', async () => {
    const { server, address, accepted } = await opened(place);
    const peer = await peerAt(place, address);
    const [connection] = await accepted(1);
    const arrivals = server.subscribe();
    arrivals.unsubscribe();
    const shutdown = server.shutdown();
    expect(await peer.ended).toBe('fin');
    peer.end();
    await shutdown;
    expect(await firstValueFrom((connection as Connection).closed)).toMatchObject({ reason: 'finished' });
  });

  it('S7: `shutdown` in the same turn as the subscription leaves nothing bound', async () => {
    const address = await place.address();
    const server = listen(address, place.options);
    const recording = record(server);
    const listening = record(server.listening);
    await server.shutdown();
    expect(recording.endings).toEqual(['complete']);
    expect(listening).toMatchObject({ values: [], endings: ['complete'] });
    const next = listen(address, place.options);
    const arrivals = next.subscribe();
    await firstValueFrom(next.listening);
    arrivals.unsubscribe();
  });

  it('S7: a shutdown waits for connections that are already closing, then resolves', async () => {
    const { server, address, accepted } = await opened(place);
    const peers = [await peerAt(place, address), await peerAt(place, address), await peerAt(place, address)];
    const [one, two] = await accepted(3);
    one?.destroy();
    void two?.close();
    const shutdown = server.shutdown();
    for (const peer of peers) {
      await peer.ended;
      peer.end();
    }
    await shutdown;
    expect(server.connections.size).toBe(0);
  });

  it.each([-1, NaN, 2 ** 31, Infinity, '1' as unknown as number])(
    'S14: `shutdown` rejects the deadline %s with ERR_OPTION_INVALID, and shuts nothing down',
    async (deadline) => {
      const { server, address } = await opened(place);
      await expect(server.shutdown({ deadline })).rejects.toMatchObject({
        code: 'ERR_OPTION_INVALID',
        message: expect.stringContaining('deadline'),
      });
      await peerAt(place, address);
      await until(() => server.connections.size === 1);
    },
  );
});

describe.each(realPlaces.map((place) => [place.name, place] as const))('shutdown on %s', (_name, place) => {
  it('S7: a shutdown resolves even if peers do not read, do not end their side, are stopped, or were killed', async () => {
    const { server, address, accepted } = await opened(place, { maxBuffered: 64_000_000 });
    const stopped = await Puppet.start();
    const killed = await Puppet.start();
    await stopped.connect(address);
    await killed.connect(address);
    const deaf = await rawClient(address);
    deaf.pause();
    await rawClient(address);
    const connections = await accepted(4);
    for (const { bytes } of connections) bytes.next(Buffer.alloc(16_000_000));
    stopped.signal('SIGSTOP');
    await killed.kill();
    await server.shutdown({ deadline: 50 });
    const closed = await Promise.all(connections.map((connection) => firstValueFrom(connection.closed)));
    expect(closed.map(({ reason }) => reason)).toEqual(Array(4).fill('failed'));
    expect(server.connections.size).toBe(0);
    await stopped.kill();
  });

  it('S7: when a shutdown resolves, sockets, timers and the socket file are gone', async () => {
    const puppet = await Puppet.start();
    const before = resources();
    const files = readdirSync('/proc/self/fd').length;
    for (const withClients of [false, true]) {
      const server = listen(await place.address(), { ...place.options, idleTimeout: 1_000, claimTimeout: 500 });
      const recording = record(server);
      const address = await firstValueFrom(server.listening);
      if (withClients) {
        await Promise.all([puppet.connect(address), puppet.connect(address), puppet.connect(address)]);
        await recording.count(3);
        server.hold();
        await puppet.connect(address);
      }
      await server.shutdown({ deadline: 10 });
      expect(resources()).toEqual(before);
      expect(readdirSync('/proc/self/fd').length).toBe(files);
      if (address.transport === 'unix') {
        expect(readdirSync(dirname(address.path))).toEqual([]);
        expect(existsSync(address.path)).toBe(false);
      }
    }
  });

  it('S7: when a shutdown resolves, the resources of the listeners of earlier subscriptions are gone', async () => {
    const before = resources();
    const server = listen(await place.address(), place.options);
    for (let runs = 0; runs < 2; runs++) {
      const subscription = server.subscribe();
      await firstValueFrom(server.listening);
      subscription.unsubscribe();
    }
    await server.shutdown();
    expect(resources()).toEqual(before);
  });

  it('S7: a shutdown drops clients that have not completed their PROXY header', async () => {
    const peers: net.Socket[] = [];
    const { server, address } = await opened(place, { proxyProtocol: { trusted: ['127.0.0.1', 'unix:'] } }).catch(() =>
      opened(tcp, { proxyProtocol: { trusted: ['127.0.0.1'] } }),
    );
    for (let count = 0; count < 3; count++) peers.push(await rawClient(address));
    peers[0]?.write('PROXY TCP4');
    await settled();
    const ended = peers.map((peer) => new Promise((resolve) => peer.resume().once('close', resolve)));
    await server.shutdown({ deadline: 0 });
    for (const peer of peers) peer.end();
    await Promise.all(ended);
  });
});

it('S7: if the lookup of a name is pending at the shutdown, the server never binds', async () => {
  const inside = net as unknown as { _createServerHandle(...args: unknown[]): unknown };
  const create = inside._createServerHandle;
  const bound: unknown[] = [];
  inside._createServerHandle = (...args) => {
    bound.push(args[0]);
    return create(...args);
  };
  onTestFinished(() => {
    inside._createServerHandle = create;
  });
  const { options } = gated(tcp);
  const server = listen({ host: 'localhost', port: 0 }, options);
  const recording = record(server);
  await server.shutdown();
  expect(recording.endings).toEqual(['complete']);
  // The lookup of `other` is answered after the lookup of `server`. So `server` has already ignored its answer when
  // `other` listens.
  const other = listen({ host: 'localhost', port: 0 }, options);
  const serving = other.subscribe();
  await firstValueFrom(other.listening);
  serving.unsubscribe();
  expect(bound).toHaveLength(1);
});

it('S7: if a server is shut down before it has created its socket file, it never creates this file', async () => {
  const path = `${await freshFolder()}/socket`;
  const owner = net.createServer().listen(path);
  await new Promise((resolve) => owner.once('listening', resolve));
  const server = listen({ path }, unix.options);
  const recording = record(server);
  await server.shutdown();
  expect(recording.endings).toEqual(['complete']);
  expect(readdirSync(dirname(path))).toEqual(['socket']);
  await new Promise((resolve) => owner.close(resolve));
});

describe('shutdown, in virtual time', () => {
  /** Runs a server with one client, which ends its side only in `finish`. Returns the events with their times. */
  function run(closeTimeout: number | undefined, act: (events: Script) => void): string[] {
    const scheduler = new TestScheduler(() => undefined);
    const events: string[] = [];
    const note = (what: string): void => void events.push(`${scheduler.now()} ${what}`);
    scheduler.run(() => {
      const transport = memoryTransport();
      const server = listen('memory:m', { transport, ...(closeTimeout === undefined ? {} : { closeTimeout }) });
      server.subscribe({
        next: ({ closed }) => closed.subscribe(({ reason, error }) => note(`${reason} ${error?.code ?? ''}`.trim())),
        complete: () => note('complete'),
      });
      const client = connect('memory:m', { transport, halfOpen: true, halfOpenTimeout: 0 });
      client.data.subscribe({
        complete: () => note('FIN'),
        error: (error: unknown) => note((error as SocketError).code),
      });
      const at = (time: number, what: () => void): void => void scheduler.schedule(what, time);
      at(10, () =>
        act({
          at,
          finish: () => client.data.complete(),
          shutdown: (deadline) => void server.shutdown(deadline === undefined ? {} : { deadline }),
        }),
      );
    });
    return events;
  }

  interface Script {
    at(time: number, what: () => void): void;
    finish(): void;
    shutdown(deadline?: number): void;
  }

  it('S7: the default deadline is `closeTimeout`, which is 5,000 ms by default', () => {
    expect(run(undefined, ({ shutdown }) => shutdown())).toEqual([
      '10 FIN',
      '5010 failed ERR_TIMEOUT_CLOSE',
      '5010 complete',
    ]);
    expect(run(70, ({ shutdown }) => shutdown())).toEqual(['10 FIN', '80 failed ERR_TIMEOUT_CLOSE', '80 complete']);
    expect(run(70, ({ shutdown }) => shutdown(100))).toEqual([
      '10 FIN',
      '110 failed ERR_TIMEOUT_CLOSE',
      '110 complete',
    ]);
  });

  it('S7: the server completes as soon as every connection has ended, before the deadline', () => {
    const events = run(undefined, ({ at, finish, shutdown }) => {
      shutdown(1_000);
      at(90, finish);
    });
    expect(events).toEqual(['10 FIN', '100 finished', '100 complete']);
  });

  it('S14: the deadline 0 means no limit', () => {
    const events = run(50, ({ at, finish, shutdown }) => {
      shutdown(0);
      at(86_400_000, finish);
    });
    expect(events).toEqual(['10 FIN', '86400010 finished', '86400010 complete']);
  });

  it('S14: a second call of `shutdown` can bring the deadline of the first call forward, but not postpone this deadline', () => {
    const hurried = run(undefined, ({ at, shutdown }) => {
      shutdown(0);
      at(90, () => shutdown(50));
      at(95, () => shutdown(1_000));
    });
    expect(hurried).toEqual(['10 FIN', '150 failed ERR_TIMEOUT_CLOSE', '150 complete']);
    const putOff = run(undefined, ({ at, shutdown }) => {
      shutdown(50);
      at(10, () => shutdown(0));
      at(10, () => shutdown(1_000));
    });
    expect(putOff).toEqual(['10 FIN', '60 failed ERR_TIMEOUT_CLOSE', '60 complete']);
  });
});

/** Returns the resources that keep the process alive, except those of the test runner. */
function resources(): string[] {
  return process
    .getActiveResourcesInfo()
    .filter((kind) => !['Immediate', 'TickObject', 'Timeout', 'FSReqPromise', 'CloseReq'].includes(kind))
    .sort();
}
