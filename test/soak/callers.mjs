// Plain clients in a process of their own: node callers.mjs WHERE. Told over IPC what to do; each order is answered once.
import net from 'node:net';

const [where] = process.argv.slice(2);
const place = where.startsWith('/') ? { path: where } : { port: Number(where), host: '127.0.0.1' };
/** How many are dialled at once. */
const atOnce = 100;
const held = new Set();

let dialled = 0;

/** From many addresses in turn, since each has no more than some ten thousand ports, and keeps one for a minute. */
function dial() {
  const from = place.port === undefined ? {} : { localAddress: `127.0.0.${1 + (dialled++ % 250)}` };
  return new Promise((resolve, reject) => {
    const socket = net.connect({ ...place, ...from }, () => resolve(socket));
    socket.on('error', reject);
  });
}

/** Runs `work` so many times, some at once. */
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
  /** Connects so many more, which have something sent back and stay. */
  hold: ({ count }) =>
    repeat(count, async () => {
      const socket = await dial();
      held.add(socket);
      // An idle connection was used before: it has what is made at first use.
      socket.write('hello');
      await new Promise((resolve) => socket.once('data', resolve));
    }),
  /** Connects so many times, has something sent back, and closes. */
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
