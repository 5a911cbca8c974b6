/** A server with Node's streams: each socket is piped through split2. */
import net from 'node:net';
import { Transform } from 'node:stream';
import split2 from 'split2';
import { announce, place, task, transform } from './command-line.js';

const { kind, path } = task();
const members = /** @type {Set<net.Socket>} */ (new Set());

const server = net.createServer({ allowHalfOpen: kind === 'sink' }, (socket) => {
  socket.on('error', () => socket.destroy());
  switch (kind) {
    case 'lines': {
      const ended = new Transform({
        writableObjectMode: true,
        transform(/** @type {string} */ line, _encoding, done) {
          done(null, `${transform(line)}\n`);
        },
      });
      ended.on('error', () => socket.destroy());
      socket.pipe(split2()).pipe(ended).pipe(socket);
      break;
    }
    case 'sink': {
      let received = 0;
      socket.on('data', (chunk) => (received += chunk.length));
      socket.on('end', () => socket.end(String(received)));
      break;
    }
    case 'fanout':
    case 'channels':
      members.add(socket);
      socket.on('close', () => members.delete(socket));
      socket.pipe(split2()).on('data', (/** @type {string} */ line) => {
        for (const member of members) member.write(`${line}\n`);
      });
      break;
    default:
      socket.pipe(socket);
  }
});

server.listen(place(path), () => {
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  announce(path, port);
});
