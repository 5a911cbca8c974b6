import dns from 'node:dns';
import { firstValueFrom, lastValueFrom, of, retry, timer } from 'rxjs';
import { type Address, connect, type Connection, listen, SocketError } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import '../support/leaks.js';
import { settled } from '../support/scheduling/event-loop.js';
import { type Place, places, tcp, unix, named } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { Recording } from '../support/recording/record.js';
import { dialler, watch } from '../support/client/watched-client.js';
import { until } from '../support/scheduling/event-loop.js';
import {
  accepting,
  deadAddress,
  discard,
  echo,
  rawAccepting,
  statuses,
  whenConnected,
} from '../support/client/dialled-servers.js';
import { gated } from '../support/transport/node/internals/accept-gate.js';

const refused = (place: Place): string => (place.name === 'unix' ? 'ENOENT' : 'ECONNREFUSED');

describe.each(named(places))('a client on %s', (_name, place) => {
  const dial = dialler(place);

  it('C8: if `data.error()` is called before the first subscription, the first subscriber gets the error, and nothing is dialled', async () => {
    const { address, accepted } = await accepting(place, echo);
    const client = dial(address, { codec: lines() });
    client.data.error('enough');
    expect(client.data.closed).toBe(true);
    const recording = watch(client);
    expect(await recording.end()).toMatchObject({ code: 'ERR_CLOSED', cause: 'enough' });
    expect(statuses(recording)).toEqual(['connecting', 'disconnected']);
    await settled();
    expect(accepted).toEqual([]);
    const line = firstValueFrom(client.data);
    client.data.next('again');
    expect(await line).toBe('again');
  });

  it('C8: `data.error()` ends a half-open connection', async () => {
    const { address, accepted } = await accepting(place, (connection) => connection.bytes.complete());
    const client = dial(address, { halfOpen: true });
    expect(await firstValueFrom(client.data, { defaultValue: 'complete' })).toBe('complete');
    client.data.error('enough');
    expect(client.data.closed).toBe(true);
    discard(accepted[0] as Connection);
    await firstValueFrom((accepted[0] as Connection).closed);
  });

  it('K3: after a failure to connect, every subscriber gets the state `disconnected`, then an error that contains the address', async () => {
    const address = await deadAddress(place);
    const client = dial(address);
    const recordings = [watch(client), watch(client)];
    const data = new Recording(client.data);
    const sent = client.data.send('in vain');
    sent.catch(() => undefined);
    for (const recording of recordings) {
      const error = await recording.end();
      expect(error).toBeInstanceOf(SocketError);
      expect(error).toMatchObject({ code: refused(place), address });
      expect(recording.values).toEqual([
        { status: 'connecting', attempt: 1, address },
        { status: 'disconnected', attempt: 1, error },
      ]);
    }
    expect(await data.end()).toMatchObject({ code: refused(place), address });
    await expect(sent).rejects.toMatchObject({ code: refused(place) });
  });

  it('K3: after a clean end by the peer, every subscriber gets the state `disconnected`, then the completion', async () => {
    const { address } = await accepting(place, (connection) => {
      connection.bytes.next('farewell');
      connection.bytes.complete();
      discard(connection);
    });
    const client = dial(address);
    const recording = watch(client);
    const data = new Recording(client.data);
    expect(await recording.end()).toBe('complete');
    expect(statuses(recording)).toEqual(['connecting', 'connected', 'disconnected']);
    expect(recording.values[2]).toEqual({ status: 'disconnected', attempt: 1 });
    expect(await data.end()).toBe('complete');
    expect(Buffer.concat(data.values).toString()).toBe('farewell');
  });

  it('K3: after an abort by the peer, every subscriber gets the state `disconnected`, then an error', async () => {
    const { address, accepted } = await accepting(place);
    const client = dial(address);
    const recording = watch(client);
    const data = new Recording(client.data);
    await recording.count(2);
    await until(() => accepted.length === 1);
    (accepted[0] as Connection).bytes.next('half');
    await data.count(1);
    // A unix socket has no reset, but the client gets an error if the server destroys its socket with unread input.
    client.data.next(Buffer.alloc(1_000_000));
    await until(() => (accepted[0] as Connection).stats.bytesRead > 0);
    (accepted[0] as Connection).destroy();
    const error = await recording.end();
    expect(statuses(recording)).toEqual(['connecting', 'connected', 'disconnected']);
    expect(error).toMatchObject({ code: 'ECONNRESET' });
    expect(recording.values[2]).toEqual({ status: 'disconnected', attempt: 1, error });
    expect(await data.end()).toBe(error);
  });

  it('K3: if nothing listens, each new subscription to `data` or to the states fails', async () => {
    const client = dial(await deadAddress(place));
    for (let round = 0; round < 2; round++) {
      await expect(firstValueFrom(client.data)).rejects.toMatchObject({ code: refused(place) });
      await expect(lastValueFrom(client)).rejects.toMatchObject({ code: refused(place) });
    }
  });

  it.each([
    ['immediately', {}],
    ['in a later turn', { delay: () => timer(0) }],
    ['after a delay', { delay: 1 }],
  ])('K3: `client.pipe(retry(…))` dials again %s', async (_when, config) => {
    const address = await deadAddress(place);
    const client = dial(address);
    const recording = new Recording(client.pipe(retry({ count: 3, ...config })));
    expect(await recording.end()).toMatchObject({ code: refused(place) });
    expect(statuses(recording)).toEqual(Array(4).fill(['connecting', 'disconnected']).flat());
    expect(recording.values.every(({ attempt }) => attempt === 1)).toBe(true);
  });

  it.each([
    ['immediately', {}],
    ['in a later turn', { delay: () => timer(0) }],
  ])('K3: `client.data.pipe(retry(…))` dials again %s', async (_when, config) => {
    const address = await deadAddress(place);
    const client = dial(address);
    const recording = new Recording(client.data.pipe(retry({ count: 3, ...config })));
    expect(await recording.end()).toMatchObject({ code: refused(place) });
  });

  it('K3: with `retry`, the client connects as soon as the server listens, and `data` emits the values of the server', async () => {
    const address = await deadAddress(place);
    const client = dial<string>(address, { codec: lines() });
    let attempts = 0;
    const server = listen(address, place.options);
    const startServer = (): void => {
      const subscription = server.subscribe((connection) => {
        discard(connection);
        connection.bytes.next('welcome\n');
      });
      onTestFinished(() => {
        subscription.unsubscribe();
        for (const connection of server.connections) connection.destroy();
      });
    };
    const retried = client.pipe(
      retry({
        delay: () => {
          if (++attempts < 3) return of(0);
          startServer();
          return server.listening;
        },
      }),
    );
    const connected = whenConnected(retried);
    const line = firstValueFrom(client.data.pipe(retry({ delay: () => timer(0) })));
    await connected;
    expect(await line).toBe('welcome');
  });

  it('C8: `data.error()` ends every subscription with ERR_CLOSED and the given reason as `cause`', async () => {
    const { address } = await accepting(place);
    const client = dial(address);
    const recording = watch(client);
    const data = new Recording(client.data);
    await recording.count(2);
    client.data.error('enough');
    expect(await recording.end()).toMatchObject({ code: 'ERR_CLOSED', cause: 'enough' });
    expect(await data.end()).toMatchObject({ code: 'ERR_CLOSED', cause: 'enough' });
    expect(statuses(recording)).toEqual(['connecting', 'connected', 'disconnected']);
  });

  it('C8: while the client connects, `data.error()` ends every subscription with ERR_CLOSED and the given reason as `cause`', async () => {
    const { address, accepted } = await accepting(place);
    const client = dial(address);
    const recording = watch(client);
    const data = new Recording(client.data);
    client.data.error('enough');
    expect(await recording.end()).toMatchObject({ code: 'ERR_CLOSED', cause: 'enough' });
    expect(await data.end()).toMatchObject({ code: 'ERR_CLOSED', cause: 'enough' });
    expect(statuses(recording)).toEqual(['connecting', 'disconnected']);
    await settled();
    for (const connection of accepted) connection.destroy();
  });
});

