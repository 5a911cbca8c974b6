/** The requests of one connection, which the server answers one at a time. */
import type { ServerResponse } from 'node:http';
import type { Connection } from 'rxjs-sockets';

/**
 * Node's parser emits every request as soon as it has read it, and a client may send a thousand of them before it reads
 * the first answer. This queue answers one request at a time, so that a client has only one file open. Meanwhile it
 * holds the connection, so the queue stays short.
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
   * @param response - the response to it
   * @param answer - answers it; it must not reject, and when it resolves it has ended or aborted the response
   */
  add(response: ServerResponse, answer: () => Promise<void>): void {
    const hold = this.connection.bytes.hold();
    this.last = this.last.then(async () => {
      // If the client has left, or the previous answer was its last one, this response never gets its turn.
      if (response.socket !== null) {
        const closed = new Promise((resolve) => response.once('close', resolve));
        await answer();
        await closed;
      }
      hold.release();
    });
  }
}
