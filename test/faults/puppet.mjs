// node puppet.mjs: a peer in a separate process, with plain sockets. The parent process sends orders over IPC, and can
// stop or kill this process. Each order gets one answer. The events of a socket are reported as they happen.
import net from 'node:net';

/** @type {Map<number, net.Socket>} */
const sockets = new Map();
const received = new Map();
let last = 0;

function dial(where) {
  const id = ++last;
  const socket = new net.Socket({ allowHalfOpen: true });
  sockets.set(id, socket);
  received.set(id, 0);
  socket.pause();
  socket.on('data', (chunk) => received.set(id, received.get(id) + chunk.length));
  // A socket reads only on request.
  socket.pause();
  socket.on('end', () => process.send({ event: 'end', id, received: received.get(id) }));
  socket.on('error', (error) => process.send({ event: 'error', id, code: error.code, received: received.get(id) }));
  socket.on('close', () => process.send({ event: 'close', id, received: received.get(id) }));
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(id));
    socket.once('error', () => resolve(0));
    socket.connect(where);
  });
}

/** Bytes that show their positions. */
function numbered(size) {
  return Buffer.from(Array.from({ length: size }, (_, index) => index % 251));
}

const orders = {
  connect: ({ where }) => dial(where),
  read: ({ id }) => void sockets.get(id).resume(),
  write: ({ id, size }) => new Promise((resolve) => sockets.get(id).write(numbered(size), () => resolve(size))),
  end: ({ id }) => void sockets.get(id).end(),
  reset: ({ id }) => void sockets.get(id).resetAndDestroy(),
  destroy: ({ id }) => void sockets.get(id).destroy(),
  received: ({ id }) => received.get(id),
};

process.on('message', async (order) => {
  // IPC sends JSON, which would omit an answer that is `undefined`.
  process.send({ answer: (await orders[order.do](order)) ?? null });
});
process.on('disconnect', () => process.exit());
process.send({ answer: 'ready' });
