import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { Socket } from 'node:net';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate } from 'node:timers/promises';
import { firstValueFrom } from 'rxjs';
import { type Address, connect, type Server } from 'rxjs-sockets';
import { toNodeStream } from 'rxjs-sockets/interop';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createWebSocketStream, WebSocket, WebSocketServer } from 'ws';
import '../support/leaks.js';
import { allPlaces, allRealPlaces, type Place } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { rawSocket } from '../support/sockets/plain-sockets.js';
import { until } from '../support/scheduling/event-loop.js';

/** A web socket server over connections of the library. It uses Node's HTTP parser. */
async function webServerAt(place: Place): Promise<{ server: Server; address: Address; sockets: WebSocketServer }> {
  const sockets = new WebSocketServer({ noServer: true });
  const web = http.createServer((_request, response) => response.end('no web socket'));
  web.on('upgrade', (request, stream, head) => {
    sockets.handleUpgrade(request, stream, head, (socket) => sockets.emit('connection', socket, request));
  });
  const { server, address } = await serverAt(place, (connection) => web.emit('connection', toNodeStream(connection)));
  return { server, address, sockets };
}

function socketTo(place: Place, address: Address): WebSocket {
  const createConnection = (): ReturnType<typeof toNodeStream> => toNodeStream(connect(address, place.options));
  return terminated(new WebSocket('ws://localhost/', { createConnection }));
}

function terminated(socket: WebSocket): WebSocket {
  onTestFinished(() => socket.terminate());
  return socket;
}

function echo(socket: WebSocket): void {
  socket.on('message', (message: Buffer, isBinary) => socket.send(message, { binary: isBinary }));
}

/** Sends messages of all sizes, and checks that they come back in order. */
async function checkEcho(socket: WebSocket): Promise<void> {
  await once(socket, 'open');
  const sizes = [0, 1, 125, 126, 65_535, 65_536, 1_000_000, ...Array.from({ length: 100 }, (_, i) => i * 97)];
  const sent = sizes.map((size, index) => Buffer.alloc(size, index));
  const received: Buffer[] = [];
  const all = new Promise<void>((resolve, reject) => {
    socket.on('message', (message: Buffer) => {
      if (received.push(message) === sent.length) resolve();
    });
    socket.on('close', (code) => reject(new Error(`closed with ${code} after ${received.length} messages`)));
  });
  for (const message of sent) socket.send(message);
  await all;
  expect(received.map((message, index) => message.equals(sent[index]!))).toEqual(sent.map(() => true));
}

describe.each(allPlaces)('ws over $name', (place) => {
  test('I2: returns messages of all sizes, with the library on both sides', async () => {
    const { address, sockets } = await webServerAt(place);
    sockets.on('connection', echo);
    await checkEcho(socketTo(place, address));
  });

  test('I2: answers pings, and reports the code of a close to both sides', async () => {
    const { address, sockets } = await webServerAt(place);
    const accepted = once(sockets, 'connection');
    const socket = socketTo(place, address);
    await once(socket, 'open');
    const [far] = (await accepted) as [WebSocket];
    const closed = once(far, 'close');
    socket.ping('are you there');
    expect(String((await once(socket, 'pong'))[0])).toBe('are you there');
    socket.close(4_001, 'enough');
    expect((await once(socket, 'close')).map(String)).toEqual(['4001', 'enough']);
    expect((await closed).map(String)).toEqual(['4001', 'enough']);
  });

  test('I2: ends the connection cleanly if the server closes a web socket', async () => {
    const { server, address, sockets } = await webServerAt(place);
    sockets.on('connection', (socket) => {
      socket.send('bye');
      socket.close(1_000, 'done');
    });
    const ended = firstValueFrom(server).then((connection) => firstValueFrom(connection.closed));
    const socket = socketTo(place, address);
    const closed = once(socket, 'close');
    expect(String((await once(socket, 'message'))[0])).toBe('bye');
    expect((await closed).map(String)).toEqual(['1000', 'done']);
    expect(await ended).toMatchObject({ reason: 'finished' });
  });

  test('I2: makes a sender wait for a slow receiver', async () => {
    const { address, sockets } = await webServerAt(place);
    const accepted = once(sockets, 'connection');
    const near = createWebSocketStream(socketTo(place, address));
    const [socket] = (await accepted) as [WebSocket];
    const far = createWebSocketStream(socket);

    const chunk = Buffer.alloc(65_536, 'some text ');
    const total = 400;
    let sent = 0;
    let received = 0;
    let ahead = 0;
    const source = function* (): Generator<Buffer> {
      for (; sent < total; sent++) yield chunk;
    };
    const hash = createHash('sha256');
    const sink = new Writable({
      highWaterMark: 1,
      write: (bytes: Buffer, _encoding, written) => {
        hash.update(bytes);
        received += bytes.length;
        ahead = Math.max(ahead, sent * chunk.length - received);
        void setImmediate().then(() => written());
      },
    });
    await Promise.all([pipeline(Readable.from(source()), near), pipeline(far, sink)]);
    const expected = createHash('sha256');
    for (let i = 0; i < total; i++) expected.update(chunk);
    expect(hash.digest('hex')).toBe(expected.digest('hex'));
    // The sender is ahead only by the data that fits into the buffers of the kernel and the streams.
    expect(ahead).toBeLessThan((total * chunk.length) / 2);
  });

  test('I2: notices on each side when the other side has disconnected', async () => {
    const { server, address, sockets } = await webServerAt(place);
    for (const leaver of ['near', 'far'] as const) {
      const accepted = once(sockets, 'connection');
      const near = socketTo(place, address);
      await once(near, 'open');
      const [far] = (await accepted) as [WebSocket];
      far.on('error', () => undefined);
      near.on('error', () => undefined);
      const codes = Promise.all([once(near, 'close'), once(far, 'close')]);
      (leaver === 'near' ? near : far).terminate();
      expect((await codes).map(([code]) => code as number)).toEqual([1_006, 1_006]);
    }
    await until(() => server.connections.size === 0);
  });

  test('S7: gives web sockets time to say goodbye when the server shuts down', async () => {
    const { server, address, sockets } = await webServerAt(place);
    const socket = socketTo(place, address);
    await once(socket, 'open');
    for (const one of sockets.clients) one.close(1_001, 'going away');
    const closed = once(socket, 'close');
    await server.shutdown({ deadline: 20_000 });
    expect((await closed).map(String)).toEqual(['1001', 'going away']);
  });

  test('S7: when the server shuts down, ends web sockets that nobody has closed', async () => {
    const { server, address } = await webServerAt(place);
    const socket = socketTo(place, address);
    await once(socket, 'open');
    const closed = once(socket, 'close');
    await server.shutdown();
    expect((await closed)[0]).toBe(1_006);
  });

  test('I2: reports an error if the server is not running', async () => {
    const { server, address } = await webServerAt(place);
    await server.shutdown();
    const [error] = (await once(socketTo(place, address), 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toMatch(/^(ECONNREFUSED|ENOENT)$/);
  });
});

describe.each(allRealPlaces)('ws over $name, with a plain client,', (place) => {
  test('I2: returns messages of all sizes', async () => {
    const { address, sockets } = await webServerAt(place);
    sockets.on('connection', echo);
    const createConnection = (): Socket => rawSocket(address, false);
    await checkEcho(terminated(new WebSocket('ws://localhost/', { createConnection })));
  });
});
