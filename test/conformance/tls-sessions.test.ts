import type net from 'node:net';
import tls from 'node:tls';
import { backoff, connect, type Connection, type ConnectOptions } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { client as clientIdentity } from '../support/transport/node/tls/certificates.js';
import '../support/leaks.js';
import { type Place, realPlaces, securePlaces } from '../support/transport/places.js';
import { clientAt, pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { record } from '../support/recording/record.js';
import { asClient, asServer, beginAsServer, secured, sides } from '../support/connection/start-tls.js';
import { until } from '../support/scheduling/event-loop.js';

const isReused = (socket: net.Socket): boolean => socket instanceof tls.TLSSocket && socket.isSessionReused();

const versions = ['TLSv1.2', 'TLSv1.3'] as const;

/** Dials a server, and waits for its greeting. With TLS 1.3, the session arrives with the greeting. */
async function greetedAt(
  place: Place,
  address: Awaited<ReturnType<typeof rawServer>>,
  options: ConnectOptions['tls'],
): Promise<Connection<string, string>> {
  const { connection } = await clientAt<string, string>(place, address, {
    codec: lines(),
    tls: { ...place.options.tls, ...options },
  });
  const greeting = record(connection.data);
  expect(await greeting.count(1)).toEqual(['hello']);
  await until(() => connection.tls?.session !== undefined);
  return connection;
}

describe.each(securePlaces)('TLS sessions, over $name', (place) => {
  it.each(versions)(
    'T11: a client exposes the latest session, and resumes it with a server of node:tls, with %s',
    async (version) => {
      const reused: boolean[] = [];
      const address = await rawServer(place, (socket) => {
        reused.push(isReused(socket));
        socket.write('hello\n');
      });
      const first = await greetedAt(place, address, { maxVersion: version });
      const session = first.tls?.session;
      expect(session).toBeInstanceOf(Buffer);
      const second = await greetedAt(place, address, { maxVersion: version, session });
      expect(reused).toEqual([false, true]);
      expect(second.tls).toMatchObject({ authorized: true, protocol: version });
      await greetedAt(place, address, { maxVersion: version, session: second.tls?.session });
      expect(reused).toEqual([false, true, true]);
      await greetedAt(place, address, { maxVersion: version });
      expect(reused).toEqual([false, true, true, false]);
      for (const connection of [first, second]) connection.destroy();
      expect(first.tls?.session).toBeInstanceOf(Buffer);
    },
  );

  it("T11: with TLS 1.3, a client's `tls` object gets `session` with the first received bytes, and a server's `tls` object never has `session`", async () => {
    const { near, far } = await pairAt<string, string>(place, { codec: lines() });
    const info = near.tls;
    far.data.next('hello');
    const greeting = record(near.data);
    await greeting.count(1);
    await until(() => info?.session !== undefined);
    expect(near.tls).toBe(info);
    expect(info?.session).toBeInstanceOf(Buffer);
    expect(far.tls?.session).toBeUndefined();
  });

  it('T11: a session that the server does not know, or that is garbage, leads to a full handshake', async () => {
    const { near, far } = await pairAt<string, string>(place, { codec: lines() });
    far.data.next('hello');
    const greeting = record(near.data);
    await until(() => near.tls?.session !== undefined);
    greeting.subscription.unsubscribe();
    const reused: boolean[] = [];
    const address = await rawServer(place, (socket) => {
      reused.push(isReused(socket));
      socket.write('hello\n');
    });
    for (const session of [near.tls?.session, Buffer.from('garbage'), Buffer.alloc(0), undefined]) {
      await greetedAt(place, address, { session });
    }
    expect(reused).toEqual([false, false, false, false]);
  });

  it('T11: with `requestCert`, a server has the certificate of a client that resumes its session', async () => {
    const seen: unknown[] = [];
    const { address } = await serverAt<string, string>(
      place,
      (connection) => {
        seen.push(connection.tls?.authorized, connection.tls?.peerCertificate.subject.CN);
        connection.data.next('hello');
      },
      { codec: lines(), tls: { ...asServer, ca: asClient.ca, requestCert: true } },
    );
    const first = await greetedAt(place, address, clientIdentity);
    await greetedAt(place, address, { ...clientIdentity, session: first.tls?.session });
    expect(seen).toEqual([true, 'somebody', true, 'somebody']);
  });

  it('T11: a client with reconnect reads `tls.session` at each attempt', async () => {
    const reused: boolean[] = [];
    const address = await rawServer(place, (socket) => {
      reused.push(isReused(socket));
      socket.write('hello\n');
      if (reused.length < 3) socket.end();
    });
    let latest: Connection | undefined;
    const resuming = {
      ...asClient,
      get session() {
        return latest?.tls?.session;
      },
    };
    const client = connect(address, { tls: resuming, reconnect: backoff({ initial: 1, max: 1 }) });
    const states = record(client, (state) => {
      if (state.status === 'connected') latest = state.connection;
    });
    const heard = record(client.data);
    await until(() => heard.values.length === 3);
    expect(reused).toEqual([false, true, true]);
    states.subscription.unsubscribe();
    heard.subscription.unsubscribe();
  });

  it.each(['text', 7, null, {}, []])('T2: a session that is %o is refused at once', (session) => {
    expect(() => connect({ port: 1 }, { tls: { session: session as never } })).toThrow(
      expect.objectContaining({
        code: 'ERR_OPTION_INVALID',
        message: expect.stringContaining('tls.session') as string,
      }) as Error,
    );
  });
});

describe.each(realPlaces)('TLS sessions with `startTls`, over $name', (place) => {
  it.each(versions)(
    'T11: a dialled connection resumes a session with a server of node:tls, with %s',
    async (version) => {
      const dialled = sides.find((side) => side.role === 'dialled' && side.place === place)!;
      const ticketKeys = Buffer.alloc(48, 'k');
      const start = async (session?: Buffer) => {
        const { near, raw } = await dialled.pair<string, string>({ codec: lines() });
        const started = near.startTls({ ...asClient, maxVersion: version, session });
        const peer = beginAsServer(raw, { ticketKeys, sessionIdContext: 'test' });
        await secured(peer);
        peer.write('hello\n');
        const greeting = record(near.data);
        await started;
        await greeting.count(1);
        await until(() => near.tls?.session !== undefined);
        const reused = peer.isSessionReused();
        return { reused, session: near.tls?.session };
      };
      const first = await start();
      expect(first).toMatchObject({ reused: false, session: expect.any(Buffer) as Buffer });
      expect(await start(first.session)).toMatchObject({ reused: true });
    },
  );

  it('T11: on accepted connections, `startTls` resumes sessions if each call gets the same options object', async () => {
    const accepted: Connection<string, string>[] = [];
    const { address } = await serverAt<string, string>(place, (connection) => accepted.push(connection), {
      codec: lines(),
    });
    const certificates: number[] = [];
    const start = async (session?: Buffer): Promise<Buffer | undefined> => {
      const { connection } = await clientAt<string, string>(place, address, { codec: lines() });
      await until(() => accepted.length > 0);
      const far = accepted.pop()!;
      const started = far.startTls(asServer);
      const info = await connection.startTls({ ...asClient, session });
      await started;
      far.data.next('hello');
      const greeting = record(connection.data);
      await until(() => info.session !== undefined);
      greeting.subscription.unsubscribe();
      // A server sends no certificate when a session is resumed.
      certificates.push(Object.keys(info.peerCertificate).length);
      return info.session;
    };
    await start(await start());
    expect(certificates).toEqual([expect.any(Number), 0]);
    expect(certificates[0]).toBeGreaterThan(0);
  });
});
