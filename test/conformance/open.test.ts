import type net from 'node:net';
import { noop } from 'rxjs';
import { connect } from 'rxjs-sockets';
import { describe, expect, it } from 'vitest';
import { deadAddress } from '../support/client/dialled-servers.js';
import '../support/leaks.js';
import { realPlaces } from '../support/transport/places.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';

describe.each(realPlaces)('opening a client on $name', (place) => {
  it('K19: `open` resolves with the first connection, and keeps the client subscribed until that connection ends', async () => {
    const sockets: net.Socket[] = [];
    const address = await rawServer(place, (socket) => {
      sockets.push(socket);
      socket.resume();
      socket.on('end', () => socket.end());
    });
    const client = connect(address);
    const connection = await client.open();
    await turns();
    expect(sockets[0]!.readableEnded).toBe(false);
    await connection.close();
    await until(() => sockets[0]!.destroyed);
    expect(sockets).toHaveLength(1);
  });

  it('K19: with `reconnect`, `open` unsubscribes from the client when the first connection ends', async () => {
    let count = 0;
    const address = await rawServer(place, (socket) => {
      count++;
      socket.resume();
    });
    const connection = await connect(address, { reconnect: { delay: 0 } }).open();
    connection.destroy();
    await new Promise((resolve) => connection.closed.subscribe({ complete: () => resolve(undefined) }));
    await turns();
    expect(count).toBe(1);
  });

  it('K19: two concurrent calls of `open` share one connection', async () => {
    const address = await rawServer(place, (socket) => {
      socket.resume();
      socket.on('end', () => socket.end());
    });
    const client = connect(address);
    const [a, b] = await Promise.all([client.open(), client.open()]);
    expect(a).toBe(b);
    await a.close();
  });

  it('C29, K19: `await using` closes the connection that `open` returned', async () => {
    const sockets: net.Socket[] = [];
    const address = await rawServer(place, (socket) => {
      sockets.push(socket);
      socket.resume();
      socket.on('end', () => socket.end());
    });
    {
      await using connection = await connect(address).open();
      connection.bytes.next('hello');
    }
    await until(() => sockets[0]!.destroyed);
  });

  it('K19: `open` rejects if nothing listens, the client is destroyed, or the signal is aborted', async () => {
    const address = await deadAddress(place);
    await expect(connect(address).open()).rejects.toMatchObject({
      code: place.name === 'tcp' ? 'ECONNREFUSED' : 'ENOENT',
    });
    const listening = await rawServer(place, (socket) => socket.resume());
    const client = connect(listening);
    const opened = client.open();
    client.data.error(new Error('a whim'));
    await expect(opened).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    const controller = new AbortController();
    const aborted = connect(listening, { signal: controller.signal }).open();
    controller.abort(new Error('too late'));
    await expect(aborted).rejects.toMatchObject({ code: 'ERR_CLOSED', cause: { message: 'too late' } });
  });

  it('K19: if the connection is destroyed after `open` has resolved, no unhandled rejection follows', async () => {
    const address = await rawServer(place, (socket) => socket.resume());
    const connection = await connect(address).open();
    const closed = record(connection.closed);
    connection.destroy(new Error('a whim'));
    await closed.end();
    connection.data.subscribe({ error: noop });
    expect(closed.values[0]?.reason).toBe('destroyed');
  });
});