describe('a client on real sockets', () => {
  it('K3: if a host name has several addresses, the client connects to the address that answers', async () => {
    const { address, accepted } = await rawAccepting(tcp);
    const { port } = address as { port: number };
    const client = connect({ host: 'localhost', port });
    const recording = new Recording(client);
    await recording.count(2);
    await until(() => accepted.length === 1);
    expect(recording.values[1]).toMatchObject({
      status: 'connected',
      connection: { remote: { transport: 'tcp', host: '127.0.0.1', port } },
    });
    recording.subscription.unsubscribe();
    for (const socket of accepted) socket.end();
  });

  it('K3: if no address of a host name answers, the error has the code of the first address, and its message names all addresses', async () => {
    const { port } = (await deadAddress(tcp)) as { port: number };
    const error = await new Recording(connect({ host: 'localhost', port })).end();
    expect(error).toMatchObject({ code: 'ECONNREFUSED', address: { transport: 'tcp', host: 'localhost', port } });
    expect((error as SocketError).message).toContain(`127.0.0.1:${port}`);
  });

  it('K3: dialling a host name that does not exist fails with an error notification', async () => {
    const error = await new Recording(connect('tcp://no-such-host.invalid:1')).end();
    expect(['ENOTFOUND', 'EAI_AGAIN']).toContain((error as SocketError).code);
  });

  it('K3: dialling a unix socket whose listen queue is full fails with EAGAIN', async () => {
    const { address, server } = await serverAt(gated(unix), () => undefined, { backlog: 1 });
    const hold = server.hold();
    const waiting = [connect(address), connect(address)];
    const subscriptions = waiting.map((client) => client.subscribe());
    await settled();
    expect(await new Recording(connect(address)).end()).toMatchObject({ code: 'EAGAIN', address });
    for (const subscription of subscriptions) subscription.unsubscribe();
    hold.release();
    await until(() => {
      for (const connection of server.connections) echo(connection);
      return server.connections.size === 0;
    });
  });
});

