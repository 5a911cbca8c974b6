import dns from 'node:dns';
import { once } from 'node:events';
import net from 'node:net';
import { firstValueFrom, take, toArray } from 'rxjs';
import {
  type Address,
  backoff,
  connect,
  type Connection,
  type ConnectOptions,
  type SocketError,
  type SocketErrorCode,
} from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { authority } from '../support/transport/node/tls/certificates.js';
import '../support/leaks.js';
import { allRealPlaces } from '../support/transport/places.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { record } from '../support/recording/record.js';
import { watch } from '../support/client/watched-client.js';
import { until } from '../support/scheduling/event-loop.js';

/** An address of this machine that nothing else in these tests uses, so that all ports of the address are free. */
const from = '127.0.0.77';
const soon = backoff({ initial: 5, max: 20 });
const secure = allRealPlaces.filter(({ name }) => name === 'tcp' || name === 'tls');

async function freePort(host = from): Promise<number> {
  const server = net.createServer().listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

interface End {
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly family: string | undefined;
}

async function plainServer(host: string, then: (socket: net.Socket) => void) {
  const ends: End[] = [];
  const sockets: net.Socket[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    ends.push({ host: socket.remoteAddress, port: socket.remotePort, family: socket.remoteFamily });
    sockets.push(socket);
    socket.on('error', () => undefined);
    then(socket);
  });
  server.listen(0, host);
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const { port } = server.address() as net.AddressInfo;
  return { ends, sockets, address: { transport: 'tcp', host, port } as const };
}

async function codeOf(address: Address, options: ConnectOptions): Promise<string> {
  return ((await record(connect(address, options)).end()) as SocketError).code;
}

describe.each(secure)('a client over $name with `localAddress` or `localPort`', (place) => {
  const tls = place.options.tls === undefined ? {} : { tls: { ca: authority, servername: 'localhost' } };

  it('K20: the client dials from `localAddress` and `localPort`, and the `local` address of its connection has this host and port', async () => {
    const ends: End[] = [];
    const address = await rawServer(place, (socket) => {
      ends.push({ host: socket.remoteAddress, port: socket.remotePort, family: socket.remoteFamily });
      socket.end('hello\n');
      socket.resume();
    });
    const localPort = await freePort();
    const client = connect(address, { codec: lines(), localAddress: from, localPort, ...tls });
    const states = watch(client);
    expect(await firstValueFrom(client.data)).toBe('hello');
    await states.end();
    expect(ends).toEqual([{ host: from, port: localPort, family: 'IPv4' }]);
    const connected = states.values.find((state) => state.status === 'connected');
    expect(connected?.connection.local).toMatchObject({ transport: 'tcp', host: from, port: localPort });
  });

  it('K20: `localPort` works without `localAddress`, and `localAddress` works without `localPort`', async () => {
    const ends: End[] = [];
    const address = await rawServer(place, (socket) => {
      ends.push({ host: socket.remoteAddress, port: socket.remotePort, family: socket.remoteFamily });
      socket.end('hello\n');
      socket.resume();
    });
    const localPort = await freePort('127.0.0.1');
    for (const options of [{ localPort }, { localAddress: from }]) {
      await firstValueFrom(connect(address, { codec: lines(), ...options, ...tls }).data.pipe(toArray()));
    }
    expect(ends).toEqual([
      { host: '127.0.0.1', port: localPort, family: 'IPv4' },
      { host: from, port: expect.any(Number), family: 'IPv4' },
    ]);
  });
});

