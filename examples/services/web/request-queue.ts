import type { ServerResponse } from 'node:http';
import type { Connection } from 'rxjs-sockets';

/**
 * Queues the requests of one connection. Node's parser emits every request that it has read. The queue answers one
 * request at a time, so that the server has only one file open for a client. The queue holds the connection until all
 * requests are answered, so the queue stays short.
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
   * @param answer - answers the request. The returned promise must not reject, and may resolve only after
   * `response` has ended or was aborted
   */
  add(response: ServerResponse, answer: () => Promise<void>): void {
    const hold = this.connection.bytes.hold();
    this.last = this.last.then(async () => {
      // The response has no socket if the client has disconnected, or if the previous answer has closed the connection.
      if (response.socket !== null) {
        const closed = new Promise((resolve) => response.once('close', resolve));
        await answer();
        await closed;
      }
      hold.release();
    });
  }
}
