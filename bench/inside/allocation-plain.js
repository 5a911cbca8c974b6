/** Does the work of `allocation-rxjs-sockets.js` over `node:net`, in the way that most people write first. */
import net from 'node:net';

/**
 * @param {string} kind
 * @param {string | undefined} path
 * @param {(port: number) => void} listening
 */
export function serve(kind, path, listening) {
  const members = /** @type {Set<net.Socket>} */ (new Set());
  const server = net.createServer((socket) => {
    socket.on('error', () => socket.destroy());
    members.add(socket);
    socket.on('close', () => members.delete(socket));
    switch (kind) {
      case 'receive':
        eachLine(socket, (line) => line === 'end' && socket.write('ok\n'));
        break;
      case 'send':
        socket.on('data', (chunk) => {
          for (let i = 0; i < chunk.length * 1_000; i++) socket.write(`${answer}\n`);
        });
        break;
      case 'lines':
        eachLine(socket, (line) => socket.write(`${line}\n`));
        break;
      case 'broadcast':
        eachLine(socket, (line) => {
          for (const member of members) member.write(`${line}\n`);
        });
        break;
      default:
        socket.on('data', (chunk) => socket.write(chunk));
    }
  });
  server.listen(path === undefined ? { port: 0, host: '127.0.0.1' } : { path, backlog: 4096 }, () => {
    const bound = server.address();
    listening(typeof bound === 'object' && bound !== null ? bound.port : 0);
  });
}

const answer = 'x'.repeat(63);

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
