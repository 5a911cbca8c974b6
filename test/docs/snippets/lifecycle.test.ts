import '../../support/leaks.js';
import fc from 'fast-check';
import { firstValueFrom, map, mergeMap, type ObservableInput, retry, Subscription, take, toArray } from 'rxjs';
import * as library from 'rxjs-sockets';
import {
  backoff,
  type Backoff,
  type BackoffOptions,
  Broadcast,
  type Channel,
  type ClientTls,
  type Connection,
  serve,
  type ServeOptions,
  type ServerTls,
  type ServerTlsOptions,
  type StartTlsOptions,
  type TlsInfo,
} from 'rxjs-sockets';
import { type Codec, jsonLines, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import * as certificates from '../../support/transport/node/tls/certificates.js';
import { network, pair } from '../../support/transport/memory/memory-network.js';
import { recordingConsole } from '../../support/recording/recording-console.js';
import { record } from '../../support/recording/record.js';
import { until } from '../../support/scheduling/event-loop.js';

describe('the examples of reconnecting show how to', () => {
  it('write a policy for reconnecting', () => {
    const policy: Backoff = backoff({ max: 10_000 });
    expect(policy.stableAfter).toBe(5_000);
    const options: BackoffOptions = { initial: 500, max: 60_000, attempts: 20 };
    expect(backoff(options).resetOnSuccess).toBe(false);
  });

  it('reconnect and retry', async () => {
    const { listen, connect } = network();
    const client = connect('tcp://localhost:7000', { codec: lines(), reconnect: backoff() });
    const states = connect('tcp://localhost:7000', { codec: lines() }).pipe(retry(backoff({ attempts: 5 })));
    const watched = [record(client), record(states)];
    await until(() => watched.every(({ values }) => values.some(({ status }) => status === 'disconnected')));
    listen('tcp://localhost:7000', { codec: lines() }).subscribe(({ data }) => data.subscribe(data));
    client.data.next('hello');
    expect(await firstValueFrom(client.data)).toBe('hello');
    await until(() => watched.every(({ values }) => values.at(-1)?.status === 'connected'));
    for (const { subscription } of watched) subscription.unsubscribe();
  });
});

describe('the examples of Broadcast show how to', () => {
  interface Price {
    readonly of: string;
  }

  it('send the lines of one client to all clients', async () => {
    const { listen, connect } = network();
    const server = listen('memory:news', { codec: lines() });
    const news = new Broadcast(lines());
    server.subscribe((connection) => {
      news.join(connection);
      connection.data.subscribe({ next: (line) => news.next(line), error: () => undefined });
    });
    const heard = ['ann', 'bob'].map(() => record(connect('memory:news', { codec: lines() }).data));
    await until(() => news.size === 2);
    news.next('hello, everybody');
    for (const one of heard) expect(await one.count(1)).toEqual(['hello, everybody']);
    const console = recordingConsole();
    console.log(`${news.size} are listening`);
    expect(console.written).toEqual(['2 are listening']);
    news.next('two\nlines');
    if (news.refused > 0) console.log(`${news.refused} lines could not be sent`);
    expect(console.written).toContain('1 lines could not be sent');
    news.complete();
    for (const one of heard) expect(await one.end()).toBe('complete');
  });

  it('send values to all members', async () => {
    const { connection, peer } = await pair<unknown>(jsonLines());
    const prices = new Broadcast(jsonLines<Price>());
    prices.join(connection);
    prices.next({ of: 'tea' });
    expect(await firstValueFrom(peer.data)).toEqual({ of: 'tea' });
  });

  it('join and leave a Broadcast', async () => {
    const { connection } = await pair();
    const news = new Broadcast(lines());
    const membership = news.join(connection);
    membership.unsubscribe();
    expect(news.size).toBe(0);
    news.join(connection);
    news.error(new Error('the source of the news has failed'));
    expect(await firstValueFrom(connection.closed)).toMatchObject({ reason: 'destroyed' });
  });
});

describe('the model of Broadcast', () => {
  const broadcastOf = <Out>(codec: Codec<unknown, Out>) => {
    const members = new Map<Connection<any, any>, Channel<unknown, Out>>();
    return {
      join: (connection: Connection<any, any>) => {
        members.set(connection, connection.bytes.framed(codec));
        const membership = new Subscription(() => members.delete(connection));
        membership.add(connection.closed.subscribe(() => membership.unsubscribe()));
        return membership;
      },
      next: (value: Out) => members.forEach((channel) => channel.next(value)),
      complete: () => members.forEach((channel) => channel.complete()),
      error: (reason: unknown) => members.forEach((_, connection) => connection.destroy(reason)),
    };
  };
  type Model = ReturnType<typeof broadcastOf<string>>;

  /** The lines that each of three members receives while the members join, send and leave. */
  async function heardBy(news: Model, steps: readonly (readonly [number, string])[]): Promise<string[][]> {
    const pairs = await Promise.all([pair(), pair(), pair()]);
    const heard = pairs.map(({ peer }) => record(peer.data));
    const memberships = new Map<number, Subscription>();
    for (const [member, line] of steps) {
      const { connection } = pairs[member % 3]!;
      if (member < 3) news.next(line);
      else if (member < 6) connection.data.next(line);
      else if (memberships.has(member % 3)) {
        memberships.get(member % 3)?.unsubscribe();
        memberships.delete(member % 3);
      } else memberships.set(member % 3, news.join(connection));
    }
    news.complete();
    for (const { connection } of pairs) connection.data.complete();
    await Promise.all(heard.map((one) => one.end()));
    return heard.map(({ values }) => values);
  }

  it('B1: a Broadcast does what its model does', async () => {
    const steps = fc.array(fc.tuple(fc.nat(8), fc.stringMatching(/^[a-z]{1,9}$/)), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(steps, async (some) => {
        expect(await heardBy(new Broadcast(lines()), some)).toEqual(await heardBy(broadcastOf(lines()), some));
      }),
      { numRuns: 30 },
    );
  });

  it('B4: a Broadcast fails as its model does', async () => {
    for (const make of [broadcastOf, (codec: Codec<string>) => new Broadcast(codec)]) {
      const { connection } = await pair();
      const news = make(lines());
      news.join(connection);
      news.error('over');
      expect(await firstValueFrom(connection.closed)).toMatchObject({ reason: 'destroyed', error: { cause: 'over' } });
    }
  });
});

describe('the examples of serve', () => {
  it('show how to set options', () => {
    const options: ServeOptions = { concurrent: 100 };
    expect(serve(() => [], options)).toBeTypeOf('function');
  });

  it('show how to answer in capitals', async () => {
    const { listen, connect } = network();
    const console = recordingConsole();
    const server = listen('memory:shout', { codec: lines() });
    const served = server.pipe(serve(({ data }) => data.pipe(map((line) => line.toUpperCase()))));
    served.subscribe(({ reason, bytesRead }) => console.log(reason, bytesRead));
    const { data } = connect('memory:shout', { codec: lines() });
    data.next('hello');
    data.complete();
    const heard = record(data);
    expect(await heard.end()).toBe('complete');
    expect(heard.values).toEqual(['HELLO']);
    await until(() => console.written.length > 0);
    expect(console.written).toEqual(['finished', 6]);
  });

  it('S6: the examples contain a model that behaves like serve', async () => {
    function served<In, Out>(handler: (connection: Connection<In, Out>) => ObservableInput<Out>) {
      return mergeMap((connection: Connection<In, Out>) => {
        connection.data.sendFrom(handler(connection)).subscribe({ complete: () => connection.close() });
        return connection.closed;
      });
    }
    for (const operator of [served, serve]) {
      const { listen, connect } = network();
      const server = listen('memory:served', { codec: lines() });
      const ended = record(server.pipe(operator(({ data }) => data.pipe(map((line: string) => `${line}!`)))));
      const { data } = connect('memory:served', { codec: lines() });
      data.next('hello');
      data.complete();
      const heard = record(data);
      await heard.end();
      expect(heard.values).toEqual(['hello!']);
      expect(await ended.count(1)).toMatchObject([{ reason: 'finished', bytesRead: 6, bytesWritten: 7 }]);
    }
  });
});

describe('the examples of TLS show how to', () => {
  it('use TLS', async () => {
    let port = 0;
    const files: Record<string, string> = {
      'server.key': certificates.server.key,
      'server.pem': certificates.server.cert,
      'authority.pem': certificates.authority,
    };
    const readFileSync = (name: string): string => files[name] ?? '';
    const listen: typeof library.listen = (_address, options) => library.listen('tls://127.0.0.1:0', options);
    const connect: typeof library.connect = (_address, options) => library.connect(`tls://127.0.0.1:${port}`, options);

    const asServer = (): library.Server<string, string> => {
      const tls: ServerTls = { key: readFileSync('server.key'), cert: readFileSync('server.pem') };
      const server = listen('tls://0.0.0.0:7000', { codec: lines(), tls });
      return server;
    };
    const server = asServer();
    onTestFinished(() => server.shutdown());
    server.subscribe(({ data }) => data.subscribe(data));
    const bound = await firstValueFrom(server.listening);
    if (bound.transport === 'tcp') ({ port } = bound);

    const asClient = (): library.Client<string, string> => {
      const tls: ClientTls = { ca: readFileSync('authority.pem') };
      const client = connect('tls://localhost:7000', { codec: lines(), tls });
      return client;
    };
    const client = asClient();
    const names = record(client.pipe(take(2), toArray()));
    const nameOf = ({ authorized, peerCertificate }: TlsInfo): string =>
      authorized ? String(peerCertificate.subject.CN) : 'somebody';
    client.data.next('hello');
    expect(await firstValueFrom(client.data)).toBe('hello');
    const [states = []] = await names.count(1);
    const state = states.at(-1);
    const connection = state?.status === 'connected' ? state.connection : undefined;
    expect(connection?.tls === undefined ? undefined : nameOf(connection.tls)).toBe('localhost');
  });

  it('allow half-closed TLS connections', () => {
    const { listen } = library;
    const identity = certificates.server;
    const readFileSync = (name: string): string => (name === 'server.key' ? identity.key : identity.cert);
    const make = (): library.Server<string, string> => {
      const key = readFileSync('server.key');
      const cert = readFileSync('server.pem');
      const tls: ServerTlsOptions = { key, cert, allowHalfClosed: true };
      const server = listen('tls://0.0.0.0:7000', { codec: lines(), tls });
      return server;
    };
    expect(make().connections.size).toBe(0);
  });

  it('start TLS later', async () => {
    const { key, cert } = certificates.server;
    const readFileSync = (_name: string): string => certificates.authority;
    const server = library.listen({ port: 0 }, { codec: lines() });
    onTestFinished(() => server.shutdown());
    const started = new Promise<string>((resolve, reject) => {
      server.subscribe((connection) => {
        (async () => {
          connection.data.next('220 go ahead');
          const { protocol } = await connection.startTls({ key, cert }); // 'TLSv1.3'
          resolve(protocol);
        })().catch(reject);
      });
    });
    const client = library.connect(await firstValueFrom(server.listening), { codec: lines() });
    const states = record(client);
    await until(() => states.values.at(-1)?.status === 'connected');
    const state = states.values.at(-1);
    const connection = state?.status === 'connected' ? state.connection : undefined;
    const options: StartTlsOptions = { ca: readFileSync('authority.pem'), handshakeTimeout: 2_000 };
    expect(connection === undefined ? '' : await firstValueFrom(connection.data)).toBe('220 go ahead');
    expect(await connection?.startTls(options)).toMatchObject({ authorized: true });
    expect(await started).toBe('TLSv1.3');
    states.subscription.unsubscribe();
  });
});
