import { once } from 'node:events';
import http from 'node:http';
import type { Address } from 'rxjs-sockets';
import { connect } from 'rxjs-sockets';
import { toNodeStream } from 'rxjs-sockets/interop';
import { describe, expect, it } from 'vitest';
import WebSocket, { WebSocketServer } from 'ws';
import '../support/leaks.js';
import { allPlaces, type Place, serverAt } from '../support/places.js';
import { until } from '../support/turns.js';

function webSocket(place: Place, address: Address): WebSocket {
  return new WebSocket('ws://localhost/', {
    createConnection: () => toNodeStream(connect(address, place.options)),
  });
}

describe.each(allPlaces)('ws over $name', (place) => {
  it('I2: both ends send and receive, and close in order', async () => {
    const web = http.createServer();
    const sockets = new WebSocketServer({ server: web });
    sockets.on('connection', (socket) => {
      socket.on('message', (message: Buffer, isBinary) => socket.send(message, { binary: isBinary }));
    });
    const { address, server } = await serverAt(place, (connection) => web.emit('connection', toNodeStream(connection)));
    const socket = webSocket(place, address);
    const received: Buffer[] = [];
    socket.on('message', (message: Buffer) => received.push(message));
    await once(socket, 'open');
    const messages = Array.from({ length: 200 }, (_, index) => Buffer.alloc(index * 100, `${index}`));
    messages.push(Buffer.alloc(3_000_000, 'large'));
    for (const message of messages) socket.send(message);
    await until(() => received.length === messages.length);
    expect(Buffer.concat(received).equals(Buffer.concat(messages))).toBe(true);
    socket.close(1000, 'enough');
    const [code, reason] = (await once(socket, 'close')) as [number, Buffer];
    expect([code, reason.toString()]).toEqual([1000, 'enough']);
    await until(() => server.connections.size === 0);
  });

  it('S7: a server that is shut down leaves time to say goodbye', async () => {
    const web = http.createServer();
    const sockets = new WebSocketServer({ server: web });
    const { address, server } = await serverAt(place, (connection) => web.emit('connection', toNodeStream(connection)));
    const socket = webSocket(place, address);
    await once(socket, 'open');
    for (const one of sockets.clients) one.close(1001, 'going away');
    const closed = once(socket, 'close') as Promise<[number]>;
    await server.shutdown({ deadline: 20_000 });
    expect((await closed)[0]).toBe(1001);
  });

  it('I2: terminate() at one end is an abnormal closure at the other', async () => {
    const web = http.createServer();
    const sockets = new WebSocketServer({ server: web });
    const { address, server } = await serverAt(place, (connection) => web.emit('connection', toNodeStream(connection)));
    const socket = webSocket(place, address);
    await once(socket, 'open');
    for (const one of sockets.clients) one.terminate();
    const [code] = (await once(socket, 'close')) as [number];
    expect(code).toBe(1006);
    await until(() => server.connections.size === 0);
  });
});
