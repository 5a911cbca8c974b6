/** ioredis over the sockets of this library. */
import type { Socket } from 'node:net';
import { AbstractConnector } from 'ioredis';
import { type AddressInput, connect, type ConnectOptions } from 'rxjs-sockets';
import { toNodeStream } from 'rxjs-sockets/interop';

// #region connector
/** Has ioredis dial with `connect`, each time with a client of its own: `new Redis({ Connector: connectorTo(address) })`. */
export function connectorTo(address: AddressInput, options: ConnectOptions = {}): new () => AbstractConnector {
  return class extends AbstractConnector {
    constructor() {
      super(2_000); // ms that the server has to close the connection after `disconnect`
    }

    override async connect(): Promise<Socket> {
      // ioredis waits for 'close': at the end of what the server sends, the stream has to end itself.
      const client = connect(address, { ...options, halfOpen: false });
      this.stream = toNodeStream(client) as unknown as Socket;
      return this.stream;
    }
  };
}
// #endregion
