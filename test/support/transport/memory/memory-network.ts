import * as library from 'rxjs-sockets';
import type { AddressInput, Client, ConnectOptions, Connection, ListenOptions, Server } from 'rxjs-sockets';
import { type Codec, lines } from 'rxjs-sockets/codecs';
import { memoryTransport } from 'rxjs-sockets/testing';
import { onTestFinished } from 'vitest';

/** The library's `listen` and `connect` over a separate memory transport, so that any address is free. */
export interface Network {
  listen<In = Buffer, Out = Uint8Array | string>(
    address: AddressInput,
    options?: ListenOptions<In, Out>,
  ): Server<In, Out>;
  connect<In = Buffer, Out = Uint8Array | string>(
    address: AddressInput,
    options?: ConnectOptions<In, Out>,
  ): Client<In, Out>;
}

/** Creates a network for the code of a documentation page. Everything in it ends with the test. */
export function network(): Network {
  const transport = memoryTransport();
  return {
    listen(address, options = {}) {
      const server = library.listen(address, { transport, ...options });
      onTestFinished(async () => {
        for (const connection of server.connections) connection.destroy();
        await server.shutdown();
      });
      return server;
    },
    connect: (address, options = {}) => library.connect(address, { transport, ...options }),
  };
}

/** The two ends of a connection over the memory transport. Both ends have the same codec, by default `lines`. */
export function pair(): Promise<Pair<string>>;

export function pair<T>(codec: Codec<T>): Promise<Pair<T>>;

export async function pair(codec: Codec<unknown> = lines()): Promise<Pair<unknown>> {
  const { listen, connect } = network();
  const server = listen('memory:pair', { codec });
  const client = connect('memory:pair', { codec });
  const far = new Promise<Connection<unknown, unknown>>((resolve, reject) => {
    server.subscribe({ next: resolve, error: reject });
  });
  const near = new Promise<Connection<unknown, unknown>>((resolve, reject) => {
    client.subscribe({
      next: (state) => {
        if (state.status === 'connected') resolve(state.connection);
      },
      error: reject,
    });
  });
  return { connection: await near, peer: await far, server, client };
}

export interface Pair<T> {
  readonly connection: Connection<T, T>;
  readonly peer: Connection<T, T>;
  readonly server: Server<T, T>;
  readonly client: Client<T, T>;
}
