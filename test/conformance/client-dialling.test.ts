import type net from 'node:net';
import { firstValueFrom, map, type Observable, retry, take } from 'rxjs';
import { connect, type ConnectionState, listen } from 'rxjs-sockets';
import { memoryTransport } from 'rxjs-sockets/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { settled } from '../support/scheduling/event-loop.js';
import { memory, type Place, places, realPlaces, tcp, named } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { Recording } from '../support/recording/record.js';
import { dialler } from '../support/client/watched-client.js';
import { until } from '../support/scheduling/event-loop.js';
import { accepting, echo, statuses, whenConnected, rawAccepting } from '../support/client/dialled-servers.js';
import { virtually } from '../support/scheduling/virtual-time.js';
import { gated } from '../support/transport/node/internals/accept-gate.js';

describe.each(named(places))('a client on %s', (_name, place) => {
  const dial = dialler(place);

  it('K7: if you unsubscribe from a client in the turn in which you subscribed, no connection remains', async () => {
    const { address, server } = await accepting(place);
    const client = dial(address);
    const states: ConnectionState[] = [];
    for (let round = 0; round < 3; round++) {
      const subscription = client.subscribe((state) => states.push(state));
      const sending = client.data.send('lost');
      subscription.unsubscribe();
      await expect(sending).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    }
    await settled();
    await until(() => {
      for (const connection of server.connections) echo(connection);
      return server.connections.size === 0;
    });
    expect(states.map(({ status }) => status)).toEqual(['connecting', 'connecting', 'connecting']);
    const { accepted } = { accepted: firstValueFrom(server) };
    const watching = client.subscribe();
    client.data.next('kept');
    const connection = await accepted;
    expect((await firstValueFrom(connection.bytes)).toString()).toBe('kept');
    watching.unsubscribe();
    connection.destroy();
  });
});

describe('a client on real sockets', () => {
  it('K7: if you unsubscribe while the host name is looked up, the client dials nothing', async () => {
    const { address, accepted } = await rawAccepting(tcp);
    const { port } = address as { port: number };
    const recording = new Recording(connect({ host: 'localhost', port }));
    recording.subscription.unsubscribe();
    await settled();
    expect(accepted).toEqual([]);
    expect(statuses(recording)).toEqual(['connecting']);
  });
});

describe.each(named([tcp, memory()]))('a client of a listener whose queue is full, on %s', (_name, place) => {
  it('K7: if you unsubscribe while the client is connecting, the attempt is aborted', async () => {
    const { address } = await fullServer(place);
    const client = connect(address, place.options);
    const recording = new Recording(client);
    const data = new Recording(client.data);
    const sending = client.data.send('never');
    const other = client.data.sendFrom(['never']);
    const relayed = new Recording(other);
    await settled();
    expect(statuses(recording)).toEqual(['connecting']);
    recording.subscription.unsubscribe();
    await settled();
    data.subscription.unsubscribe();
    await expect(sending).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    expect(await relayed.end()).toMatchObject({ code: 'ERR_CLOSED' });
    await settled();
    expect(statuses(recording)).toEqual(['connecting']);
    expect(recording.endings).toEqual([]);
    expect(data.endings).toEqual([]);
    // After each test, `leaks.js` checks that the test has left no socket and no timer behind.
  });

  it('K7: when one of two subscribers of a connecting client leaves, the attempt continues for the other subscriber', async () => {
    const { address, hold } = await fullServer(place);
    const client = connect(address, place.options);
    const leaving = new Recording(client);
    const staying = new Recording(client);
    leaving.subscription.unsubscribe();
    await settled();
    expect(statuses(staying)).toEqual(['connecting']);
    hold.release();
    await staying.count(2);
    expect(statuses(staying)[1]).toBe('connected');
    staying.subscription.unsubscribe();
  });

  it('K3: an attempt that waits for room in the listen queue fails with ECONNREFUSED when the listener closes', async () => {
    const { address, subscription } = await fullServer(place);
    const client = connect(address, place.options);
    const recording = new Recording(client);
    await settled();
    expect(statuses(recording)).toEqual(['connecting']);
    subscription.unsubscribe();
    // A TCP client notices the closed listener only when it repeats the SYN, after a second.
    expect(await recording.end()).toMatchObject({ code: 'ECONNREFUSED' });
    expect(statuses(recording)).toEqual(['connecting', 'disconnected']);
  });

  it('K16: an attempt that takes longer than `connectTimeout` fails with ERR_TIMEOUT_CONNECT', async () => {
    const { address } = await fullServer(place);
    const client = connect(address, { ...place.options, connectTimeout: 50 });
    const recording = new Recording(client);
    const sending = client.data.send('never');
    const error = await recording.end();
    expect(error).toMatchObject({ code: 'ERR_TIMEOUT_CONNECT', address });
    expect(recording.values).toEqual([
      { status: 'connecting', attempt: 1, address },
      { status: 'disconnected', attempt: 1, error },
    ]);
    await expect(sending).rejects.toBe(error);
  });
});

