import type net from 'node:net';
import type { Address } from 'rxjs-sockets';
import type { Place } from '../transport/places.js';
import { rawServer } from './plain-sockets.js';
import { until } from '../scheduling/event-loop.js';

/** A plain server that reads lines, and sends the test's answers. */
export interface LineServer {
  readonly address: Address;
  /** The lines of all connections, in the order of arrival. */
  readonly lines: string[];
  readonly sockets: net.Socket[];
  /** Waits until `count` lines have arrived. */
  received(count: number): Promise<void>;
}

export async function lineServer(
  place: Place,
  answer: (line: string, socket: net.Socket) => void = () => undefined,
): Promise<LineServer> {
  const lines: string[] = [];
  const sockets: net.Socket[] = [];
  const address = await rawServer(place, (socket) => {
    sockets.push(socket);
    let rest = '';
    socket.on('data', (chunk) => {
      const parts = (rest + chunk.toString()).split('\n');
      rest = parts.pop() ?? '';
      for (const line of parts) {
        lines.push(line);
        answer(line, socket);
      }
    });
    // A server of Node ends its side after the client's FIN by default, but `rawServer` turns this off.
    socket.on('end', () => socket.end());
  });
  return { address, lines, sockets, received: (count) => until(() => lines.length >= count) };
}
