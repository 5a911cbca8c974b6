import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { config, firstValueFrom, map, ReplaySubject, take, toArray } from 'rxjs';
import { type Address, type Connection, listen, mergeMapPaced, type SocketError } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Puppet } from '../faults/puppets.js';
import '../support/leaks.js';
import { peerAt } from '../support/sockets/peer.js';
import { settled } from '../support/scheduling/event-loop.js';
import { places, realPlaces, tcp } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { abort } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { until } from '../support/scheduling/event-loop.js';
import { gated, ungated } from '../support/transport/node/internals/accept-gate.js';

const real = realPlaces.map((place) => [place.name, place] as const);

describe.each(places.map((place) => [place.name, place] as const))('errors of one connection on %s', (_name, place) => {
  it('S4: RxJS reports an exception that a subscriber of the server throws, and every subscriber still gets new connections', async () => {
    const reported: unknown[] = [];
    config.onUnhandledError = (error) => reported.push(error);
    onTestFinished(() => {
      config.onUnhandledError = null;
    });
    const arrivals = new ReplaySubject<Connection>(Infinity);
    let count = 0;
    const { server, address } = await serverAt(place, () => {
      throw new Error(`thrown ${++count}`);
    });
    const other = server.subscribe(arrivals);
    onTestFinished(() => other.unsubscribe());
    for (let index = 0; index < 3; index++) await peerAt(place, address);
    const emitted = await firstValueFrom(arrivals.pipe(take(3), toArray()));
    expect(server.connections.size).toBe(3);
    await until(() => reported.length === 3);
    expect(reported.map((error) => (error as Error).message)).toEqual(['thrown 1', 'thrown 2', 'thrown 3']);
    const peer = await peerAt(place, address);
    const last = (await firstValueFrom(arrivals.pipe(take(4), toArray())))[3];
    last?.bytes.next('hello');
    await peer.receives('hello');
    expect(emitted).toHaveLength(3);
    await until(() => reported.length === 4);
  });

  it('S4: if a connection without a subscriber fails, `incidents` reports the failure', async () => {
    const { server, address } = await serverAt(place, () => undefined);
    const incidents = record(server.incidents);
    if (place.name === 'memory') (await peerAt(place, address)).destroy();
    else {
      const raw = await rawClient(address);
      await until(() => server.connections.size === 1);
      await abort(raw, [...server.connections][0] as Connection);
    }
    expect(await incidents.count(1)).toMatchObject([{ code: 'ECONNRESET' }]);
    await peerAt(place, address);
    await until(() => server.connections.size === 1);
  });

  it('S4: `incidents` still reports connection failures after the server has stopped listening', async () => {
    const { server, address, subscription } = await serverAt(place, () => undefined, { idleTimeout: 10 });
    const incidents = record(server.incidents);
    await peerAt(place, address);
    await until(() => server.connections.size === 1);
    subscription.unsubscribe();
    expect(await incidents.count(1)).toMatchObject([{ code: 'ERR_TIMEOUT_IDLE' }]);
    expect(incidents.endings).toEqual([]);
  });
});

describe.each(real)('clients that abort their connections or are killed, on %s', (_name, place) => {
  describe.each([
    ['in the kernel', gated],
    ['in the process, because the listener cannot be paused', ungated],
  ])('before clients are accepted, the clients wait %s', (_where, prepared) => {
    it('S4: if a client aborts its connection or is killed, before or after the client is accepted, other clients are not affected', async () => {
      const arrivals = new ReplaySubject<Connection>(Infinity);
      const { server, address } = await serverAt(prepared(place), (connection) => arrivals.next(connection));
      const failures: SocketError[] = [];
      const serverEnd = record(server);
      onTestFinished(() => serverEnd.subscription.unsubscribe());
      server.incidents.subscribe((error) => failures.push(error));
      const doomed = await Puppet.start();
      const hold = server.hold();
      // Two clients end before they are accepted: the first aborts its connection, and the second is killed.
      const reset = await doomed.connect(address);
      await doomed.write(reset, 10);
      if (place.name === 'tcp') await doomed.reset(reset);
      else await doomed.destroy(reset);
      await doomed.connect(address);
      await doomed.kill();
      const staying = await rawClient(address);
      await settled();
      hold.release();
      await firstValueFrom(arrivals.pipe(take(3), toArray()));
      // The server accepts two more clients, reads from one client and sends to the other. Then both are killed.
      const other = await Puppet.start();
      const ids = [await other.connect(address), await other.connect(address)];
      const emitted = await firstValueFrom(arrivals.pipe(take(5), toArray()));
      emitted[3]?.data.subscribe({ error: () => undefined });
      emitted[4]?.bytes.next(Buffer.alloc(100_000));
      for (const id of ids) await other.write(id, 1_000);
      await other.kill();
      staying.write('still here');
      const [text] = await Promise.all([
        firstValueFrom((emitted[2] as Connection).bytes.pipe(map((chunk) => chunk.toString()))),
        ...[3, 4].map((index) =>
          firstValueFrom((emitted[index] as Connection).bytes.pipe(toArray())).catch(() => undefined),
        ),
      ]);
      expect(text).toBe('still here');
      expect(serverEnd.endings).toEqual([]);
      expect(failures.every(({ code }) => ['ECONNRESET', 'EPIPE'].includes(code))).toBe(true);
      await peerAt(place, address);
      await firstValueFrom(arrivals.pipe(take(6), toArray()));
    });
  });

  it('S4: after hundreds of clients have connected and disconnected at the same time, the server has no connection left', async () => {
    const { server, address } = await serverAt(place, ({ data }) => data.subscribe({ error: () => undefined }), {
      halfOpen: false,
    });
    const where =
      address.transport === 'tcp'
        ? { port: address.port, host: address.host }
        : { path: (address as { path: string }).path };
    await Promise.all(
      Array.from({ length: 300 }, async (_, index) => {
        const socket = net.connect(where);
        socket.on('error', () => undefined);
        const closed = new Promise((resolve) => socket.once('close', resolve));
        if (index % 3 > 0) await once(socket, 'connect').catch(() => undefined);
        if (index % 3 === 2) socket.write('hello');
        if (index % 2 === 0 && place.name === 'tcp') socket.resetAndDestroy();
        else socket.destroy();
        await closed;
      }),
    );
    await until(() => server.connections.size === 0);
    const peer = await peerAt(place, address);
    await until(() => server.connections.size === 1);
    peer.end();
  });
});

