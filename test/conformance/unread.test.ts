import { take } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { connect, type Connection, listen } from 'rxjs-sockets';
import { memoryTransport } from 'rxjs-sockets/testing';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { realPlaces } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { readAll } from '../support/sockets/read-socket.js';

const reply = Buffer.alloc(4_000_000, 'r');

describe.each(realPlaces)('a connection whose reader has left, over $name', (place) => {
  it('C22: the connection is closed cleanly after its reply has been sent, although the peer sends more than the read-ahead limit', async () => {
    const ends: string[] = [];
    const { address } = await serverAt(
      place,
      (connection) => {
        connection.closed.subscribe(({ reason }) => ends.push(reason));
        connection.data.pipe(take(1)).subscribe(() => {
          connection.data.next(reply);
          connection.data.complete();
        });
      },
      { claimTimeout: 50 },
    );
    const client = await rawClient(address);
    const flushed = new Promise((resolve) => client.write(Buffer.alloc(10_000_000, 'x'), resolve));
    expect((await readAll(client)).equals(reply)).toBe(true);
    await flushed;
    const closed = new Promise((resolve) => client.once('close', resolve));
    client.end();
    await closed;
    await expect.poll(() => ends).toEqual(['finished']);
  });
});

describe('claimTimeout', () => {
  /** In virtual time, serves a client that sends once and stays connected. Returns how the connection ended. */
  const within = (use: (connection: Connection) => void): string[] => {
    const log: string[] = [];
    new TestScheduler(() => undefined).run(({ flush }) => {
      const transport = memoryTransport();
      const server = listen('memory:left', { transport, claimTimeout: 500 });
      const subscription = server.subscribe((connection) => {
        connection.closed.subscribe(({ reason, error }) => log.push(error?.code ?? reason));
        use(connection);
      });
      const client = connect('memory:left', { transport, halfOpen: true, claimTimeout: 0, closeTimeout: 0 });
      const reading = client.data.subscribe({ error: () => undefined });
      client.data.next('one');
      flush();
      reading.unsubscribe();
      subscription.unsubscribe();
      for (const connection of server.connections) connection.destroy();
      flush();
    });
    return log;
  };

  it('C22: claimTimeout does not end a connection that has had a reader and whose sending side is open', () => {
    const log = within(({ data }) => data.pipe(take(1)).subscribe());
    expect(log).toEqual(['ERR_CLOSED']);
  });

  it('C22: claimTimeout ends a connection that never had a reader', () => {
    expect(within(() => undefined)).toEqual(['ERR_TIMEOUT_CLAIM']);
  });
});
