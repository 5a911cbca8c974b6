// node --expose-gc host.mjs WHAT WHERE LIBRARY: an echo server in a separate process, so that its memory is measured
// alone. WHAT is one of the kinds below, WHERE a path or a port, and LIBRARY the module to measure. The process
// reports its resources over IPC.
import { readdirSync } from 'node:fs';
import net from 'node:net';

const [what, where, library] = process.argv.slice(2);
const place = where.startsWith('/') ? { path: where } : { port: Number(where), host: '127.0.0.1' };
const backlog = 4_096;
const sockets = new Set();

/** A server with plain Node, and three servers with the library. Each function returns the address of its server. */
const kinds = {
  async plain() {
    const server = net.createServer((socket) => {
      sockets.add(socket);
      socket.on('data', (chunk) => socket.write(chunk));
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
    });
    await new Promise((resolve) => server.listen({ ...place, backlog }, resolve));
    return server.address();
  },
  /** Echoes at the peer's pace. */
  async paced() {
    return serve(({ data }) => data.subscribe(data));
  },
  async handled() {
    return serve(({ data }) => data.subscribe({ next: (chunk) => data.next(chunk), error: () => undefined }));
  },
  /** Has no subscriber, and echoes nothing. */
  async unclaimed() {
    return serve(() => undefined, { claimTimeout: 0 });
  },
};

async function serve(handler, options = {}) {
  const { listen } = await import(library);
  const server = listen(place, { maxConnections: 100_000, ...options });
  const bound = new Promise((resolve) => server.listening.subscribe(resolve));
  server.subscribe(handler);
  count = () => server.connections.size;
  return await bound;
}

let count = () => sockets.size;

const orders = {
  async measure() {
    // Freed memory is returned to the system in several steps.
    for (let round = 0; round < 4; round++) {
      globalThis.gc();
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage();
    const descriptors = readdirSync('/proc/self/fd').length;
    return { connections: count(), rss, heapUsed, external, arrayBuffers, descriptors };
  },
};

const bound = await kinds[what]();
process.on('message', async (order) => process.send({ answer: await orders[order.do]() }));
process.on('disconnect', () => process.exit());
process.send({ answer: typeof bound === 'string' ? bound : (bound.path ?? bound.port) });
