import net from 'node:net';
import { type Subscription, firstValueFrom } from 'rxjs';
import {
  type Address,
  type Client,
  type ConnectOptions,
  type Connection,
  type ListenOptions,
  type Server,
  connect,
  listen,
} from 'rxjs-sockets';
import { onTestFinished } from 'vitest';
import { rawClient, rawServer } from '../sockets/plain-sockets.js';
import { type Place, allPlaces } from '../transport/places.js';

/** A listening server of the library, stopped at the end of the test. */
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

/** A client of the library and its connection. Both end with the test. */
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

/** A connected server and client of the library. */
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

/** A connection that the library has accepted, `near`, and its plain `node:net` client. */
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

/** A connection that the library has dialled, `near`, and the plain `node:net` socket at its other end. */
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

/** A pair as seen from one of its ends, `near`. */
export interface End {
  readonly name: string;
  readonly place: Place;
  pair<In = Buffer, Out = Uint8Array | string>(
    options?: ListenOptions<In, Out> & ConnectOptions<In, Out>,
  ): Promise<{ near: Connection<In, Out>; far: Connection<In, Out> }>;
}

/** Every place, seen from the dialling and from the accepting end. */
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
