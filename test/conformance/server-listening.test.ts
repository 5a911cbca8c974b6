import { existsSync } from 'node:fs';
import net from 'node:net';
import { networkInterfaces } from 'node:os';
import { endWith, repeat, firstValueFrom, lastValueFrom, map, ReplaySubject, tap, toArray } from 'rxjs';
import { type Address, type Connection, connect, parseAddress } from 'rxjs-sockets';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { peerAt } from '../support/sockets/peer.js';
import { settled } from '../support/scheduling/event-loop.js';
import { type Place, tcp, unix } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { until } from '../support/scheduling/event-loop.js';
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

/** How many sockets and listeners this process has open. */
const handles = (): number => process.getActiveResourcesInfo().filter((kind) => /^(TCP|Pipe)/.test(kind)).length;

const atRest = handles();

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

describe.each(everywhere)('a server on %s', (_name, place) => {
  it('S1: a server binds nothing before it has a subscriber, and a subscription to `listening` binds nothing', async () => {
    const address = await freeAddress(place);
    const server = listenAt(place, address);
    const addresses: Address[] = [];
    const listening = server.listening.subscribe((bound) => addresses.push(bound));
    const hold = server.hold();
    const derived = server.pipe(map((connection) => connection.id));
    server.incidents.subscribe();
    await settled();
    expect(await dialling(place, address)).toBe(nobody(place));
    expect(addresses).toEqual([]);
    expect(server.connections.size).toBe(0);
    hold.release();
    const subscription = derived.subscribe();
    await firstValueFrom(server.listening);
    expect(addresses).toEqual([address]);
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

  it('S1: when one of several subscribers leaves, the server continues for the other subscribers', async () => {
    const server = listenAt(place, await place.address());
    const staying = arrivalsOf(server);
    const leaving = server.subscribe();
    const address = await firstValueFrom(server.listening);
    leaving.unsubscribe();
    await peerAt(place, address);
    expect(await first(staying, 1)).toHaveLength(1);
  });

  it('S1: when the last subscriber leaves, the listener closes at once, but emitted connections stay open', async () => {
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

  it('S1: when the last subscriber leaves, the clients that wait to be accepted are reset', async () => {
    const { server, address, subscription } = await serverAt(gated(place), () => undefined);
    server.hold();
    const peers = [await peerAt(place, address), await peerAt(place, address), await peerAt(place, address)];
    await settled();
    subscription.unsubscribe();
    expect(await Promise.all(peers.map((peer) => peer.ended))).toEqual(Array(3).fill('ECONNRESET'));
    expect(server.connections.size).toBe(0);
  });

  it('S1: if the listener cannot be paused, the clients that wait in the process are disconnected when the last subscriber leaves', async () => {
    const { server, address, subscription } = await serverAt(ungated(place), () => undefined);
    server.hold();
    const peers = [await peerAt(place, address), await peerAt(place, address), await peerAt(place, address)];
    await settled();
    subscription.unsubscribe();
    // On a unix socket, only unread input causes a reset. The clients wrote nothing, so the clients see a FIN.
    const how = place.name === 'unix' ? 'fin' : 'ECONNRESET';
    expect(await Promise.all(peers.map((peer) => peer.ended))).toEqual(Array(3).fill(how));
    expect(server.connections.size).toBe(0);
  });

  it('S1: a server binds again for a new subscriber after the last subscriber has left', async () => {
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

  it('S1: before the server listens, its last subscriber can leave and a new subscriber can join', async () => {
    const address = await freeAddress(place);
    const server = listenAt(place, address);
    server.subscribe().unsubscribe();
    server.subscribe().unsubscribe();
    const arrivals = arrivalsOf(server);
    expect(await firstValueFrom(server.listening)).toEqual(address);
    await peerAt(place, address);
    await first(arrivals, 1);
  });

  it('S10: `listening` emits the address to a subscriber, whether the subscriber joins before or after the bind', async () => {
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
    expect(await dialling(place, address)).toBe('connected');
    subscription.unsubscribe();
    expect(early).toEqual([address, 'complete']);
    expect(late).toEqual([address, 'complete']);
  });

  it('S10: `listening` completes when binding fails, and when the server is shut down', async () => {
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
    // New subscriptions to `listening` complete, even before the shutdown has resolved.
    expect(await firstValueFrom(stopped.listening.pipe(toArray()))).toEqual([]);
    await shutdown;
    expect(await firstValueFrom(stopped.listening.pipe(toArray()))).toEqual([]);
  });

  it('S10: `listening` completes if a server is shut down before it has listened', async () => {
    const server = listenAt(place, await place.address());
    const addresses = firstValueFrom(server.listening.pipe(toArray()));
    await server.shutdown();
    expect(await addresses).toEqual([]);
    expect(await firstValueFrom(server.pipe(toArray()))).toEqual([]);
  });

  it('S14: a server that has been shut down never binds again', async () => {
    const address = await freeAddress(place);
    const server = listenAt(place, address);
    const arrivals = arrivalsOf(server);
    await firstValueFrom(server.listening);
    await server.shutdown();
    expect(await firstValueFrom(arrivals.pipe(toArray()))).toEqual([]);
    expect(await firstValueFrom(server.pipe(toArray()))).toEqual([]);
    expect(await dialling(place, address)).toBe(nobody(place));
  });

  it('S10: when the server is bound again, new subscribers to `listening` get the address', async () => {
    const server = listenAt(place, await place.address());
    const addresses: (Address | 'complete')[] = [];
    const listening = server.listening
      .pipe(endWith('complete' as const), repeat(2))
      .subscribe((address) => addresses.push(address));
    for (let round = 0; round < 2; round++) {
      const subscription = server.subscribe();
      const bound = await firstValueFrom(server.listening);
      subscription.unsubscribe();
      expect(addresses.slice(round * 2)).toEqual([bound, 'complete']);
    }
    listening.unsubscribe();
  });

  it('S11: a failure to bind and the end of the server are reported at once, even while the server is held', async () => {
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

  it('S1: `connections` contains a connection from its emission to its end', async () => {
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
  it('S1: if the last subscriber leaves during the lookup of a name, the server binds nothing', async () => {
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

  it('S1: with port 0, the server gets a port from the system at each bind', async () => {
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

  it('S1: a listener has one handle, clients that wait in the kernel need no further handle, and no handle is left at the end', async () => {
    for (const place of [tcp, unix]) {
      const { server, address, subscription } = await serverAt(gated(place), () => undefined);
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

  it('S1: a server at an abstract name creates no file, and the name is free again after the shutdown', async () => {
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

  it('A2: without a host, a server listens only on loopback', async () => {
    const { address } = await serverAt(tcp, () => undefined);
    expect(address).toMatchObject({ host: '127.0.0.1' });
    const { port } = address as { port: number };
    const other = outerAddress();
    if (other !== undefined) expect(await dialling(tcp, { transport: 'tcp', host: other, port })).toBe('ECONNREFUSED');
    expect(await dialling(tcp, address)).toBe('connected');
  });
});

/** Returns an IPv4 address of this machine other than loopback, if the machine has one. */
function outerAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ internal, family }) => !internal && family === 'IPv4')?.address;
}
