import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { firstValueFrom, type Subscription } from 'rxjs';
import {
  type Address,
  type AddressInput,
  type Client,
  connect,
  type Connection,
  type ConnectOptions,
  listen,
  type ListenOptions,
  parseAddress,
  type Server,
  type Transport,
} from 'rxjs-sockets';
import { memoryTransport } from 'rxjs-sockets/testing';
import { onTestFinished } from 'vitest';
import { authority, server as identity } from './certificates.js';

/** Where a test's sockets are: one of the transports, with fresh addresses, and everything stopped at its end. */
export interface Place {
  readonly name: 'tcp' | 'unix' | 'memory' | 'tls' | 'tls-unix';
  /** An address that nobody listens on; for tcp with port 0. */
  address(): Promise<AddressInput>;
  /** What `listen` and `connect` need besides. */
  readonly options: { readonly transport?: Transport; readonly tls?: typeof trust };
}

/** What both ends of a place with TLS have: they trust who has a certificate of the same authority. */
const trust = { ...identity, ca: authority };

export const tcp: Place = { name: 'tcp', address: () => Promise.resolve({ port: 0 }), options: {} };

export const unix: Place = {
  name: 'unix',
  address: async () => ({ path: join(await freshFolder(), 'socket') }),
  options: {},
};

const tlsOverTcp: Place = {
  name: 'tls',
  address: () => Promise.resolve('tls://localhost:0'),
  options: { tls: trust },
};

const tlsOverUnix: Place = {
  name: 'tls-unix',
  address: async () => ({ path: join(await freshFolder(), 'socket.tls') }),
  options: { tls: trust },
};

/** A network of its own for each place. */
export function memory(): Place {
  const transport = memoryTransport();
  let named = 0;
  return { name: 'memory', address: () => Promise.resolve(`memory:test-${++named}`), options: { transport } };
}

/** The places whose other end can be a plain `node:net` peer. */
export const realPlaces: readonly Place[] = [tcp, unix];
/** The places whose other end can be a plain `node:tls` peer. */
export const securePlaces: readonly Place[] = [tlsOverTcp, tlsOverUnix];
/** Every place without TLS. */
export const places: readonly Place[] = [...realPlaces, memory()];
/** Every place. */
export const allPlaces: readonly Place[] = [...places, ...securePlaces];
/** Every place with a plain peer. */
export const allRealPlaces: readonly Place[] = [...realPlaces, ...securePlaces];

/** A new folder that is removed at the end of the test. */
export async function freshFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'rxjs-sockets-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A server of the library that has begun to listen, stopped at the end of the test. */
export async function serverAt<In = Buffer, Out = Uint8Array | string>(
  place: Place,
  handler: (connection: Connection<In, Out>) => void,
  options: ListenOptions<In, Out> = {},
): Promise<{ server: Server<In, Out>; address: Address; subscription: Subscription }> {
  const server = listen<In, Out>(await place.address(), { ...place.options, ...options });
  const bound = firstValueFrom(server.listening);
  const subscription = server.subscribe(handler);
  onTestFinished(() => {
    subscription.unsubscribe();
    for (const connection of server.connections) connection.destroy();
  });
  return { server, address: await bound, subscription };
}

/** A client of the library and, once it is there, its connection; both ended with the test. */
export async function clientAt<In = Buffer, Out = Uint8Array | string>(
  place: Place,
  address: Address,
  options: ConnectOptions<In, Out> = {},
): Promise<{ client: Client<In, Out>; connection: Connection<In, Out> }> {
  const client = connect<In, Out>(address, { ...place.options, ...options });
  const connection = await new Promise<Connection<In, Out>>((resolve, reject) => {
    const subscription = client.subscribe({
      next: (state) => {
        if (state.status === 'connected') resolve(state.connection);
      },
      error: reject,
    });
    onTestFinished(() => {
      subscription.unsubscribe();
    });
  });
  onTestFinished(() => {
    connection.destroy();
  });
  return { client, connection };
}

/** A server of the library and a client of the library that are connected to each other. */
export async function pairAt<In = Buffer, Out = Uint8Array | string>(
  place: Place,
  options: ListenOptions<In, Out> & ConnectOptions<In, Out> = {},
): Promise<{ near: Connection<In, Out>; far: Connection<In, Out>; client: Client<In, Out>; server: Server<In, Out> }> {
  let accepted: (connection: Connection<In, Out>) => void = () => undefined;
  const far = new Promise<Connection<In, Out>>((resolve) => {
    accepted = resolve;
  });
  const { server, address } = await serverAt<In, Out>(place, (connection) => accepted(connection), options);
  const { client, connection } = await clientAt<In, Out>(place, address, options);
  return { near: connection, far: await far, client, server };
}

/** A plain `node:net` client, or one of `node:tls`, connected, and destroyed at the end of the test. */
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

/** A socket of `node:net` or `node:tls` that connects. */
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

/** A plain `node:net` server, or one of `node:tls`, that listens, closed at the end of the test with all its connections. */
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

/** Whether an address of one of these places is one of TLS. */
export function isSecure(address: Address): boolean {
  return address.transport === 'tcp'
    ? address.tls === true
    : address.transport === 'unix' && address.path.endsWith('.tls');
}

/** A connection that the library has accepted, `near`, and the plain `node:net` client that it is connected to. */
export async function acceptedAt<In = Buffer, Out = Uint8Array | string>(
  place: Place,
  options: ListenOptions<In, Out> = {},
): Promise<{ near: Connection<In, Out>; raw: net.Socket }> {
  let accepted: (connection: Connection<In, Out>) => void = () => undefined;
  const near = new Promise<Connection<In, Out>>((resolve) => {
    accepted = resolve;
  });
  const { address } = await serverAt<In, Out>(place, (connection) => accepted(connection), options);
  const raw = await rawClient(address);
  return { near: await near, raw };
}

/** A connection that the library has dialled, `near`, and the plain `node:net` socket that it is connected to. */
export async function dialledAt<In = Buffer, Out = Uint8Array | string>(
  place: Place,
  options: ConnectOptions<In, Out> = {},
): Promise<{ near: Connection<In, Out>; raw: net.Socket; client: Client<In, Out> }> {
  let accepted: (socket: net.Socket) => void = () => undefined;
  const raw = new Promise<net.Socket>((resolve) => {
    accepted = resolve;
  });
  const address = await rawServer(place, (socket) => accepted(socket));
  const { client, connection } = await clientAt<In, Out>(place, address, options);
  return { near: connection, raw: await raw, client };
}

/** A pair as it looks from one of its ends, `near`. */
export interface End {
  readonly name: string;
  readonly place: Place;
  pair<In = Buffer, Out = Uint8Array | string>(
    options?: ListenOptions<In, Out> & ConnectOptions<In, Out>,
  ): Promise<{ near: Connection<In, Out>; far: Connection<In, Out> }>;
}

/** Every place, from the end that has dialled and from the end that was dialled. */
export const ends: readonly End[] = allPlaces.flatMap((place): End[] => [
  { name: `dialled over ${place.name}`, place, pair: (options) => pairAt(place, options) },
  {
    name: `accepted over ${place.name}`,
    place,
    pair: async (options) => {
      const { near, far } = await pairAt(place, options);
      return { near: far, far: near };
    },
  },
]);