describe('a client in virtual time', () => {
  const letters = (client: Observable<ConnectionState>): Observable<string> =>
    client.pipe(map((state) => (state.status === 'disconnected' && state.error ? state.error.code : state.status)));

  it('K16: an attempt is aborted after exactly `connectTimeout` milliseconds', () => {
    virtually((scheduler) => {
      const transport = memoryTransport();
      const server = listen('memory:full', { transport, backlog: 1, claimTimeout: 0 });
      server.hold();
      server.subscribe();
      connect('memory:full', { transport, claimTimeout: 0 }).subscribe();
      const client = connect('memory:full', { transport, connectTimeout: 700 });
      scheduler.expectObservable(letters(client).pipe(take(2)), '10ms ^ 999ms !').toBe('10ms a 699ms (b|)', {
        a: 'connecting',
        b: 'ERR_TIMEOUT_CONNECT',
      });
    });
  });

  it('K16: `connectTimeout` is 10 seconds by default, and the value 0 disables the timeout', () => {
    virtually((scheduler) => {
      const transport = memoryTransport();
      const server = listen('memory:full', { transport, backlog: 1, claimTimeout: 0 });
      server.hold();
      server.subscribe();
      connect('memory:full', { transport, claimTimeout: 0 }).subscribe();
      const values = { a: 'connecting', b: 'ERR_TIMEOUT_CONNECT' };
      scheduler
        .expectObservable(letters(connect('memory:full', { transport })).pipe(take(2)))
        .toBe('a 9999ms (b|)', values);
      scheduler
        .expectObservable(letters(connect('memory:full', { transport, connectTimeout: 0 })), '^ 99999ms !')
        .toBe('a', values);
    });
  });

  it('K16: `connectTimeout` does not end a connection that opens in time', () => {
    virtually((scheduler) => {
      const transport = memoryTransport();
      listen('memory:open', { transport, claimTimeout: 0 }).subscribe();
      const client = connect('memory:open', { transport, connectTimeout: 700 });
      scheduler.expectObservable(letters(client), '5ms ^ 5s !').toBe('5ms (ab)', { a: 'connecting', b: 'connected' });
    });
  });

  it('K3: `retry` with a delay makes the client dial again after exactly that delay', () => {
    virtually((scheduler) => {
      const client = connect('memory:nobody', { transport: memoryTransport() });
      const values = { a: 'connecting', b: 'ECONNREFUSED' };
      const states = letters(client.pipe(retry({ count: 2, delay: 100 }))).pipe(take(6));
      scheduler.expectObservable(states).toBe('(ab) 96ms (ab) 96ms (ab|)', values);
    });
  });
});

describe.each(named(realPlaces))('unsubscribing from a client over %s during the TLS handshake', (_name, place) => {
  it('K7: unsubscribing leaves no socket and no pending promise behind, and no further state is emitted', async () => {
    // The server accepts the connection but sends nothing, so the handshake does not finish.
    const { address, accepted } = await rawAccepting(place);
    const client = connect(address, { tls: { servername: 'localhost' } });
    const recording = new Recording(client);
    const sending = client.data.send('never');
    await until(() => accepted.length === 1);
    const gone = new Promise((resolve) => (accepted[0] as net.Socket).once('close', resolve));
    (accepted[0] as net.Socket).resume().once('end', () => (accepted[0] as net.Socket).end());
    recording.subscription.unsubscribe();
    await expect(sending).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await gone;
    await settled();
    expect(statuses(recording)).toEqual(['connecting']);
    expect(recording.endings).toEqual([]);
  });
});

async function fullServer(place: Place) {
  const { server, address, subscription } = await serverAt(gated(place), () => undefined, { backlog: 1 });
  const hold = server.hold();
  // Linux puts one client more than `backlog` into the listen queue.
  const clients = Array.from({ length: place.name === 'tcp' ? 2 : 1 }, () => connect(address, place.options));
  for (const client of clients) {
    const connected = whenConnected(client);
    const watching = client.subscribe({ error: () => undefined });
    onTestFinished(() => watching.unsubscribe());
    await connected;
  }
  return { server, address, hold, subscription };
}
