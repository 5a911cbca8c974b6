/** A WebSocket server. WebSockets have an additional frame for each message, and an additional handshake. */
import http from 'node:http';
import { WebSocketServer } from 'ws';
import { announce, place, task, transform } from './command-line.js';

const { kind, path } = task();
const members = /** @type {Set<import('ws').WebSocket>} */ (new Set());
const server = http.createServer();

new WebSocketServer({ server, perMessageDeflate: false }).on('connection', (socket) => {
  socket.on('error', () => socket.terminate());
  if (kind === 'fanout' || kind === 'channels') {
    members.add(socket);
    socket.on('close', () => members.delete(socket));
    socket.on('message', (/** @type {Buffer} */ data) => {
      for (const member of members) member.send(data, { binary: true });
    });
  } else {
    socket.on('message', (/** @type {Buffer} */ data) => {
      socket.send(Buffer.from(transform(data.toString())), { binary: true });
    });
  }
});

server.listen(place(path), () => {
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  announce(path, port);
});