describe('a client that dials a name with several addresses', () => {
  /** Intercepts the lookups of `name`, so that the test can answer them. */
  function lookUp(name: string): { answer(...addresses: string[]): void; readonly asked: number } {
    const waiting: ((addresses: { address: string; family: number }[]) => void)[] = [];
    let asked = 0;
    const real = dns.lookup as unknown as (...args: unknown[]) => void;
    const spy = vi.spyOn(dns, 'lookup') as unknown as { mockImplementation(lookup: (...args: any[]) => void): void };
    spy.mockImplementation((host: string, options: unknown, done: (error: null, addresses: unknown) => void) => {
      if (host !== name) {
        real(host, options, done);
        return;
      }
      asked++;
      waiting.push((addresses) => done(null, addresses));
    });
    onTestFinished(() => {
      vi.restoreAllMocks();
    });
    return {
      answer: (...addresses) => waiting.shift()?.(addresses.map((address) => ({ address, family: 4 }))),
      get asked() {
        return asked;
      },
    };
  }

  it('K16: if every address fails, the error lists all the failures, and has the code of the first failure', async () => {
    const dead = (await deadAddress(tcp)) as Address & { transport: 'tcp' };
    const names = lookUp('several.test');
    const recording = new Recording(connect({ host: 'several.test', port: dead.port }));
    await until(() => names.asked === 1);
    names.answer('127.0.0.1', '127.0.0.2', '127.0.0.3');
    const error = (await recording.end()) as SocketError;
    expect(error.code).toBe('ECONNREFUSED');
    for (const host of ['127.0.0.1', '127.0.0.2', '127.0.0.3']) expect(error.message).toContain(`${host}:${dead.port}`);
    expect(error.address).toEqual({ transport: 'tcp', host: 'several.test', port: dead.port });
    expect(statuses(recording)).toEqual(['connecting', 'disconnected']);
  });

  it('K16: the client connects to the first address that answers', async () => {
    const { address, accepted } = await accepting(tcp);
    const { port } = address as Address & { transport: 'tcp' };
    const names = lookUp('several.test');
    const client = connect({ host: 'several.test', port });
    const connected = whenConnected(client);
    const watching = client.subscribe();
    await until(() => names.asked === 1);
    names.answer('127.0.0.2', '127.0.0.1');
    expect((await connected).remote).toMatchObject({ host: '127.0.0.1', port });
    await until(() => accepted.length === 1);
    watching.unsubscribe();
  });

  it('K7: if you unsubscribe while the host name is looked up, the attempt is aborted', async () => {
    const { address, accepted } = await accepting(tcp);
    const { port } = address as Address & { transport: 'tcp' };
    const names = lookUp('slow.test');
    const client = connect({ host: 'slow.test', port });
    const recording = new Recording(client);
    const sending = client.data.send('never');
    await until(() => names.asked === 1);
    recording.subscription.unsubscribe();
    await expect(sending).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    names.answer('127.0.0.1');
    await settled();
    expect(statuses(recording)).toEqual(['connecting']);
    expect(recording.endings).toEqual([]);
    expect(accepted).toEqual([]);
  });

  it('K16: an attempt whose name lookup takes longer than `connectTimeout` fails with ERR_TIMEOUT_CONNECT', async () => {
    const names = lookUp('slow.test');
    const recording = new Recording(connect({ host: 'slow.test', port: 1 }, { connectTimeout: 20 }));
    expect(await recording.end()).toMatchObject({ code: 'ERR_TIMEOUT_CONNECT' });
    names.answer('127.0.0.1');
    await settled();
    expect(recording.endings).toHaveLength(1);
  });

  it('K3: dialling an unknown host name fails with ENOTFOUND', async () => {
    const spy = vi.spyOn(dns, 'lookup') as unknown as { mockImplementation(lookup: (...args: any[]) => void): void };
    onTestFinished(() => {
      vi.restoreAllMocks();
    });
    spy.mockImplementation((host: string, _options: unknown, done: (error: Error) => void) => {
      process.nextTick(done, Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND' }));
    });
    const recording = new Recording(connect('tcp://nobody.test:1'));
    expect(await recording.end()).toMatchObject({ code: 'ENOTFOUND' });
  });
});
