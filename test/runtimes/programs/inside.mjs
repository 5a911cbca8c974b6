// inside.mjs ADDRESS [public-api]: prints whether the library can use Node's internals in this version.
import { subscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import net from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { firstValueFrom } from 'rxjs';
import { connect, listen, nodeTransport } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';

const accepted = [];
const dialled = [];
subscribe('net.server.socket', ({ socket }) => accepted.push(socket));
const { connect: dial } = net.Socket.prototype;
net.Socket.prototype.connect = function (...args) {
  dialled.push(this);
  return dial.apply(this, args);
};

const [address, api] = process.argv.slice(2);
const options = { codec: lines(), transport: nodeTransport({ internals: api !== 'public-api' }) };
const server = listen(address, options);
server.subscribe(({ data }) => data.subscribe(data));
const bound = await firstValueFrom(server.listening);
const result = { acceptedWhileHeld: 0, acceptedAfterwards: 0, readsDirectly: {} };

const hold = server.hold();
const where = bound.transport === 'unix' ? { path: bound.path } : { port: bound.port, host: bound.host };
const clients = Array.from({ length: 5 }, () => net.connect(where));
await Promise.all(clients.map((client) => once(client, 'connect')));
// The clients are connected, so a listener that was not paused would accept them now.
for (let turn = 0; turn < 100; turn++) await nextTurn();
result.acceptedWhileHeld = accepted.length;
hold.release();
while (accepted.length < clients.length) await nextTurn();
result.acceptedAfterwards = accepted.length;
for (const client of clients) client.destroy();

dialled.length = 0;
const client = connect(bound, options);
const echo = firstValueFrom(client.data);
client.data.next('hello');
await echo;
// A socket that reads directly into the library's memory has no listener for 'data'.
const readsDirectly = (socket) => socket.bytesRead > 0 && socket.listenerCount('data') === 0;
result.readsDirectly = { accepted: readsDirectly(accepted.at(-1)), dialled: dialled.map(readsDirectly) };
console.log(JSON.stringify(result));
await server.shutdown();
