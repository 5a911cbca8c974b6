import type { ServerResponse } from 'node:http';
import type { Connection } from 'rxjs-sockets';

/**
 * The requests of one connection. Node's parser emits every request that it has read. This queue answers one request at
 * a time, so that a client has only one file open. It holds the connection until it has answered all requests, so the
 * queue stays short.
 */
export class RequestQueue {
  private readonly connection: Connection<any, any>;
  private last = Promise.resolve();

  constructor(connection: Connection<any, any>) {
    this.connection = connection;
  }

  /**
   * Adds a request.
   *
   * @param answer - answers the request. It must not reject, and has to end or abort `response` before it resolves
   */
  add(response: ServerResponse, answer: () => Promise<void>): void {
    const hold = this.connection.bytes.hold();
    this.last = this.last.then(async () => {
      // The response has no socket if the client has left, or if the previous answer has closed the connection.
      if (response.socket !== null) {
        const closed = new Promise((resolve) => response.once('close', resolve));
        await answer();
        await closed;
      }
      hold.release();
    });
  }
}
