import '../../support/leaks.js';
import { createConnection, createServer, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { from, lastValueFrom, map, Observable, type Observer, ReplaySubject, share, toArray } from 'rxjs';
import {
  type Channel,
  concatMapPaced as concatMapPacedOfTheLibrary,
  connect,
  type Flow,
  formatAddress,
  mergeMapPaced as mergeMapPacedOfTheLibrary,
  relay as relayOfTheLibrary,
  sendTo,
} from 'rxjs-sockets';
import { describe, expect, it, onTestFinished } from 'vitest';
import { pair } from '../../support/transport/memory/memory-network.js';
import { tcp } from '../../support/transport/places.js';
import { clientAt, serverAt } from '../../support/connection/connected-pairs.js';
import { rawClient, rawServer } from '../../support/sockets/plain-sockets.js';
import { readAll } from '../../support/sockets/read-socket.js';
import { record } from '../../support/recording/record.js';
import { turns } from '../../support/scheduling/event-loop.js';

type Bytes = Uint8Array | string;
const sendToOfTheLibrary = sendTo;

const runs = { numRuns: 20 };
const texts = (): fc.Arbitrary<string[]> => fc.array(fc.stringMatching(/^[a-z]{1,40}$/), { maxLength: 30 });

/** A Flow that emits `values`, sent by a peer. */
async function flowOf(values: readonly string[]): Promise<Flow<string>> {
  const { connection, peer } = await pair();
  for (const value of values) peer.data.next(value);
  peer.data.complete();
  return connection.data;
}

describe('the model of Channel', () => {
  it('C1: sends and receives as a channel does', async () => {
    const channelOf = <In, Out>(socket: Socket, decode: (chunk: Buffer) => In[], encode: (value: Out) => Buffer) => ({
      subscribe: (observer: Observer<In>) => {
        socket.on('data', (chunk) => {
          for (const value of decode(chunk)) observer.next(value);
        });
        socket.on('end', () => observer.complete());
        socket.on('error', (error) => observer.error(error));
      },
      hold: () => socket.pause(), // released: socket.resume()
      next: (value: Out) => socket.writable && socket.write(encode(value)),
      complete: () => socket.end(),
      error: () => socket.destroy(),
    });

    const address = await rawServer(tcp, (socket) => socket.pipe(socket));
    const recorder = (name: string, to: string[], over: () => void): Observer<Buffer> => ({
      next: (value) => to.push(value.toString()),
      error: () => {
        to.push(`! ${name}`);
        over();
      },
      complete: () => {
        to.push('|');
        over();
      },
    });
    const ofModel: string[] = [];
    const model = channelOf<Buffer, Bytes>(
      await rawClient(address),
      (chunk) => [chunk],
      (value) => Buffer.from(value as string),
    );
    const ofChannel: string[] = [];
    const channel = (await clientAt(tcp, address, { halfOpen: true })).connection.data;
    const over = Promise.all([
      new Promise<void>((resolve) => {
        model.subscribe(recorder('model', ofModel, resolve));
      }),
      new Promise<void>((resolve) => {
        channel.subscribe(recorder('channel', ofChannel, resolve));
      }),
    ]);
    for (const one of [model, channel]) {
      one.next('hello');
      one.complete();
      one.next('too late');
    }
    await over;
    expect(ofChannel).toEqual(['hello', '|']);
    expect(ofModel).toEqual(ofChannel);
    expect([model.hold, model.error]).toHaveLength(2);
  });
});

describe('the models of sending', () => {
  async function sendFrom<T>(channel: Channel<unknown, T>, source: AsyncIterable<T>): Promise<void> {
    for await (const value of source) await channel.send(value);
    while (channel.bufferedBytes > 0) await nextTurn(); // all is flushed
  }

  it('C5: sendFrom sends what its model sends', async () => {
    await fc.assert(
      fc.asyncProperty(texts(), async (values) => {
        const sent = async (send: (channel: Channel<string>, source: Flow<string>) => Promise<void>) => {
          const { connection, peer } = await pair();
          const received = record(peer.data);
          await send(connection.data, await flowOf(values));
          connection.data.complete();
          await received.end();
          return received.values;
        };
        const ofModel = await sent(sendFrom);
        const ofLibrary = await sent((channel, source) =>
          lastValueFrom(channel.sendFrom(source), { defaultValue: undefined }),
        );
        expect(ofLibrary).toEqual(values);
        expect(ofModel).toEqual(ofLibrary);
      }),
      runs,
    );
  });

  it('F6: sendTo is sendFrom as an operator', async () => {
    const sendTo =
      <T>(channel: Channel<unknown, T>) =>
      (source: Observable<T>): Observable<never> =>
        channel.sendFrom(source);
    for (const operator of [sendTo, sendToOfTheLibrary]) {
      const { connection, peer } = await pair();
      const received = record(peer.data);
      from(['one', 'two'])
        .pipe(operator(connection.data))
        .subscribe({ complete: () => connection.data.complete() });
      await received.end();
      expect(received.values).toEqual(['one', 'two']);
    }
  });
});

describe('the models of the paced operators', () => {
  it('F6: concatMapPaced emits what its model emits', async () => {
    async function* concatMapPaced<T, R>(flow: Flow<T>, project: (value: T, index: number) => AsyncIterable<R>) {
      let index = 0;
      for await (const value of flow) yield* project(value, index++);
    }

    async function* project(value: string, index: number): AsyncGenerator<string> {
      yield `${index} ${value}`;
      if (index % 3 === 0) await nextTurn();
      yield* value;
    }
    await fc.assert(
      fc.asyncProperty(texts(), async (values) => {
        const ofModel: string[] = [];
        for await (const result of concatMapPaced(await flowOf(values), project)) ofModel.push(result);
        const flow = (await flowOf(values)).pipe(concatMapPacedOfTheLibrary(project));
        expect(await lastValueFrom(flow.pipe(toArray()))).toEqual(ofModel);
      }),
      runs,
    );
  });

  it('F6: mergeMapPaced emits what its model emits, and runs at most `concurrent` inner sources at once', async () => {
    async function mergeMapPaced<T, R>(
      flow: Flow<T>,
      project: (value: T, index: number) => Observable<R>,
      concurrent: number,
      subscriber: Observer<R>,
    ) {
      const running = new Set<Promise<void>>();
      let index = 0;
      for await (const value of flow) {
        const results = project(value, index++);
        const run: Promise<void> = results
          .forEach((result) => subscriber.next(result))
          .finally(() => running.delete(run));
        running.add(run);
        if (running.size === concurrent) await Promise.race(running);
      }
      await Promise.all(running);
      subscriber.complete();
    }

    await fc.assert(
      fc.asyncProperty(texts(), fc.integer({ min: 1, max: 4 }), async (values, concurrent) => {
        let [running, most] = [0, 0];
        const project = (value: string, index: number): Observable<string> =>
          from(
            (async () => {
              most = Math.max(most, ++running);
              await turns(value.length % 4);
              running--;
              return `${index} ${value}`;
            })(),
          );
        const ofModel: string[] = [];
        const source = await flowOf(values);
        await new Promise<void>((resolve, reject) => {
          const subscriber = { next: (value: string) => void ofModel.push(value), error: reject, complete: resolve };
          mergeMapPaced(source, project, concurrent, subscriber).catch(reject);
        });
        expect(most).toBeLessThanOrEqual(concurrent);
        most = 0;
        const flow = (await flowOf(values)).pipe(mergeMapPacedOfTheLibrary(project, concurrent));
        const ofLibrary = await lastValueFrom(flow.pipe(toArray()));
        expect(most).toBeLessThanOrEqual(concurrent);
        expect(ofLibrary.toSorted()).toEqual(ofModel.toSorted());
      }),
      runs,
    );
  });
});

describe('relay and its model', () => {
  async function relay(a: Channel<Buffer, Bytes>, b: Channel<Buffer, Bytes>): Promise<void> {
    const pass = async (from: Flow<Buffer>, to: Channel<unknown, Bytes>) => {
      await lastValueFrom(from.pipe(sendTo(to)), { defaultValue: undefined }); // an error of `from` fails `to`
      to.complete();
    };
    await Promise.all([pass(a, b), pass(b, a)]);
  }

  const relays: [string, typeof relay][] = [
    ['the model', relay],
    ['the library', (a, b) => lastValueFrom(relayOfTheLibrary(a, b), { defaultValue: undefined })],
  ];

  it.each(relays)('K6: forward all data and the end of each direction: %s', async (_, relay) => {
    const echo = await rawServer(tcp, (socket) => socket.pipe(socket));
    const { address } = await serverAt(tcp, async ({ data }) => {
      await relay(data, connect(echo, { halfOpen: true }).data);
    });
    const client = await rawClient(address);
    const received = readAll(client);
    client.end('hello');
    expect((await received).toString()).toBe('hello');
  });

  it.each(relays)('K6: fail the other connection with ERR_HANDLER when one connection fails: %s', async (_, relay) => {
    const cutter = await rawServer(tcp, (socket) => socket.resetAndDestroy());
    let failure: unknown;
    let end: unknown;
    const { address } = await serverAt(tcp, async ({ data, closed }) => {
      closed.subscribe(({ error }) => (end = error));
      await relay(data, connect(cutter, { halfOpen: true }).data).catch((error: unknown) => {
        failure = error;
      });
    });
    const client = await rawClient(address);
    await expect(readAll(client)).rejects.toThrow('ECONNRESET');
    expect(end).toMatchObject({ code: 'ERR_HANDLER', cause: { code: 'ECONNRESET' } });
    // `failure` is the error of the reset connection, or the error that the reset has caused in the other connection.
    expect([failure, (failure as Error).cause]).toContainEqual(expect.objectContaining({ code: 'ECONNRESET' }));
  });
});

describe('the models of Server and Client', () => {
  it('S1: a server accepts as its model does', async () => {
    const address = { port: 0, host: '127.0.0.1' };
    const server = new Observable<Socket>((subscriber) => {
      const listener = createServer({ allowHalfOpen: true }, (socket) => subscriber.next(socket));
      listener.on('error', (error) => subscriber.error(error));
      listener.listen(address);
      return () => listener.close();
    }).pipe(share());

    const inUse = await serverAt(tcp, (connection) => {
      connection.data.subscribe(connection.data);
    });
    address.port = (inUse.address as { port: number }).port;
    const failed = record(server);
    expect(await failed.end()).toMatchObject({ code: 'EADDRINUSE' });
    inUse.subscription.unsubscribe();
    const accepted = record(server, (socket) => void socket.pipe(socket));
    onTestFinished(() => accepted.subscription.unsubscribe());
    await nextTurn();
    const client = await rawClient({ transport: 'tcp', host: '127.0.0.1', port: address.port });
    const received = readAll(client);
    client.end('hello');
    expect((await received).toString()).toBe('hello');
    expect(accepted.values).toHaveLength(1);
  });

  it('K2: a client goes through the states of its model', async () => {
    const statesOf = async (address: { host: string; port: number }): Promise<(string | undefined)[]> => {
      const client = new Observable<{ status: string }>((subscriber) => {
        let failure: Error | undefined;
        subscriber.next({ status: 'connecting' });
        const socket = createConnection(address, () => subscriber.next({ status: 'connected' }));
        socket.on('error', (error) => (failure = error));
        socket.on('close', () => {
          subscriber.next({ status: 'disconnected' });
          if (failure === undefined) subscriber.complete();
          else subscriber.error(failure);
        });
        return () => socket.end();
      }).pipe(share({ connector: () => new ReplaySubject(1) }));

      return statusesOf(client);
    };
    const statusesOf = async (client: Observable<{ status: string }>): Promise<(string | undefined)[]> => {
      const first = record(client.pipe(map(({ status }) => status)));
      const end = await first.end();
      return [...first.values, end === 'complete' ? end : end.code];
    };
    const finisher = await rawServer(tcp, (socket) => socket.end());
    const cutter = await rawServer(tcp, (socket) => socket.resetAndDestroy());
    const nobody = { transport: 'tcp', host: '127.0.0.1', port: 1 } as const;
    for (const address of [finisher, cutter, nobody]) {
      if (address.transport !== 'tcp') throw new Error(formatAddress(address));
      expect(await statusesOf(connect(address)), formatAddress(address)).toEqual(await statesOf(address));
    }
  });
});
