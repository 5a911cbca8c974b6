// inside.mjs ADDRESS [public-api]: prints whether the library can use Node's internals in this version.
import { once } from 'node:events';
import net from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { firstValueFrom } from 'rxjs';
import { connect, listen, nodeTransport } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';

/** The handles that read into memory which the library gave them. */
const direct = new Set();
const probe = net.connect(1, '127.0.0.1').on('error', () => undefined);
let owner = probe._handle;
while (owner !== null && !Object.hasOwn(owner, 'useUserBuffer')) owner = Object.getPrototypeOf(owner);
probe.destroy();
if (owner !== null) {
  const { useUserBuffer } = owner;
  owner.useUserBuffer = function (...args) {
    direct.add(this);
    return useUserBuffer.apply(this, args);
  };
}

const dialled = [];
const { connect: dial } = net.Socket.prototype;
net.Socket.prototype.connect = function (...args) {
  dialled.push(this);
  return dial.apply(this, args);
};

const [address, api] = process.argv.slice(2);
const options = { codec: lines(), transport: nodeTransport({ internals: api !== 'public-api' }) };
const server = listen(address, options);
let emitted = 0;
server.subscribe(({ data }) => {
  emitted++;
  data.subscribe(data);
});
const bound = await firstValueFrom(server.listening);
const result = { acceptedWhileHeld: 0, acceptedAfterwards: 0, readsDirectly: {} };

/** The number of open sockets of this process. */
const sockets = () => process.getActiveResourcesInfo().filter((name) => /^(TCPSocket|Pipe)Wrap$/.test(name)).length;

// The library may still be trying out internals with sockets of its own.
for (let turn = 0; turn < 500; turn++) await nextTurn();
const before = sockets();
const hold = server.hold();
const where = bound.transport === 'unix' ? { path: bound.path } : { port: bound.port, host: bound.host };
const clients = Array.from({ length: 5 }, () => net.connect(where));
await Promise.all(clients.map((client) => once(client, 'connect')));
// The clients are connected, so a listener that was not paused would accept them now.
for (let turn = 0; turn < 100; turn++) await nextTurn();
result.acceptedWhileHeld = sockets() - before - clients.length;
hold.release();
while (emitted < clients.length) await nextTurn();
result.acceptedAfterwards = emitted;
for (const client of clients) client.destroy();

dialled.length = 0;
direct.clear();
const client = connect(bound, options);
const echo = firstValueFrom(client.data);
client.data.next('hello');
await echo;
const handles = dialled.map((socket) => socket._handle);
result.readsDirectly = {
  accepted: [...direct].some((handle) => !handles.includes(handle)),
  dialled: handles.map((handle) => direct.has(handle)),
};
console.log(JSON.stringify(result));
await server.shutdown();