describe('a client with `reconnect` and `localPort`', () => {
  it('K20: if the server ends the connection first, the client uses its port again at once', async () => {
    const { ends, address } = await plainServer('127.0.0.1', (socket) => socket.end('hello\n').resume());
    const localPort = await freePort();
    const client = connect(address, { codec: lines(), localAddress: from, localPort, reconnect: soon });
    const states = watch(client);
    const received = record(client.data.pipe(take(4)));
    expect(await received.count(4)).toEqual(['hello', 'hello', 'hello', 'hello']);
    expect(new Set(ends.map(({ host, port }) => `${host}:${port}`))).toEqual(new Set([`${from}:${localPort}`]));
    for (const state of states.values) if (state.status === 'disconnected') expect(state.error).toBeUndefined();
  });

  it.each<[string, (connection: Connection) => void, SocketErrorCode | undefined]>([
    ['destroys', (connection) => connection.destroy(), 'ERR_CLOSED'],
    ['closes', (connection) => void connection.close(), undefined],
  ])('K20: the client uses its port again at once if the client %s the connection', async (_, leave, code) => {
    const { ends, address } = await plainServer('127.0.0.1', (socket) => {
      socket.on('end', () => socket.end()).resume();
    });
    const localPort = await freePort();
    const states = record(connect(address, { localAddress: from, localPort, reconnect: soon }), (state) => {
      if (state.status === 'connected' && state.attempt < 4) leave(state.connection);
    });
    onTestFinished(() => states.subscription.unsubscribe());
    await until(() => states.values.at(-1)?.status === 'connected' && states.values.at(-1)?.attempt === 4);
    await until(() => ends.length === 4);
    expect(ends.map(({ port }) => port)).toEqual([localPort, localPort, localPort, localPort]);
    const errors = states.values.flatMap((state) => (state.status === 'disconnected' ? [state.error?.code] : []));
    expect(errors).toEqual([code, code, code]);
  });

  it('K20: dialling fails with EADDRNOTAVAIL until an earlier connection from the same port has ended', async () => {
    const { sockets, address } = await plainServer('127.0.0.1', (socket) => socket.resume());
    const localPort = await freePort();
    const earlier = net.connect({ port: address.port, host: address.host, localAddress: from, localPort });
    onTestFinished(() => void earlier.destroy());
    await once(earlier, 'connect');

    const states = watch(connect(address, { localAddress: from, localPort, reconnect: soon }));
    const failures = (): (string | undefined)[] =>
      states.values.flatMap((state) => (state.status === 'disconnected' ? [state.error?.code] : []));
    await until(() => failures().length > 1);
    earlier.resetAndDestroy();
    await until(() => states.values.at(-1)?.status === 'connected');
    await until(() => sockets.length === 2);
    expect(sockets[1]?.remotePort).toBe(localPort);
    expect(new Set(failures())).toEqual(new Set(['EADDRNOTAVAIL']));
  });
});

describe('a local address that is not available', () => {
  it('K20: if a connection from `localPort` to a peer exists, dialling that peer fails with EADDRNOTAVAIL, and dialling a different peer works', async () => {
    const one = await plainServer('127.0.0.1', (socket) => socket.resume());
    const other = await plainServer('127.0.0.1', (socket) => socket.resume());
    const options = { localAddress: from, localPort: await freePort() };
    const first = watch(connect(one.address, options));
    await first.count(2);
    expect(await codeOf(one.address, options)).toBe('EADDRNOTAVAIL');
    const second = watch(connect(other.address, options));
    await second.count(2);
    expect([first, second].map(({ values }) => values.at(-1)?.status)).toEqual(['connected', 'connected']);
    await until(() => other.ends.length === 1);
    expect(other.ends[0]?.port).toBe(options.localPort);
  });

  it('K20: dialling fails with EADDRINUSE if a server listens on `localPort`', async () => {
    const { address } = await plainServer('127.0.0.1', (socket) => socket.resume());
    const taken = await plainServer(from, (socket) => socket.resume());
    const error = await record(connect(address, { localAddress: from, localPort: taken.address.port })).end();
    expect(error).toMatchObject({ code: 'EADDRINUSE', address });
    expect((error as SocketError).message).toContain(`${from}:${taken.address.port}`);
  });

  it('K20: dialling fails with EADDRNOTAVAIL if `localAddress` is not an address of this machine', async () => {
    const { address } = await plainServer('127.0.0.1', (socket) => socket.resume());
    expect(await codeOf(address, { localAddress: '203.0.113.77' })).toBe('EADDRNOTAVAIL');
  });
});

