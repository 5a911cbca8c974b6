import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';
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
  type Server,
} from 'rxjs-sockets';
import { type Faulty, faulty, type FaultyOptions } from 'rxjs-sockets/testing';
import type { Place } from '../support/transport/places.js';
import { nothingLeftOf } from './nothing-left.js';

type Mark = <T extends object>(thing: T) => T;

/** Runs `work`, ends the servers and clients of its stage, and checks that none of their resources or files remain. */
export async function onStage(place: Place, work: (stage: Stage) => Promise<void>): Promise<void> {
  const folders = new Set<string>();
  await nothingLeftOf(async (mark) => {
    const stage = new Stage(place, mark, folders);
    try {
      await work(stage);
    } finally {
      await stage.clear();
    }
  });
  const files = [...folders].flatMap((folder) => readdirSync(folder));
  if (files.length > 0) throw new Error(`left over: ${files.join(', ')}`);
}

export class Stage {
  readonly place: Place;
  private readonly mark: Mark;
  private readonly folders: Set<string>;
  private readonly servers: Server<any, any>[] = [];
  private readonly proxies: Faulty[] = [];
  private readonly subscriptions: Subscription[] = [];

  constructor(place: Place, mark: Mark, folders: Set<string>) {
    this.place = place;
    this.mark = mark;
    this.folders = folders;
  }

  async server<In = Buffer, Out = Uint8Array | string>(
    handler: (connection: Connection<In, Out>) => void,
    options: ListenOptions<In, Out> = {},
  ): Promise<{ server: Server<In, Out>; address: Address }> {
    const place = await this.place.address();
    if (typeof place === 'object' && 'path' in place) this.folders.add(dirname(place.path));
    const server = this.mark(listen<In, Out>(place, { ...this.place.options, ...options }));
    const bound = firstValueFrom(server.listening);
    this.subscriptions.push(server.subscribe((connection) => handler(this.mark(connection))));
    this.servers.push(server);
    return { server, address: await bound };
  }

  async accepting(
    options: ListenOptions = {},
  ): Promise<{ server: Server; address: Address; accepted: Promise<Connection> }> {
    let tell: (connection: Connection) => void = () => undefined;
    const accepted = new Promise<Connection>((resolve) => {
      tell = resolve;
    });
    return { ...(await this.server((connection) => tell(connection), options)), accepted };
  }

  client<In = Buffer, Out = Uint8Array | string>(
    address: AddressInput,
    options: ConnectOptions<In, Out> = {},
  ): Client<In, Out> {
    return this.mark(connect<In, Out>(address, { ...this.place.options, ...options }));
  }

  /** The connection of a new client. */
  async connection<In = Buffer, Out = Uint8Array | string>(
    address: AddressInput,
    options: ConnectOptions<In, Out> = {},
  ): Promise<Connection<In, Out>> {
    const client = this.client(address, options);
    return this.mark(
      await new Promise<Connection<In, Out>>((resolve, reject) => {
        this.subscriptions.push(
          client.subscribe({
            next: (state) => {
              if (state.status === 'connected') resolve(state.connection);
            },
            error: reject,
          }),
        );
      }),
    );
  }

  async faulty(target: Address, options: FaultyOptions): Promise<{ proxy: Faulty; address: Address }> {
    const proxy = this.mark(faulty(target, { ...this.place.options, ...options }));
    this.proxies.push(proxy);
    return { proxy, address: await firstValueFrom(proxy.listening) };
  }

  /** Unsubscribes `subscription` when the stage is cleared. */
  add(subscription: Subscription): void {
    this.subscriptions.push(subscription);
  }

  async clear(): Promise<void> {
    for (const subscription of this.subscriptions.splice(0)) subscription.unsubscribe();
    await Promise.all(this.proxies.splice(0).map((proxy) => proxy.shutdown()));
    for (const server of this.servers) for (const connection of server.connections) connection.destroy();
    await Promise.all(this.servers.splice(0).map((server) => server.shutdown()));
  }
}
