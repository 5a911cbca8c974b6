import { filter, firstValueFrom, ReplaySubject, take, toArray } from 'rxjs';
import {
  type Address,
  type AddressInput,
  type Connection,
  connect,
  listen,
  type ListenOptions,
  type Server,
} from 'rxjs-sockets';
import { onTestFinished } from 'vitest';
import { type Peer, peerAt } from '../sockets/peer.js';
import { type Place, places } from '../transport/places.js';
import { rawClient } from '../sockets/plain-sockets.js';

export const everywhere = places.map((place) => [place.name, place] as const);

/** The error code that a client gets when it dials `address`, or 'connected'. */
export async function dialling(place: Place, address: Address): Promise<string> {
  try {
    if (place.name === 'memory') {
      await firstValueFrom(connect(address, place.options).pipe(filter(({ status }) => status === 'connected')));
      return 'connected';
    }
    (await rawClient(address)).destroy();
    return 'connected';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

/** The error code of a dial to an address without a listener. */
export const nobody = (place: Place): string => (place.name === 'unix' ? 'ENOENT' : 'ECONNREFUSED');

/** Like `listen`, but the connections end with the test. */
export function listenAt(place: Place, address: AddressInput, options: ListenOptions = {}): Server {
  const server = listen(address, { ...place.options, ...options });
  onTestFinished(() => {
    for (const connection of server.connections) connection.destroy();
  });
  return server;
}

/** Subscribes until the end of the test. The result replays every connection that the server has emitted. */
export function arrivalsOf<In, Out>(server: Server<In, Out>): ReplaySubject<Connection<In, Out>> {
  const arrivals = new ReplaySubject<Connection<In, Out>>(Infinity);
  const subscription = server.subscribe(arrivals);
  onTestFinished(() => subscription.unsubscribe());
  return arrivals;
}

/** Resolves with the first `count` connections. */
export const first = <T>(arrivals: ReplaySubject<T>, count: number): Promise<T[]> =>
  firstValueFrom(arrivals.pipe(take(count), toArray()));

/** Connects clients one after another. Each client first sends its position in this order, counted from 0. */
export async function numberedPeers(place: Place, address: Address, count: number): Promise<Peer[]> {
  const peers: Peer[] = [];
  for (let number = 0; number < count; number++) {
    const peer = await peerAt(place, address);
    peer.write(String(number));
    peers.push(peer);
  }
  return peers;
}
