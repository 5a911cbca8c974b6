import type { Connection, ListenOptions } from 'rxjs-sockets';
import { type Peer, peerAt } from '../sockets/peer.js';
import type { Place } from '../transport/places.js';
import { serverAt } from '../connection/connected-pairs.js';
import { until } from '../scheduling/event-loop.js';

/** Connections that a server has accepted, and the plain sockets at their other ends. */
export async function members(place: Place, count: number, options: ListenOptions<any, any> = {}) {
  const near: Connection<any, any>[] = [];
  const { address } = await serverAt<any, any>(place, (connection) => near.push(connection), options);
  const peers: Peer[] = [];
  for (let i = 0; i < count; i++) {
    peers.push(await peerAt(place, address));
    await until(() => near.length > i);
  }
  return { near, peers, address };
}
