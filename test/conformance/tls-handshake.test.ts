import net from 'node:net';
import tls from 'node:tls';
import { firstValueFrom } from 'rxjs';
import { backoff, connect, type ConnectionState, SocketError } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { authority, client, server as identity, stranger } from '../support/transport/node/tls/certificates.js';
import '../support/leaks.js';
import { realPlaces, securePlaces, tcp, unix } from '../support/transport/places.js';
import { clientAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawClient, rawServer } from '../support/sockets/plain-sockets.js';
import { readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { until } from '../support/scheduling/event-loop.js';
import { usesInternals } from '../support/transport/node/internals/uses-internals.js';

/** Returns the bytes of a complete ClientHello. */
async function hello(): Promise<Buffer> {
  let heard: (bytes: Buffer) => void = () => undefined;
  const first = new Promise<Buffer>((resolve) => {
    heard = resolve;
  });
  const address = await rawServer(tcp, (socket) => socket.once('data', heard));
  const socket = tls.connect({ port: address.transport === 'tcp' ? address.port : 0 });
  socket.on('error', () => undefined);
  const bytes = await first;
  socket.destroy();
  return bytes;
}

describe.each(securePlaces)('a handshake, over $name', (place) => {
  const below = place.name === 'tls' ? tcp : unix;
  const plainClient = async (address: Awaited<ReturnType<typeof rawServer>>) => {
    const socket = net.connect(
      address.transport === 'tcp' ? { port: address.port } : { path: (address as { path: string }).path },
    );
    socket.on('error', () => undefined);
    onTestFinished(() => {
      socket.destroy();
    });
    await new Promise((resolve) => socket.once('connect', resolve));
    return socket;
  };

  it('T3: every failed handshake is reported in incidents and ends only its own connection, and the server continues', async () => {
    const { server, address } = await serverAt(place, ({ data }) => data.subscribe(data), { handshakeTimeout: 300 });
    const incidents = record(server.incidents);
    const whole = await hello();
    const half = whole.subarray(0, whole.length / 2);
    const ways: [string, (socket: net.Socket) => void][] = [
      ['ERR_TLS', (socket) => socket.write('GET / HTTP/1.1\r\n\r\n')],
      ['ERR_TLS', (socket) => socket.end(half)],
      ['ERR_TLS', (socket) => socket.end()],
      ['ERR_TLS', (socket) => socket.write(half, () => socket.destroy())],
      ['ERR_TLS', (socket) => socket.write(Buffer.concat([whole, Buffer.alloc(99, 'x')]))],
      ['ERR_TIMEOUT_HANDSHAKE', () => undefined],
      ['ERR_TIMEOUT_HANDSHAKE', (socket) => socket.write(half)],
      ['ERR_TIMEOUT_HANDSHAKE', (socket) => socket.write(whole)],
    ];
    for (const [index, [code, way]] of ways.entries()) {
      const socket = await plainClient(address);
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.resume();
      way(socket);
      await closed;
      expect(await incidents.count(index + 1)).toHaveLength(index + 1);
      expect(incidents.values[index], String(index)).toMatchObject({ code, address: { transport: address.transport } });
    }
    const raw = await rawClient(address);
    raw.end('still there');
    expect(String(await readAll(raw))).toBe('still there');
    expect(server.connections.size).toBeLessThanOrEqual(1);
  });

  it('T3: a client without TLS gets no unencrypted data, and its connection ends', async () => {
    const { address } = await serverAt(place, () => undefined);
    const socket = await plainClient(address);
    socket.write('hello\n');
    const answer = await readAll(socket).catch(() => Buffer.alloc(0));
    // The client gets at most a TLS alert.
    expect(answer.length === 0 || answer[0] === 0x15).toBe(true);
  });

  it('S7: shutdown drops clients whose handshake is in progress', async () => {
    const { server, address } = await serverAt(place, () => undefined, { handshakeTimeout: 0 });
    const half = (await hello()).subarray(0, 100);
    const closed: Promise<unknown>[] = [];
    for (let i = 0; i < 5; i++) {
      const socket = await plainClient(address);
      closed.push(new Promise((resolve) => socket.once('close', resolve)));
      socket.resume();
      if (i > 0) socket.write(half);
    }
    await rawClient(address);
    await server.shutdown({ deadline: 100 });
    await Promise.all(closed);
  });

  it.each<[string, (socket: net.Socket) => void]>([
    ['sends plain text', (socket) => socket.write('220 hello\r\n')],
    ['echoes the handshake', (socket) => socket.pipe(socket)],
    ['ends the stream', (socket) => socket.end()],
    ['closes the connection', (socket) => socket.destroy()],
    ['closes the connection after the ClientHello', (socket) => socket.once('data', () => socket.destroy())],
  ])('T3: if the server %s, the client fails with one ERR_TLS', async (_name, way) => {
    const address = await rawServer(below, way);
    const dialled = connect(address, place.options);
    const states = record(dialled);
    const data = record(dialled.data);
    expect(await states.end()).toMatchObject({ code: 'ERR_TLS' });
    expect(states.values.map(({ status }) => status)).toEqual(['connecting', 'disconnected']);
    expect(data.endings).toHaveLength(1);
  });

  it('T3: connectTimeout covers the time of the handshake, and unsubscribing during the handshake leaves nothing behind (K7)', async () => {
    const arrived: net.Socket[] = [];
    const address = await rawServer(below, (socket) => arrived.push(socket.resume()));
    const late = record(connect(address, { ...place.options, connectTimeout: 100 }));
    expect(await late.end()).toMatchObject({ code: 'ERR_TIMEOUT_CONNECT' });
    const left = connect(address, place.options);
    const states: ConnectionState[] = [];
    const subscription = left.subscribe((state) => states.push(state));
    const sent = left.data.send('lost');
    await until(() => arrived.length === 2 && arrived[1]!.bytesRead > 0);
    subscription.unsubscribe();
    await expect(sent).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await until(() => arrived.every((socket) => socket.destroyed || socket.readableEnded));
    expect(states.map(({ status }) => status)).toEqual(['connecting']);
  });

  it.each([
    ['no certificate', undefined],
    ['an unknown certificate', stranger],
  ])('T4: a server refuses a client with %s, and the client reports ERR_TLS', async (_name, own) => {
    const demanding = { ...identity, ca: authority, requestCert: true };
    const seen: unknown[] = [];
    const { server, address } = await serverAt(place, (connection) => seen.push(connection), { tls: demanding });
    const incidents = record(server.incidents);
    const plain = tls.createServer(demanding, (socket) => seen.push(socket));
    plain.on('tlsClientError', () => undefined);
    onTestFinished(() => {
      plain.close();
    });
    const where = (await below.address()) as net.ListenOptions;
    await new Promise<void>((resolve) => plain.listen(where, resolve));
    const bound = plain.address() as net.AddressInfo | string;
    for (const to of [address, typeof bound === 'string' ? { path: bound } : { port: bound.port }]) {
      const dialled = connect(to, { codec: lines(), tls: { ca: authority, ...own } });
      dialled.data.next('let me in');
      const closed: unknown[] = [];
      const states = record(dialled, (state) => {
        if (state.status === 'connected') state.connection.closed.subscribe((outcome) => closed.push(outcome));
      });
      const data = record(dialled.data);
      const end = await states.end();
      expect(data.values).toEqual([]);
      // A server of node:tls refuses the client without an alert. If the transport does not use Node's internals, every
      // FIN counts as a clean end (T5).
      if (!usesInternals && end === 'complete') continue;
      expect(end).toMatchObject({ code: 'ERR_TLS' });
      expect(data.endings).toMatchObject([{ code: 'ERR_TLS' }]);
      expect(closed).toMatchObject([{ reason: 'failed', error: { code: 'ERR_TLS' } }]);
    }
    expect(seen).toEqual([]);
    expect(await incidents.count(1)).toMatchObject([{ code: 'ERR_TLS' }]);
    // If the transport does not use Node's internals, it cannot find out why the client left.
    const why = usesInternals ? 'certificate' : 'the client has gone';
    if (own !== undefined) expect(incidents.values[0]?.message).toContain(why);
  });

  it('T4: with rejectUnauthorized false, a client without a verifiable certificate is served, and `tls` says why it was not verified', async () => {
    const asking = { ...identity, ca: authority, requestCert: true, rejectUnauthorized: false };
    const seen: unknown[] = [];
    const { address } = await serverAt(
      place,
      (connection) => {
        seen.push([connection.tls?.authorized, connection.tls?.authorizationError]);
        connection.data.subscribe(connection.data);
      },
      { tls: asking },
    );
    for (const own of [client, stranger, {}]) {
      const { connection } = await clientAt(place, address, { tls: { ca: authority, ...own } });
      connection.data.next('x');
      await record(connection.data).count(1);
    }
    expect(seen).toEqual([
      [true, undefined],
      [false, expect.stringContaining('SELF_SIGNED')],
      [false, expect.any(String)],
    ]);
  });

  it('K4: a client with reconnect makes a new handshake for each connection, and resumes no session', async () => {
    let served = 0;
    const { address } = await serverAt<string, string>(
      place,
      ({ data }) => {
        data.next(`hello ${++served}`);
        data.complete();
      },
      { codec: lines(), tls: () => place.options.tls ?? {} },
    );
    const options = { ...place.options, codec: lines(), reconnect: backoff({ initial: 1, max: 2 }) };
    const dialled = connect<string, string>(address, options);
    const resumed: unknown[] = [];
    const watching = dialled.subscribe((state) => {
      if (state.status === 'connected') resumed.push(state.connection.tls?.authorized);
    });
    const lined = record(dialled.data);
    expect(await lined.count(4)).toEqual(expect.arrayContaining(['hello 1', 'hello 2', 'hello 3', 'hello 4']));
    expect(resumed.slice(0, 4)).toEqual([true, true, true, true]);
    lined.subscription.unsubscribe();
    watching.unsubscribe();
  });

  it('K7: the last subscriber can leave within a callback that the handshake calls', async () => {
    const { server, address, subscription } = await serverAt(place, () => undefined, {
      tls: {
        ...identity,
        SNICallback: () => {
          subscription.unsubscribe();
        },
      },
    });
    expect(server.connections.size).toBe(0);
    expect(await record(connect(address, { tls: { ca: authority, servername: 'localhost' } })).end()).toBeInstanceOf(
      SocketError,
    );
    const other = await serverAt(place, () => undefined);
    const dialled = connect(other.address, {
      tls: {
        ca: authority,
        checkServerIdentity: () => {
          leaving.unsubscribe();
          return undefined;
        },
      },
    });
    const states: string[] = [];
    const leaving = dialled.subscribe(({ status }) => states.push(status));
    await until(() => leaving.closed);
    expect(states).toEqual(['connecting']);
  });
});

describe.each(realPlaces)('one-sided TLS over $name', (place) => {
  it('T3: if only one side uses TLS, the connection fails, and neither side waits for the other side', async () => {
    const { address, server } = await serverAt(place, () => undefined, { tls: identity, handshakeTimeout: 100 });
    const incidents = record(server.incidents);
    const plain = await clientAt(
      place,
      address.transport === 'tcp' ? { ...address, tls: undefined as never } : address,
    );
    plain.connection.data.next('hello\n');
    // The plain client gets a TLS alert, then the end.
    await firstValueFrom(plain.connection.closed);
    expect(await incidents.count(1)).toMatchObject([{ code: 'ERR_TLS' }]);
    const echo = await serverAt(place, ({ data }) => data.subscribe(data));
    expect(await record(connect(echo.address, { tls: { ca: authority } })).end()).toMatchObject({ code: 'ERR_TLS' });
  });
});
