/** A server over `node:net`, in the way that most people write first. */
import net from 'node:net';
import { announce, keepAsking, place, task, transform } from './command-line.js';

const { kind, path } = task();
const members = /** @type {Set<net.Socket>} */ (new Set());

const server = net.createServer({ allowHalfOpen: kind === 'sink' }, (socket) => {
  socket.on('error', () => socket.destroy());
  switch (kind) {
    case 'echo':
    case 'idle':
      socket.on('data', (chunk) => socket.write(chunk));
      break;
    case 'lines':
    case 'serve':
      eachLine(socket, (line) => socket.write(`${transform(line)}\n`));
      break;
    case 'json':
      eachLine(socket, (line) => {
        const { TEXT } = JSON.parse(line);
        socket.write(`${JSON.stringify({ TEXT: TEXT.toUpperCase() })}\n`);
      });
      break;
    case 'requests': {
      const pending = /** @type {((line: string) => void)[]} */ ([]);
      eachLine(socket, (line) => pending.shift()?.(line));
      keepAsking(
        (line) =>
          new Promise((resolve) => {
            pending.push(resolve);
            socket.write(`${line}\n`);
          }),
      );
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
      eachLine(socket, (line) => {
        for (const member of members) member.write(`${line}\n`);
      });
      break;
  }
});

/**
 * @param {net.Socket} socket
 * @param {(line: string) => void} next
 */
function eachLine(socket, next) {
  let rest = '';
  socket.setEncoding('utf8');
  socket.on('data', (text) => {
    const lines = (rest + String(text)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) next(line);
  });
}

server.listen(place(path), () => {
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  announce(path, port);
});
