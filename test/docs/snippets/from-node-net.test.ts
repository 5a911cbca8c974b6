import '../../support/leaks.js';
import { once } from 'node:events';
import net, { type AddressInfo, createConnection, createServer } from 'node:net';
import { firstValueFrom } from 'rxjs';
import { type Closed, connect, type Connection, formatAddress, listen } from 'rxjs-sockets';
import { describe, expect, it, onTestFinished } from 'vitest';
import { recordingConsole } from '../../support/recording/recording-console.js';
import { tcp } from '../../support/transport/places.js';
import { pairAt, serverAt } from '../../support/connection/connected-pairs.js';
import { rawClient, rawServer } from '../../support/sockets/plain-sockets.js';
import { readAll } from '../../support/sockets/read-socket.js';
import { record } from '../../support/recording/record.js';
import { until } from '../../support/scheduling/event-loop.js';

// Each diff of the page runs twice: the code with node:net, and the code with this library.

const report = Array.from({ length: 300 }, (_, index) => `${index} `.padEnd(9_999, '.').concat('\n'));

/** The answer of a server to one question. The client waits for the end of the stream. */
async function echoOf(port: number): Promise<string> {
  const socket = await rawClient({ transport: 'tcp', host: 'localhost', port });
  socket.end('hello');
  return String(await readAll(socket));
}

/** A plain socket, and our end of its connection. */
async function connected(): Promise<{ socket: net.Socket; connection: Connection }> {
  const { server, address } = await serverAt(tcp, () => undefined);
  const socket = await rawClient(address);
  await until(() => server.connections.size > 0);
  const connection = server.connections.values().next().value as Connection;
  return { socket, connection };
}

async function plain(): Promise<{ socket: net.Socket; peer: net.Socket }> {
  const sockets: net.Socket[] = [];
  const address = await rawServer(tcp, (accepted) => sockets.push(accepted));
  const socket = await rawClient(address);
  await until(() => sockets.length > 0);
  return { socket, peer: sockets[0]! };
}

describe('a server on the page about node:net', () => {
  it('works with node:net', async () => {
    const port = 0;
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => undefined);
      socket.pipe(socket);
    });
    server.listen(port, 'localhost');
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    expect(await echoOf((server.address() as AddressInfo).port)).toBe('hello');
  });

  it('works with this library', async () => {
    const port = 0;
    const server = listen({ port });
    server.subscribe(({ data }) => data.subscribe(data));
    onTestFinished(() => server.shutdown());
    const address = await firstValueFrom(server.listening);
    expect(await echoOf(address.transport === 'tcp' ? address.port : 0)).toBe('hello');
  });
});

describe('sending on the page about node:net', () => {
  it('works with node:net', async () => {
    const { socket, peer } = await plain();
    const received = readAll(peer);
    const console = recordingConsole();
    for (const line of report) {
      if (!socket.write(line)) await once(socket, 'drain');
    }
    const line = 'last\n';
    socket.write(line, () => console.log('written'));
    socket.end();
    expect((await received).length).toBe(3_000_005);
    expect(console.written).toEqual(['written']);
  });

  it('works with this library', async () => {
    const { socket, connection } = await connected();
    const received = readAll(socket);
    const console = recordingConsole();
    const { data } = connection;
    for (const line of report) {
      await data.send(line);
    }
    const line = 'last\n';
    data.sendFrom([line]).subscribe({ complete: () => console.log('written') });
    data.complete();
    expect((await received).length).toBe(3_000_005);
    expect(console.written).toEqual(['written']);
  });
});

describe('receiving on the page about node:net', () => {
  it('works with node:net', async () => {
    const { socket, peer } = await plain();
    let stored = 0;
    const store = async (chunk: Buffer): Promise<void> => void (stored += chunk.length);
    socket.on('data', async (chunk) => {
      socket.pause();
      await store(chunk);
      socket.resume();
    });
    peer.end(report.join(''));
    await until(() => stored === 3_000_000);
  });

  it('works with this library', async () => {
    const { socket, connection } = await connected();
    const { data } = connection;
    let stored = 0;
    const store = async (chunk: Buffer): Promise<void> => void (stored += chunk.length);
    socket.end(report.join(''));
    for await (const chunk of data) await store(chunk);
    expect(stored).toBe(3_000_000);
  });
});

