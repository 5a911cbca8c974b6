import '../../support/leaks.js';
import { firstValueFrom, mergeMap } from 'rxjs';
import {
  type AddressInput,
  concatMapPaced,
  type Connection,
  type ConnectionOptions,
  formatAddress,
  type ListenOptions,
  mergeMapPaced,
  type Server,
  type ShutdownOptions,
} from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { network, type Network, pair } from '../../support/transport/memory/memory-network.js';
import { recordingConsole } from '../../support/recording/recording-console.js';
import { record } from '../../support/recording/record.js';
import { turns, until } from '../../support/scheduling/event-loop.js';

/** The answer of a server to one line. */
async function answer({ connect }: Network, address: AddressInput, question: string): Promise<string> {
  const client = connect(address, { codec: lines() });
  client.data.next(question);
  return firstValueFrom(client.data);
}

describe('the examples of Server show how to', () => {
  it('listen', async () => {
    const net = network();
    const { listen } = net;
    const server = listen('tcp://localhost:7000', { codec: lines() });
    server.subscribe(({ data }) => data.subscribe(data)); // an echo server, at each client's pace
    expect(await answer(net, 'tcp://localhost:7000', 'hello')).toBe('hello');
  });

  it('serve one client at a time', async () => {
    const net = network();
    const server: Server<string, string> = net.listen('memory:turns', { codec: lines() });
    const atOnce: number[] = [];
    const serveOne = async (connection: Connection<string, string>): Promise<void> => {
      atOnce.push(server.connections.size);
      const question = await firstValueFrom(connection.data);
      connection.data.next(question.toUpperCase());
      await connection.close();
    };
    const serving = (async () => {
      for await (const connection of server) await serveOne(connection); // one client at a time
    })();
    await firstValueFrom(server.listening);
    const answers = await Promise.all(['a', 'b', 'c'].map((question) => answer(net, 'memory:turns', question)));
    expect(answers).toEqual(['A', 'B', 'C']);
    expect(atOnce).toEqual([1, 1, 1]);
    await server.shutdown();
    await serving;
  });

  it('serve many clients at once', async () => {
    const net = network();
    const server: Server<string, string> = net.listen('memory:many', { codec: lines() });
    const serveOne = async ({ data }: Connection<string, string>): Promise<void> => {
      for await (const line of data) data.next(line);
      data.complete();
    };
    const console = recordingConsole();
    const served = server.pipe(mergeMapPaced((connection) => serveOne(connection), 100)); // a hundred at once
    served.subscribe({ error: (error: unknown) => console.log(String(error)) });
    const answers = await Promise.all(['a', 'b', 'c'].map((question) => answer(net, 'memory:many', question)));
    expect(answers).toEqual(['a', 'b', 'c']);
    await until(() => server.connections.size === 0);
  });

  it('answer one question after another', async () => {
    const { connection, peer } = await pair();
    const lookUp = async (question: string): Promise<string> => {
      await turns(question.length);
      return `${question}!`;
    };
    const answers = connection.data.pipe(concatMapPaced((question) => lookUp(question)));
    answers.subscribe(connection.data);
    const received = record(peer.data);
    for (const question of ['three', 'or', 'a']) peer.data.next(question);
    expect(await received.count(3)).toEqual(['three!', 'or!', 'a!']);
  });

  it('report the address of a server', async () => {
    const console = recordingConsole();
    const server = network().listen('tcp://localhost:7000');
    server.listening.subscribe((address) => console.log(`at ${formatAddress(address)}`));
    record(server);
    await firstValueFrom(server.listening);
    expect(console.written).toEqual(['at tcp://localhost:7000']);
  });

  it('send to all clients', async () => {
    const { client, server } = await pair();
    const received = record(client.data);
    for (const connection of server.connections) connection.data.next('the server will be back in a minute');
    expect(await received.count(1)).toEqual(['the server will be back in a minute']);
  });

  it('report incidents', async () => {
    const console = recordingConsole();
    const net = network();
    const server = net.listen('memory:full', { maxConnections: 1 });
    server.incidents.subscribe((error) => console.log(error.code, error.message));
    record(server);
    const first = net.connect('memory:full');
    const second = net.connect('memory:full');
    record(first);
    await record(second).end();
    expect(console.written).toEqual(['ERR_LIMIT_CONNECTIONS', 'a client was reset: maxConnections (1) is reached']);
  });

  it('shut a server down', async () => {
    const { server, connection } = await pair();
    const connections = record(server);
    await server.shutdown({ deadline: 1_000 });
    expect(await connections.end()).toBe('complete');
    expect(await firstValueFrom(connection.closed)).toMatchObject({ reason: 'finished' });
  });

  it('shut a server down at the end of a block', async () => {
    const net = network();
    const { listen } = net;
    let ended: Promise<unknown> | undefined;
    {
      await using server = listen('tcp://localhost:7000', { codec: lines() });
      ended = record(server.pipe(mergeMap(({ data }) => data.sendFrom(data)))).end();
      expect(await answer(net, 'tcp://localhost:7000', 'hello')).toBe('hello');
    }
    expect(await ended).toBe('complete');
  });

  it('hold a server', async () => {
    const net = network();
    const server = net.listen('memory:held', { codec: lines() });
    server.subscribe(({ data }) => data.subscribe(data));
    let asked: Promise<string> | undefined;
    const warmUp = async (): Promise<void> => {
      await firstValueFrom(server.listening);
      asked = answer(net, 'memory:held', 'hello');
      await turns();
      expect(server.connections.size).toBe(0);
    };
    const hold = server.hold();
    await warmUp();
    hold.release();
    expect(await asked).toBe('hello');
  });
});

describe('the examples of the options show how to', () => {
  it('configure a server and a client alike', async () => {
    const { listen, connect } = network();
    const options: ConnectionOptions<string, string> = { codec: lines(), idleTimeout: 60_000, overflow: 'drop' };
    const server = listen('tcp://localhost:7000', options);
    const client = connect('tcp://localhost:7000', options);
    server.subscribe(({ data }) => data.subscribe(data));
    client.data.next('hello');
    expect(await firstValueFrom(client.data)).toBe('hello');
  });

  it('configure a server', async () => {
    const net = network();
    const { listen } = net;
    const options: ListenOptions<string, string> = { codec: lines(), maxConnections: 1_000 };
    const server = listen({ service: 'http', host: '0.0.0.0' }, options);
    server.subscribe(({ data }) => data.subscribe(data));
    expect(await answer(net, 'tcp://0.0.0.0:80', 'hello')).toBe('hello');
  });

  it('limit the time of a shutdown', async () => {
    const { server, connection } = await pair();
    const options: ShutdownOptions = { deadline: 30_000 };
    await server.shutdown(options);
    expect(await firstValueFrom(connection.closed)).toMatchObject({ reason: 'finished' });
  });
});
