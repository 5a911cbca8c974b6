// Listens on a descriptor that it has inherited, twice, and says how that went: heir.ts ADDRESS.
import { once } from 'node:events';
import { fstatSync } from 'node:fs';
import net from 'node:net';
import { firstValueFrom } from 'rxjs';
import { formatAddress, listen, type SocketError } from 'rxjs-sockets';

const [where = ''] = process.argv.slice(2);
const fd = Number(where.replace('fd:', ''));

const isOpen = (): boolean => {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
};

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
  console.log(`descriptor ${isOpen() ? 'open' : 'closed'}`);
  if (other.listening) break;
  // It gets the lowest number that is free: the one that was inherited.
  other.listen(0, '127.0.0.1');
  await once(other, 'listening');
}
const client = net.connect((other.address() as net.AddressInfo).port, '127.0.0.1');
await once(other, 'connection');
console.log(`other ${(other as unknown as { _handle: { fd: number } })._handle.fd} serves`);
client.destroy();
other.close();