describe('half-closing on the page about node:net', () => {
  it('works with node:net and with this library', async () => {
    const address = await rawServer(tcp, async (socket) => {
      const question = await readAll(socket);
      socket.end(`no ${String(question)}`);
    });
    const port = address.transport === 'tcp' ? address.port : 0;
    const before = (): net.Socket => {
      const socket = createConnection({ port, allowHalfOpen: true });
      socket.end('question\n');
      return socket;
    };
    const after = (): Connection['data'] => {
      const { data } = connect({ port }, { halfOpen: true });
      data.next('question\n');
      data.complete();
      return data;
    };
    expect(String(await readAll(before()))).toBe('no question\n');
    const received = record(after());
    expect(await received.end()).toBe('complete');
    expect(received.values.join('')).toBe('no question\n');
  });
});

describe('the end of a connection on the page about node:net', () => {
  it('is reported with node:net', async () => {
    const { socket, peer } = await plain();
    const console = { ...recordingConsole(), error: (text: string) => void console.written.push(text) };
    socket.on('error', (error) => console.error(error.message));
    socket.on('close', () => console.log(`${socket.bytesRead} bytes from ${socket.remoteAddress}`));
    peer.resetAndDestroy();
    socket.resume();
    await once(socket, 'close').catch(() => undefined);
    await until(() => console.written.length === 2);
    expect(console.written[1]).toMatch(/^0 bytes from /);
  });

  it('is reported with this library', async () => {
    const { socket, connection } = await connected();
    const { data, closed, remote } = connection;
    const console = { ...recordingConsole(), error: (text: string) => void console.written.push(text) };
    data.subscribe({ error: (error: unknown) => console.error(String(error)) });
    closed.subscribe(({ bytesRead }) => console.log(`${bytesRead} bytes from ${formatAddress(remote)}`));
    socket.resetAndDestroy();
    await until(() => console.written.length === 2);
    expect(console.written[1]).toMatch(/^0 bytes from tcp:/);
  });
});

describe('a silent peer on the page about node:net', () => {
  it('is noticed with node:net', async () => {
    const { socket } = await plain();
    const callbacks: (() => void)[] = [];
    socket.setTimeout = (timeout, callback) => {
      expect(timeout).toBe(60_000);
      if (callback !== undefined) callbacks.push(callback);
      return socket;
    };
    socket.setTimeout(60_000, () => socket.destroy());
    callbacks[0]?.();
    expect(socket.destroyed).toBe(true);
  });

  it('is noticed with this library', async () => {
    const options = { idleTimeout: 60_000 };
    const { near } = await pairAt(tcp, options);
    expect(near.data.closed).toBe(false);
  });
});

describe('the end of a server on the page about node:net', () => {
  it('works with node:net', async () => {
    const server = createServer().listen(0, 'localhost');
    await once(server, 'listening');
    server.close();
    await once(server, 'close');
  });

  it('works with this library', async () => {
    const { server, far } = await pairAt(tcp);
    const closed: Promise<Closed> = firstValueFrom(far.closed);
    await server.shutdown({ deadline: 10_000 });
    expect(await closed).toMatchObject({ reason: 'finished' });
  });
});

describe('a process on the page about node:net', () => {
  it('ends when nothing is open', async () => {
    const received: string[] = [];
    const address = await rawServer(tcp, async (socket) => {
      received.push(String(await readAll(socket)));
      socket.end();
    });
    const port = address.transport === 'tcp' ? address.port : 0;
    {
      await using connection = await connect({ port }, { signal: AbortSignal.timeout(10_000) }).open();
      await connection.data.send('done\n');
    } // closed here; nothing keeps the process alive
    expect(received).toEqual(['done\n']);
  });
});
