// node callers.mjs WHERE: plain clients in a separate process. Its parent controls it over IPC.
// Each order gets one answer.
import net from 'node:net';

const [where] = process.argv.slice(2);
const place = where.startsWith('/') ? { path: where } : { port: Number(where), host: '127.0.0.1' };
/** How many clients are dialled at once. */
const atOnce = 100;
const held = new Set();

let dialled = 0;

/** Uses many local addresses: each has only some ten thousand ports, and a used port stays blocked for a minute. */
function dial() {
  const from = place.port === undefined ? {} : { localAddress: `127.0.0.${1 + (dialled++ % 250)}` };
  return new Promise((resolve, reject) => {
    const socket = net.connect({ ...place, ...from }, () => resolve(socket));
    socket.on('error', reject);
  });
}

/** Calls `work` `times` times, with at most `atOnce` calls in progress at once. */
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
  /** Opens `count` more connections. Each echoes something and stays open. */
  hold: ({ count }) =>
    repeat(count, async () => {
      const socket = await dial();
      held.add(socket);
      // Each connection carries one echo, so that everything that is created at first use exists.
      socket.write('hello');
      await new Promise((resolve) => socket.once('data', resolve));
    }),
  /** Opens `count` connections, at most `atOnce` at once. Each echoes something and closes. */
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
