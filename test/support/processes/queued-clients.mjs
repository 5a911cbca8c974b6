// node queued-clients.mjs WHERE COUNT: plain clients in a separate process. They connect one after another, so that the
// kernel queues them in this order. Each client sends its position in this order, beginning with 0. At the end, the
// process reports the answers in the order of their arrival.
import net from 'node:net';

const [where, count] = process.argv.slice(2);
const place = where.startsWith('/') ? { path: where } : { port: Number(where), host: '127.0.0.1' };
const answers = [];

for (let number = 0; number < Number(count); number++) {
  const socket = net.connect(place);
  await new Promise((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  socket.on('error', (error) => answers.push(error.code));
  socket.write(`${number}\n`);
  socket.on('data', (chunk) => answers.push(chunk.toString().trim()));
  socket.on('end', () => socket.end());
  socket.on('close', () => {
    if (answers.length === Number(count)) process.send({ answers });
  });
}
process.send({ dialled: Number(count) });
process.on('disconnect', () => process.exit());
