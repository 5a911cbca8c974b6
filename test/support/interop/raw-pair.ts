import net from 'node:net';
import type { Place } from '../transport/places.js';
import { rawClient, rawServer } from '../sockets/plain-sockets.js';

export async function rawPair(place: Place): Promise<{ near: net.Socket; raw: net.Socket }> {
  let accepted: (socket: net.Socket) => void = () => undefined;
  const raw = new Promise<net.Socket>((resolve) => {
    accepted = resolve;
  });
  const near = await rawClient(await rawServer(place, (socket) => accepted(socket)));
  return { near, raw: await raw };
}
