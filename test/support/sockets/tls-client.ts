import net from 'node:net';
import tls from 'node:tls';
import type { Address } from 'rxjs-sockets';
import { onTestFinished } from 'vitest';
import { authority } from '../transport/node/tls/certificates.js';

/** A `node:tls` client over a separate socket, so that each of them can end without the other. */
export async function cutter(address: Address): Promise<{ secured: tls.TLSSocket; below: net.Socket }> {
  const below =
    address.transport === 'tcp' ? net.connect(address.port) : net.connect((address as { path: string }).path);
  const secured = tls.connect({ socket: below, ca: authority, servername: 'localhost' });
  for (const socket of [below, secured]) socket.on('error', () => undefined);
  onTestFinished(() => {
    secured.destroy();
    below.destroy();
  });
  secured.resume();
  await new Promise((resolve) => secured.once('secureConnect', resolve));
  return { secured, below };
}
