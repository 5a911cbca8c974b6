import { once } from 'node:events';
import type net from 'node:net';
import { createInterface } from 'node:readline';
import { type AddressInput, parseAddress } from 'rxjs-sockets';
import { rawClient } from '../support/sockets/plain-sockets.js';

/** A plain `node:net` client that receives one line at a time, like `nc`. */
export class Caller {
  readonly socket: net.Socket;
  private readonly lines: AsyncIterator<string>;

  private constructor(socket: net.Socket) {
    this.socket = socket;
    this.lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  }

  static async dial(address: AddressInput): Promise<Caller> {
    return new Caller(await rawClient(parseAddress(address)));
  }

  /** Returns the next line, or `undefined` once the other side has finished. */
  async hear(): Promise<string | undefined> {
    const { done, value } = await this.lines.next();
    return done === true ? undefined : value;
  }

  /** Sends `text`, and waits until the kernel has taken it. */
  async say(text: string): Promise<void> {
    if (!this.socket.write(text)) await once(this.socket, 'drain');
  }

  hangUp(): void {
    this.socket.end();
  }
}
