import '../../support/leaks.js';
import { firstValueFrom } from 'rxjs';
import {
  backoff,
  type ConnectionState,
  type ConnectOptions,
  formatAddress,
  listen,
  connect,
  relay,
  serve,
  SocketError,
} from 'rxjs-sockets';
import { lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { memoryTransport } from 'rxjs-sockets/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { network, pair } from '../../support/transport/memory/memory-network.js';
import { recordingConsole } from '../../support/recording/recording-console.js';
import { record } from '../../support/recording/record.js';
import { until } from '../../support/scheduling/event-loop.js';

describe('the examples of Client show how to', () => {
  it('connect', async () => {
    const { listen, connect } = network();
    const console = recordingConsole();
    listen('tcp://localhost:7000', { codec: lines() }).subscribe(({ data }) => data.subscribe(data));
    const client = connect('tcp://localhost:7000', { codec: lines() });
    client.data.subscribe((line) => console.log(line)); // subscribe = receive
    client.data.next('hello'); // next = send
    await until(() => console.written.length > 0);
    client.data.complete();
    await record(client.data).end();
    expect(console.written).toEqual(['hello']);
  });

  it('send before the client dials', async () => {
    const { listen, connect } = network();
    const console = recordingConsole();
    listen('memory:echo', { codec: lines() }).subscribe(({ data }) => data.subscribe(data));
    const client = connect('memory:echo', { codec: lines() });
    client.data.next('hello'); // waits
    client.data.subscribe((line) => console.log(line)); // dials
    client.data.complete();
    await record(client.data).end();
    expect(console.written).toEqual(['hello']);
  });

  it('watch the states', async () => {
    const { connect } = network();
    const console = recordingConsole();
    const client = connect('tcp://localhost:7000');
    client.subscribe({
      next: ({ status }) => console.log(status), // 'connecting', 'connected', 'disconnected'
      error: (error: unknown) => console.log(String(error)), // 'SocketError: connect to …: ECONNREFUSED …'
    });
    await record(client).end();
    expect(console.written.slice(0, 2)).toEqual(['connecting', 'disconnected']);
    expect(console.written[2]).toMatch(/^SocketError: connect to .*: ECONNREFUSED /);
  });

  it('declare the type of a state', async () => {
    const { client } = await pair();
    const shown = (state: ConnectionState): string =>
      state.status === 'connected' ? `connected to ${formatAddress(state.connection.remote)}` : state.status;
    const address = { transport: 'memory', name: 'pair' } as const;
    expect(shown({ status: 'connecting', attempt: 1, address })).toBe('connecting');
    const state = await firstValueFrom(client);
    expect(state.status).toBe('connected');
  });

  it('set options', async () => {
    const { listen, connect } = network();
    const options: ConnectOptions<string, string> = { codec: lines(), connectTimeout: 1_000, reconnect: backoff() };
    const client = connect({ path: '/run/app.sock' }, options);
    listen({ path: '/run/app.sock' }, { codec: lines() }).subscribe(({ data }) => data.subscribe(data));
    client.data.next('hello');
    expect(await firstValueFrom(client.data)).toBe('hello');
  });

  it('open a connection', async () => {
    const { listen, connect } = network();
    const received: string[] = [];
    const log = serve<string, string>(async ({ data }) => {
      for await (const line of data) received.push(line);
    });
    const ended = firstValueFrom(listen('memory:log', { codec: lines() }).pipe(log));
    const client = connect('memory:log', { codec: lines() });
    {
      await using connection = await client.open();
      await connection.data.send('hello');
    }
    expect(await ended).toMatchObject({ reason: 'finished' });
    expect(received).toEqual(['hello']);
  });

  it('relay a connection', async () => {
    const { connection: near, peer: connection } = await pair();
    const { listen, connect } = network();
    const console = recordingConsole();
    listen('unix:/run/app.sock').subscribe(({ data }) => data.subscribe(data));
    const behind = connect('unix:/run/app.sock', { halfOpen: true }); // so that its FIN ends one direction only
    relay(connection.bytes, behind.data).subscribe({ error: (error: unknown) => console.log(String(error)) });
    const received = record(near.data);
    near.data.next('hello');
    near.data.complete();
    expect(await received.end()).toBe('complete');
    expect(received.values).toEqual(['hello']);
    expect(console.written).toEqual([]);
  });

  it('send messages with a length', async () => {
    const { listen, connect } = network();
    const raw = firstValueFrom(listen('unix:/run/store.sock'));
    const client = connect('unix:/run/store.sock', { codec: lengthPrefixed({ bytes: 2, endian: 'little' }) });
    client.data.next(Uint8Array.of(1, 2, 3)); // 03 00 01 02 03
    const states = record(client);
    const connection = await raw;
    expect((await firstValueFrom(connection.data)).toString('hex')).toBe('0300010203');
    connection.destroy();
    await states.end();
  });

  it('distinguish errors', async () => {
    const { connect } = network();
    const client = connect('tcp://localhost:7000');
    const console = { ...recordingConsole(), error: (text: string) => void console.written.push(text) };
    client.subscribe({
      error: (error: unknown) => {
        if (error instanceof SocketError && error.code === 'ECONNREFUSED') console.error('the server is not running');
        else throw error;
      },
    });
    await record(client).end();
    expect(console.written).toEqual(['the server is not running']);
  });
});

describe('the example of memoryTransport', () => {
  it('connects without sockets', async () => {
    const transport = memoryTransport();
    const server = listen('memory:echo', { transport, codec: lines() });
    const client = connect('memory:echo', { transport, codec: lines() });
    const serving = server.subscribe(({ data }) => data.subscribe(data));
    onTestFinished(() => serving.unsubscribe());
    client.data.next('hello');
    client.data.complete();
    const received = record(client.data);
    await received.end();
    expect(received.values).toEqual(['hello']);
  });
});
