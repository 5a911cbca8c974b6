// Listens on a descriptor that it has inherited, twice, and says how that went: heir.ts ADDRESS.
import { fstatSync, readdirSync } from 'node:fs';
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
let ended = (): void => undefined;
for (let run = 0; run < 2; run++) {
  const over = new Promise<void>((resolve) => (ended = resolve));
  const serving = server.subscribe({
    next: ({ data, remote }) => {
      console.log(`client ${formatAddress(remote)}`);
      data.subscribe(data);
      ended();
    },
    error: (error: SocketError) => {
      console.log(`error ${error.code} ${error.message}`);
      ended();
    },
  });
  server.listening.subscribe((address) => console.log(`listening ${formatAddress(address)}`));
  await over;
  serving.unsubscribe();
  for (const connection of server.connections) await firstValueFrom(connection.closed);
  console.log(`descriptor ${isOpen() ? 'open' : 'closed'}`);
}
await server.shutdown();
// Nothing else was closed: a descriptor that is closed twice may be another's by then.
console.log(`descriptors ${readdirSync('/proc/self/fd').length}`);
