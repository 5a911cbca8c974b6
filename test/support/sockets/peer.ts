import type net from 'node:net';
import type { Address } from 'rxjs-sockets';
import { onTestFinished } from 'vitest';
import { clientAt } from '../connection/connected-pairs.js';
import { recordBytes, recordStream } from '../recording/record-bytes.js';
import type { Place } from '../transport/places.js';
import { isSecure, rawSocket } from './plain-sockets.js';

/** The other end of a connection, over any transport. It sends and receives text. */
export interface Peer {
  write(text: string): void;
  /** Ends the sending side of the peer. */
  end(): void;
  destroy(): void;
  /** Resolves once exactly `text` has arrived. Rejects if the stream ends first. */
  receives(text: string): Promise<void>;
  /** How the receiving side of the peer ended: `'fin'`, or the code of the error. */
  readonly ended: Promise<string>;
}

/** Connects a plain socket of Node or, over the memory transport, a client of the library. */
export async function peerAt(place: Place, address: Address): Promise<Peer> {
  if (place.name !== 'memory') return realPeer(address);
  const { connection } = await clientAt(place, address, { halfOpen: true });
  const received = recordBytes(connection.bytes);
  return {
    write: (text) => connection.bytes.next(text),
    end: () => connection.bytes.complete(),
    destroy: () => connection.destroy(),
    receives: (text) => received.equals(text),
    ended: received.ended(),
  };
}

/** If a listener resets a connection right after accepting it, the peer can notice the reset while still connecting. */
async function realPeer(address: Address): Promise<Peer> {
  const socket = rawSocket(address, true);
  onTestFinished(() => {
    socket.destroy();
  });
  const peer = peerOf(socket);
  await new Promise<void>((resolve, reject) => {
    socket.once(isSecure(address) ? 'secureConnect' : 'connect', resolve);
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET') resolve();
      else reject(error);
    });
  });
  return peer;
}

function peerOf(socket: net.Socket): Peer {
  const received = recordStream(socket);
  return {
    write: (text) => void socket.write(text),
    end: () => void socket.end(),
    destroy: () => void socket.destroy(),
    receives: (text) => received.equals(text),
    ended: received.ended(),
  };
}