/** Returns how many clients wait in the listen queue of the TCP port in `address`. */
function queued(address: Address): number {
  if (address.transport !== 'tcp') return -1;
  const row = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .find(([, local, , state]) => state === '0A' && Number.parseInt(local?.split(':')[1] ?? '', 16) === address.port);
  return Number.parseInt(row?.[4]?.split(':')[1] ?? '', 16);
}

describe.each(real)('many clients on %s', (_name, place) => {
  it('S5: 3,000 clients wait in the kernel, and the server serves ten clients at a time, in the order in which they connected', async () => {
    const most = 10;
    const total = 3_000;
    const { options } = gated(place);
    const settings = { ...options, codec: lines(), backlog: total, claimTimeout: 0 };
    const server = listen<string, string>(await place.address(), settings);
    const incidents = record(server.incidents);
    const begin = server.hold();
    let busiest = 0;
    const order: number[] = [];
    const served = record(
      server.pipe(
        mergeMapPaced(async (connection) => {
          busiest = Math.max(busiest, server.connections.size);
          const line = await firstValueFrom(connection.data);
          order.push(Number(line));
          connection.data.next(line);
          await connection.close();
          return line;
        }, most),
      ),
    );
    onTestFinished(() => served.subscription.unsubscribe());
    const address = await firstValueFrom(server.listening);
    const callers = dial(address, total);
    const [{ dialled }] = (await once(callers, 'message')) as [{ dialled: number }];
    expect(dialled).toBe(total);
    expect(server.connections.size).toBe(0);
    // The kernel limits the listen queue to the setting somaxconn, which is 4,096 by default.
    if (place.name === 'tcp') expect(queued(address)).toBe(total);
    begin.release();
    const [{ answers }] = (await once(callers, 'message')) as [{ answers: string[] }];
    await served.count(total);
    expect(answers.map(Number).toSorted((a, b) => a - b)).toEqual(Array.from({ length: total }, (_, number) => number));
    // The server may answer the ten clients that it serves at the same time in any order.
    expect(order.every((number, index) => Math.abs(number - index) < most)).toBe(true);
    expect(busiest).toBe(most);
    expect(incidents.values).toEqual([]);
    await until(() => server.connections.size === 0);
  });
});

function dial(address: Address, count: number): ChildProcess {
  const program = fileURLToPath(new URL('../support/processes/queued-clients.mjs', import.meta.url));
  const where = address.transport === 'tcp' ? String(address.port) : (address as { path: string }).path;
  const child = fork(program, [where, String(count)], { execArgv: [] });
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  });
  return child;
}

it('S5: a server with a backlog of 1 still serves all clients', async () => {
  const server = listen<string, string>(await tcp.address(), { codec: lines(), backlog: 1 });
  const served = record(server.pipe(mergeMapPaced(({ data }) => data.pipe(take(1)), 1)));
  onTestFinished(() => {
    served.subscription.unsubscribe();
    for (const connection of server.connections) connection.destroy();
  });
  const address = await firstValueFrom(server.listening);
  const clients = await Promise.all(Array.from({ length: 8 }, () => rawClient(address)));
  for (const [index, client] of clients.entries()) client.write(`${index}\n`);
  expect((await served.count(8)).toSorted()).toEqual(['0', '1', '2', '3', '4', '5', '6', '7']);
});
