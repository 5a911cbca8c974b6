import net from 'node:net';
import type { Address, SocketError } from 'rxjs-sockets';
import { onTestFinished } from 'vitest';
import { clientAt } from '../connection/connected-pairs.js';
import type { Place } from '../transport/places.js';
import { isSecure, rawSocket } from './plain-sockets.js';

/** The far end of a connection, whatever it is made of; it sends and receives text. */
export interface Peer {
  write(text: string): void;
  /** Ends its sending side. */
  end(): void;
  destroy(): void;
  /** Resolves once everything received is `text`; rejects if it ends before. */
  receives(text: string): Promise<void>;
  /** How its receiving side ended: `'fin'`, or the code of the error. */
  readonly ended: Promise<string>;
}

/** Connects a plain `node:net` socket if the place has one, and a client of the library in memory. */
export async function peerAt(place: Place, address: Address): Promise<Peer> {
  if (place.name !== 'memory') return realPeer(address);
  const { connection } = await clientAt(place, address, { halfOpen: true });
  const inbox = new Inbox();
  connection.bytes.subscribe({
    next: (chunk) => inbox.add(chunk),
    error: (error: unknown) => inbox.finish((error as SocketError).code),
    complete: () => inbox.finish('fin'),
  });
  return {
    write: (text) => connection.bytes.next(text),
    end: () => connection.bytes.complete(),
    destroy: () => connection.destroy(),
    receives: (text) => inbox.receives(text),
    ended: inbox.ended,
  };
}

/** If a listener resets a connection right after accepting it, the client may notice while it still connects. */
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

/** A plain socket as a Peer. */
function peerOf(socket: net.Socket): Peer {
  const inbox = new Inbox();
  socket.on('data', (chunk) => inbox.add(chunk));
  socket.on('end', () => inbox.finish('fin'));
  socket.on('error', (error: NodeJS.ErrnoException) => inbox.finish(error.code ?? error.message));
  socket.on('close', () => inbox.finish('closed'));
  return {
    write: (text) => void socket.write(text),
    end: () => void socket.end(),
    destroy: () => void socket.destroy(),
    receives: (text) => inbox.receives(text),
    ended: inbox.ended,
  };
}

/** Everything received, and the waiters for it. */
class Inbox {
  readonly ended: Promise<string>;
  private text = '';
  private end: string | undefined;
  private readonly waiting = new Set<() => void>();
  private tellEnd: (how: string) => void = () => undefined;

  constructor() {
    this.ended = new Promise((resolve) => {
      this.tellEnd = resolve;
    });
  }

  add(chunk: Buffer): void {
    this.text += chunk.toString('latin1');
    for (const look of this.waiting) look();
  }

  finish(how: string): void {
    this.end ??= how;
    this.tellEnd(this.end);
    for (const look of this.waiting) look();
  }

  receives(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (this.text === text) resolve();
        else if (this.end === undefined && text.startsWith(this.text)) return;
        else reject(new Error(`received ${JSON.stringify(this.text)}, then ${this.end ?? 'more'}`));
        this.waiting.delete(look);
      };
      this.waiting.add(look);
      look();
    });
  }
}
