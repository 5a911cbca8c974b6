// node --expose-gc plain-reader.mjs [path]: accepts one client with plain node:net. After a message from its parent, it
// reads everything that the client sends, and reports by how many bytes its resident memory has grown.
import net from 'node:net';

const [path] = process.argv.slice(2);

const server = net.createServer({ pauseOnConnect: true }, (socket) => {
  server.close();
  process.once('message', () => {
    globalThis.gc();
    const before = process.memoryUsage.rss();
    let peak = before;
    socket.on('data', () => {
      peak = Math.max(peak, process.memoryUsage.rss());
    });
    socket.on('end', () => {
      socket.end();
      process.send({ grown: peak - before });
      process.disconnect();
    });
    socket.resume();
  });
  process.send('connected');
});

server.listen(path === undefined ? { port: 0, host: '127.0.0.1' } : { path }, () => {
  process.send(server.address());
});
