/** Makes ioredis use the sockets of this library. */
import type { Socket } from 'node:net';
import { AbstractConnector } from 'ioredis';
import { type AddressInput, connect, type ConnectOptions } from 'rxjs-sockets';
import { toNodeStream } from 'rxjs-sockets/interop';

// #region connector
/** Makes ioredis dial with `connect`, each time with a new client: `new Redis({ Connector: connectorTo(address) })`. */
export function connectorTo(address: AddressInput, options: ConnectOptions = {}): new () => AbstractConnector {
  return class extends AbstractConnector {
    constructor() {
      super(2_000); // ms for the server to close the connection after `disconnect`
    }

    override async connect(): Promise<Socket> {
      // ioredis waits for 'close', so the stream has to end itself when the server has finished.
      const client = connect(address, { ...options, halfOpen: false });
      this.stream = toNodeStream(client) as unknown as Socket;
      return this.stream;
    }
  };
}
// #endregion
