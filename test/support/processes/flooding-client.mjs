// node flooding-client.mjs <port|path> <MiB>: a peer that writes as fast as it can. It answers each message of
// its parent with the number of bytes that the kernel has taken.
import net from 'node:net';

const [where, amount] = process.argv.slice(2);
const block = Buffer.alloc(65_536, 'flood');
const blocks = (Number(amount) * 1_048_576) / block.length;
const socket = /^\d+$/.test(where) ? net.connect(Number(where), '127.0.0.1') : net.connect(where);
let written = 0;

function pump() {
  while (written < blocks) {
    written++;
    if (!socket.write(block)) {
      socket.once('drain', pump);
      return;
    }
  }
  socket.end();
}

socket.on('connect', pump);
socket.on('error', (error) => {
  console.error(error.message);
  process.exit(1);
});
process.on('message', () => {
  // The kernel has taken all bytes that are not queued in this process.
  process.send({ written: written * block.length - socket.writableLength });
});
socket.on('close', () => {
  process.disconnect();
});
