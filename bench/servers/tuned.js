/** What somebody writes over `node:net` who knows what costs: one write for all that a chunk led to, and back-pressure. */
import net from 'node:net';
import { announce, place, task, transform } from './command-line.js';

const { kind, path } = task();
const members = /** @type {Set<net.Socket>} */ (new Set());

const server = net.createServer({ allowHalfOpen: kind === 'sink', noDelay: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  socket.on('drain', () => socket.resume());
  /** @param {Buffer | string} data */
  const write = (data) => {
    if (!socket.write(data)) socket.pause();
  };
  switch (kind) {
    case 'echo':
    case 'idle':
      socket.on('data', write);
      break;
    case 'lines':
      eachBlock(socket, (text) => {
        let out = '';
        for (let start = 0; start < text.length;) {
          const end = text.indexOf('\n', start);
          out += `${transform(text.slice(start, end))}\n`;
          start = end + 1;
        }
        write(out);
      });
      break;
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
      eachBlock(socket, (text) => {
        const bytes = Buffer.from(text);
        for (const member of members) member.write(bytes);
      });
      break;
  }
});

/**
 * Gives whole lines, many at a time.
 *
 * @param {net.Socket} socket
 * @param {(text: string) => void} next
 */
function eachBlock(socket, next) {
  /** @type {Buffer | undefined} */
  let rest;
  socket.on('data', (/** @type {Buffer} */ data) => {
    const chunk = rest === undefined ? data : Buffer.concat([rest, data]);
    const end = chunk.lastIndexOf(10) + 1;
    rest = end < chunk.length ? Buffer.from(chunk.subarray(end)) : undefined;
    if (end > 0) next(chunk.toString('utf8', 0, end));
  });
}

server.listen(place(path), () => {
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  announce(path, port);
});
