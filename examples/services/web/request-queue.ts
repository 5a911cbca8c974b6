/** The requests of one connection, which are answered one after the other. */
import type { ServerResponse } from 'node:http';
import type { Connection } from 'rxjs-sockets';

/**
 * Node's parser hands over every request as soon as it has read it, and a client may send a thousand of them before it
 * reads the first answer. Each of them waits here for its turn, so that one client has one file open; nothing more is read
 * from the client meanwhile, so that few of them wait.
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
   * @param answer - answers it; it must not reject, and has ended the response or cut it off when it resolves
   */
  add(response: ServerResponse, answer: () => Promise<void>): void {
    const hold = this.connection.bytes.hold();
    this.last = this.last.then(async () => {
      // Where the client has left, or the answer before was its last one, this response never gets its turn.
      if (response.socket !== null) {
        const closed = new Promise((resolve) => response.once('close', resolve));
        await answer();
        await closed;
      }
      hold.release();
    });
  }
}
