import type net from 'node:net';
import { filter, firstValueFrom, map, type Observable } from 'rxjs';
import type { Address, Connection, ConnectionState } from 'rxjs-sockets';
import type { Place } from '../transport/places.js';
import { serverAt } from '../connection/connected-pairs.js';
import { rawServer } from '../sockets/plain-sockets.js';
import { Recording } from '../recording/record.js';

/** A server of the library that keeps the connections it has accepted. */
export async function accepting(place: Place, handler: (connection: Connection) => void = () => undefined) {
  const accepted: Connection[] = [];
  const { address, server, subscription } = await serverAt(place, (connection) => {
    accepted.push(connection);
    handler(connection);
  });
  return { address, server, subscription, accepted };
}

/** A plain server that keeps the sockets it has accepted. */
export async function rawAccepting(place: Place, handler: (socket: net.Socket) => void = () => undefined) {
  const accepted: net.Socket[] = [];
  const address = await rawServer(place, (socket) => {
    accepted.push(socket);
    handler(socket);
  });
  return { address, accepted };
}

/** An address at `place` at which no server listens. */
export async function deadAddress(place: Place): Promise<Address> {
  const { address, subscription } = await serverAt(place, () => undefined);
  subscription.unsubscribe();
  return address;
}

export const echo = (connection: Connection): void => {
  connection.bytes.subscribe(connection.bytes);
};

export const discard = (connection: Connection): void => {
  connection.bytes.subscribe({ error: () => undefined });
};

export const statuses = (recording: Recording<{ readonly status: string }>): string[] =>
  recording.values.map(({ status }) => status);

export const whenConnected = <In, Out>(client: Observable<ConnectionState<In, Out>>): Promise<Connection<In, Out>> =>
  firstValueFrom(
    client.pipe(
      filter((state) => state.status === 'connected'),
      map((state) => state.connection),
    ),
  );
