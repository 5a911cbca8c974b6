// listen-on-inherited.ts ADDRESS: listens on an inherited descriptor, twice, and prints the results.
import { once } from 'node:events';
import { fstatSync } from 'node:fs';
import net from 'node:net';
import { firstValueFrom } from 'rxjs';
import { formatAddress, listen, type SocketError } from 'rxjs-sockets';
import { until } from '../../../scheduling/event-loop.js';

const [where = ''] = process.argv.slice(2);
const fd = Number(where.replace('fd:', ''));

/** The inode that is open as `fd`. Once `fd` is closed, the next file that is opened can get the same number. */
const inode = (): number | undefined => {
  try {
    return fstatSync(fd).ino;
  } catch {
    return undefined;
  }
};

let own = inode();
const isSame = (): boolean => own !== undefined && inode() === own;

const server = listen(where);
const other = net.createServer((socket) => socket.destroy());
let ended = (): void => undefined;
for (let run = 0; run < 2; run++) {
  const over = new Promise<void>((resolve) => (ended = resolve));
  const serving = server.subscribe({
    next: ({ data, local, remote }) => {
      console.log(`client ${formatAddress(remote)} at ${formatAddress(local)}`);
      data.subscribe(data);
      ended();
    },
    error: (error: unknown) => {
      const { code, message } = error as SocketError;
      console.log(`error ${code} ${message}`);
      ended();
    },
  });
  server.listening.subscribe((address) => console.log(`listening ${formatAddress(address)}`));
  await over;
  serving.unsubscribe();
  for (const connection of server.connections) await firstValueFrom(connection.closed);
  console.log(`descriptor ${isSame() ? 'open' : 'closed'}`);
  if (other.listening) break;
  // `other` gets the lowest free descriptor number: `fd`, unless another thread uses that number for a moment.
  await until(() => inode() === undefined);
  other.listen(0, '127.0.0.1');
  await once(other, 'listening');
  own = inode();
}
const client = net.connect((other.address() as net.AddressInfo).port, '127.0.0.1');
await once(other, 'connection');
console.log(`other ${(other as unknown as { _handle: { fd: number } })._handle.fd} serves`);
client.destroy();
other.close();
