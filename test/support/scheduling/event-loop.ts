import net from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Waits until `condition` holds, checking it once in each turn of the event loop. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await nextTurn();
}

/**
 * Lets the event loop run, and polls every socket in each turn. Use it only to show that something does not happen: a
 * reaction to bytes that have arrived comes within these turns, or never.
 */
export async function turns(count = 25): Promise<void> {
  for (let turn = 0; turn < count; turn++) await nextTurn();
}

/**
 * Resolves once this process has done everything that is due. For this, the function connects new sockets, and sends a
 * byte in each direction. When these bytes have arrived, the event loop has polled every socket.
 */
export async function settled(): Promise<void> {
  const server = net.createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as net.AddressInfo;
  for (let round = 0; round < 3; round++) {
    const socket = net.connect(port, '127.0.0.1');
    socket.write('.');
    await new Promise((resolve) => socket.once('data', resolve));
    socket.end();
    await new Promise((resolve) => socket.once('close', resolve));
  }
  await new Promise((resolve) => server.close(resolve));
}
