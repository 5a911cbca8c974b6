// node callers.mjs WHERE: plain clients in a separate process. The parent process sends orders over IPC.
// Each order gets one answer.
import net from 'node:net';

const [where] = process.argv.slice(2);
const place = where.startsWith('/') ? { path: where } : { port: Number(where), host: '127.0.0.1' };
/** The most connections that are dialled at the same time. */
const atOnce = 100;
const held = new Set();

let dialled = 0;

/**
 * Dials from many local addresses. Each address has only tens of thousands of ports, and a used port stays blocked for
 * a minute.
 */
function dial() {
  const from = place.port === undefined ? {} : { localAddress: `127.0.0.${1 + (dialled++ % 250)}` };
  return new Promise((resolve, reject) => {
    const socket = net.connect({ ...place, ...from }, () => resolve(socket));
    socket.on('error', reject);
  });
}

/** Calls `work` `times` times, with at most `atOnce` calls in progress at the same time. */
async function repeat(times, work) {
  let left = times;
  await Promise.all(
    Array.from({ length: Math.min(atOnce, times) }, async () => {
      while (left-- > 0) await work();
    }),
  );
  return times;
}

const orders = {
  /** Opens `count` more connections. Each connection gets one echo and stays open. */
  hold: ({ count }) =>
    repeat(count, async () => {
      const socket = await dial();
      held.add(socket);
      // The echo makes sure that both sides have created everything that they create at first use.
      socket.write('hello');
      await new Promise((resolve) => socket.once('data', resolve));
    }),
  /** Opens `count` connections, at most `atOnce` at the same time. Each connection gets one echo and closes. */
  churn: ({ count }) =>
    repeat(count, async () => {
      const socket = await dial();
      socket.write('hello');
      await new Promise((resolve, reject) => {
        socket.once('data', () => socket.end());
        socket.once('close', resolve);
        socket.once('error', reject);
      });
    }),
  async leave() {
    const gone = [...held].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    for (const socket of held) socket.end();
    await Promise.all(gone);
    held.clear();
    return gone.length;
  },
};

process.on('message', async (order) => process.send({ answer: await orders[order.do](order) }));
process.on('disconnect', () => process.exit());
process.send({ answer: 'ready' });