describe('a client that dials a name', () => {
  /**
   * Makes `dns.lookup` find `addresses` for `name`. A lookup that requests a family finds only the addresses of that
   * family.
   */
  function lookUp(name: string, ...addresses: string[]): { readonly asked: unknown[] } {
    const asked: unknown[] = [];
    const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    const real = dns.lookup as unknown as (...args: unknown[]) => void;
    const spy = vi.spyOn(dns, 'lookup') as unknown as { mockImplementation(lookup: (...args: any[]) => void): void };
    spy.mockImplementation((host: string, options: dns.LookupOptions, done: (...answer: unknown[]) => void) => {
      if (host !== name) {
        real(host, options, done);
        return;
      }
      asked.push(options.family === 0 ? undefined : options.family);
      const fitting = found.filter(({ family }) => !options.family || family === options.family);
      const [first] = fitting;
      process.nextTick(() => {
        if (first === undefined) done(Object.assign(new Error('not found'), { code: 'ENOTFOUND' }));
        else if (options.all === true) done(null, fitting);
        else done(null, first.address, first.family);
      });
    });
    onTestFinished(() => {
      vi.restoreAllMocks();
    });
    return { asked };
  }

  async function bothServers() {
    const four = await plainServer('127.0.0.1', (socket) => socket.end().resume());
    const { port } = four.address;
    const ends: End[] = [];
    const six = net.createServer((socket) => {
      ends.push({ host: socket.remoteAddress, port: socket.remotePort, family: socket.remoteFamily });
      socket.end().resume();
    });
    six.listen(port, '::1');
    await once(six, 'listening');
    onTestFinished(() => void six.close());
    return { port, four: four.ends, six: ends };
  }

  it.each([4, 6] as const)('K20: with `family`, only the IPv%i addresses of the name are dialled', async (family) => {
    const names = lookUp('both.test', '::1', '127.0.0.1');
    const { port, four, six } = await bothServers();
    expect(await record(connect({ host: 'both.test', port }, { family })).end()).toBe('complete');
    expect(names.asked).toEqual([family]);
    expect([four.length, six.length]).toEqual(family === 4 ? [1, 0] : [0, 1]);
    expect([...four, ...six][0]?.family).toBe(`IPv${family}`);
  });

  it.each([
    ['127.0.0.1', 4],
    ['::1', 6],
  ] as const)('K20: only addresses with the family of `localAddress` %s are dialled', async (localAddress, family) => {
    const names = lookUp('both.test', '127.0.0.1', '::1');
    const { port, four, six } = await bothServers();
    expect(await record(connect({ host: 'both.test', port }, { localAddress })).end()).toBe('complete');
    expect(names.asked).toEqual([family]);
    expect([...four, ...six]).toMatchObject([{ host: localAddress, family: `IPv${family}` }]);
  });

  it('K16: with `family`, the client tries each address of that family, from the same `localPort`', async () => {
    lookUp('several.test', '::1', '127.0.0.2', '127.0.0.3', '127.0.0.1');
    const { ends, address } = await plainServer('127.0.0.1', (socket) => socket.end().resume());
    const localPort = await freePort('0.0.0.0');
    const client = connect({ host: 'several.test', port: address.port }, { family: 4, localPort });
    expect(await record(client).end()).toBe('complete');
    expect(ends).toEqual([{ host: '127.0.0.1', port: localPort, family: 'IPv4' }]);

    const nobody = await freePort('0.0.0.0');
    const error = await record(connect({ host: 'several.test', port: nobody }, { family: 4 })).end();
    expect(error).toMatchObject({ code: 'ECONNREFUSED' });
    for (const host of ['127.0.0.1', '127.0.0.2', '127.0.0.3']) {
      expect((error as SocketError).message).toContain(`${host}:${nobody}`);
    }
    expect((error as SocketError).message).not.toContain('::1');
  });

  it('K3: dialling fails with ENOTFOUND if the name has no address of the family', async () => {
    lookUp('four.test', '127.0.0.1');
    expect(await codeOf({ transport: 'tcp', host: 'four.test', port: 1 }, { family: 6 })).toBe('ENOTFOUND');
    expect(await codeOf({ transport: 'tcp', host: 'four.test', port: 1 }, { localAddress: '::1' })).toBe('ENOTFOUND');
  });

  it('K20: if `family` is 4, the client dials localhost over IPv4', async () => {
    const { ends, address } = await plainServer('127.0.0.1', (socket) => socket.end().resume());
    const client = connect({ host: 'localhost', port: address.port }, { family: 4 });
    expect(await record(client).end()).toBe('complete');
    expect(ends).toMatchObject([{ family: 'IPv4' }]);
  });

  it('K20: with `family`, the client dials an IP address of that family and looks up no name', async () => {
    const { ends, address } = await plainServer('::1', (socket) => socket.end().resume());
    expect(await record(connect(address, { family: 6, localAddress: '::1' })).end()).toBe('complete');
    expect(ends).toMatchObject([{ host: '::1', family: 'IPv6' }]);
  });
});

it('K20: `localPort` 0 lets the system choose', async () => {
  const { ends, address } = await plainServer('127.0.0.1', (socket) => socket.end().resume());
  expect(await record(connect(address, { localPort: 0 })).end()).toBe('complete');
  expect(ends[0]?.port).toBeGreaterThan(0);
});
