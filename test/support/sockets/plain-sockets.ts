import net from 'node:net';
import tls from 'node:tls';
import { type Address, parseAddress } from 'rxjs-sockets';
import { onTestFinished } from 'vitest';
import { authority, server as identity } from '../transport/node/tls/certificates.js';
import type { Place } from '../transport/places.js';

/** A connected `node:net` or `node:tls` client, destroyed at the end of the test. */
export async function rawClient(address: Address, options: { allowHalfOpen?: boolean } = {}): Promise<net.Socket> {
  const socket = rawSocket(address, options.allowHalfOpen ?? true);
  socket.on('error', () => undefined);
  onTestFinished(() => {
    socket.destroy();
  });
  await new Promise<void>((resolve, reject) => {
    socket.once(isSecure(address) ? 'secureConnect' : 'connect', resolve);
    socket.once('error', reject);
  });
  return socket;
}

/** A connecting socket of `node:net` or `node:tls`. */
export function rawSocket(address: Address, allowHalfOpen: boolean): net.Socket {
  if (address.transport !== 'tcp' && address.transport !== 'unix') {
    throw new Error(`no raw client for ${address.transport}`);
  }
  const where = {
    ...(address.transport === 'tcp' ? { port: address.port, host: address.host } : { path: address.path }),
    allowHalfOpen,
  };
  if (!isSecure(address)) return net.connect(where as net.NetConnectOpts);
  const options: tls.ConnectionOptions = { ...where, ca: authority, servername: 'localhost' };
  return tls.connect(options);
}

/** A listening `node:net` or `node:tls` server. It is closed with all its connections at the end of the test. */
export async function rawServer(
  place: Place,
  handler: (socket: net.Socket) => void,
  accepted: (below: net.Socket) => void = () => undefined,
): Promise<Address> {
  const sockets = new Set<net.Socket>();
  const accept = (socket: net.Socket): void => {
    socket.on('error', () => undefined);
    handler(socket);
  };
  const options = { allowHalfOpen: true };
  const secure = place.options.tls !== undefined;
  const server = secure ? tls.createServer({ ...identity, ...options }, accept) : net.createServer(options, accept);
  server.on('connection', (socket: net.Socket) => {
    sockets.add(socket);
    accepted(socket);
  });
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const where = parseAddress(await place.address());
  await new Promise<void>((resolve) => {
    if (where.transport === 'unix') server.listen(where.path, resolve);
    else server.listen(0, '127.0.0.1', resolve);
  });
  const name = server.address();
  if (name === null) throw new Error('not listening');
  if (typeof name === 'string') return { transport: 'unix', path: name };
  return { transport: 'tcp', host: name.address, port: name.port, ...(secure ? { tls: true } : {}) };
}

export function isSecure(address: Address): boolean {
  return address.transport === 'tcp'
    ? address.tls === true
    : address.transport === 'unix' && address.path.endsWith('.tls');
}
