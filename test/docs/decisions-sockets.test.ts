import '../support/leaks.js';
import { firstValueFrom, NEVER, repeat, throwError } from 'rxjs';
import { backoff, connect, type Connection, listen, SocketError } from 'rxjs-sockets';
import { describe, expect, it, onTestFinished } from 'vitest';
import { places } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { record } from '../support/recording/record.js';
import { until } from '../support/scheduling/event-loop.js';
import { text, addressOf } from '../support/docs/decision-tests.js';

describe.each(places)('a server over $name', (place) => {
  it('S10: completes `listening` when the last subscriber of the server leaves, and can listen again', async () => {
    const server = listen(await place.address(), place.options);
    for (let run = 0; run < 2; run++) {
      const serving = record(server);
      const addresses = record(server.listening);
      await addresses.count(1);
      serving.subscription.unsubscribe();
      expect(addresses.endings).toEqual(['complete']);
    }
  });

  it('S10: completes `listening` on shutdown, even if the server never listened', async () => {
    const server = listen(await place.address(), place.options);
    const addresses = record(server.listening);
    await server.shutdown();
    expect([addresses.values, addresses.endings]).toEqual([[], ['complete']]);
  });

  it('S11: reports a failed bind at once, even while the server is held, and completes `listening` (S10)', async () => {
    const { address } = await serverAt(place, () => undefined);
    const server = listen(address, place.options);
    const hold = server.hold();
    const addresses = record(server.listening);
    const serving = record(server);
    expect(await serving.end()).toMatchObject({ code: 'EADDRINUSE' });
    expect([addresses.values, addresses.endings]).toEqual([[], ['complete']]);
    hold.release();
  });

  it('S11: completes at once after a shutdown, even while the server is held', async () => {
    const server = listen(await place.address(), place.options);
    const hold = server.hold();
    const serving = record(server);
    await firstValueFrom(server.listening);
    await server.shutdown();
    expect(serving.endings).toEqual(['complete']);
    hold.release();
  });
});

describe.each(places)('a client over $name', (place) => {
  it('K8: dials again if it is subscribed to after its end', async () => {
    const { address } = await serverAt(place, ({ data }) => data.subscribe(data), text);
    const client = connect(address, { ...place.options, ...text });
    for (const run of [1, 2]) {
      const states = record(client);
      const received = record(client.data);
      client.data.next(`during ${run}`);
      expect(await received.count(run)).toEqual(run === 1 ? ['during 1'] : ['after 1', 'during 2']);
      client.data.complete();
      expect(await received.end()).toBe('complete');
      expect(await states.end()).toBe('complete');
      // The next connection sends this value.
      client.data.next(`after ${run}`);
    }
  });

  it('K8: dials again if it is subscribed to during the notification of its end', async () => {
    const { address } = await serverAt(place, (connection) => void connection.close());
    const client = connect(address, place.options);
    const states = record(client.pipe(repeat(3)));
    expect(await states.end()).toBe('complete');
    const run = ['connecting', 'connected', 'disconnected'];
    expect(states.values.map(({ status }) => status)).toEqual([...run, ...run, ...run]);
  });

  it('K18: runs `prepare` on each connection before anything else is sent or received', async () => {
    const heard: string[] = [];
    const { address } = await serverAt(
      place,
      ({ data }) =>
        data.subscribe((line) => {
          heard.push(line);
          for (const reply of line === 'login' ? ['welcome', 'news'] : [`${line}!`]) data.next(reply);
        }),
      text,
    );
    const prepare = async ({ data }: Connection<string, string>): Promise<void> => {
      data.next('login');
      expect(await firstValueFrom(data)).toBe('welcome');
      expect(states.values.map(({ status }) => status).at(-1)).toBe('connecting');
    };
    const client = connect(address, { ...place.options, ...text, reconnect: backoff({ initial: 1 }), prepare });
    client.data.next('one');
    const states = record(client);
    const received = record(client.data);
    onTestFinished(() => {
      states.subscription.unsubscribe();
      received.subscription.unsubscribe();
    });
    expect(await received.count(2)).toEqual(['news', 'one!']);
    const connected = states.values.at(-1);
    if (connected?.status === 'connected') connected.connection.destroy();
    expect(await received.count(3)).toEqual(['news', 'one!', 'news']);
    expect(heard).toEqual(['login', 'one', 'login']);
  });

  it('K18: reports a failed attempt if `prepare` fails', async () => {
    const { address } = await serverAt(place, ({ data }) => data.subscribe(data));
    const cause = new Error('refused');
    for (const prepare of [() => throwError(() => cause), () => Promise.reject(cause)]) {
      const states = record(connect(address, { ...place.options, prepare }));
      expect(await states.end()).toMatchObject({ code: 'ERR_HANDLER', cause });
      expect(states.values.map(({ status }) => status)).toEqual(['connecting', 'disconnected']);
    }
    const lost = record(connect(address, { ...place.options, prepare: ({ data }) => (data.error('lost'), NEVER) }));
    expect(await lost.end()).toMatchObject({ code: 'ERR_CLOSED', cause: 'lost' });
  });

  it('K19: open() returns the first connection; the client stays subscribed until that connection ends', async () => {
    const { server, address } = await serverAt(place, ({ data }) => data.subscribe(data), text);
    const client = connect(address, { ...place.options, ...text });
    const connection = await client.open();
    for (const word of ['one', 'two']) {
      connection.data.next(word);
      expect(await firstValueFrom(connection.data)).toBe(word);
    }
    expect(await client.open()).toBe(connection);
    await connection.close();
    await until(() => server.connections.size === 0);
    expect(await client.open()).not.toBe(connection);
    for (const left of server.connections) left.destroy();
    await until(() => server.connections.size === 0);
  });

  it('K19: open() rejects if the client cannot connect', async () => {
    await expect(connect(await addressOf(place), place.options).open()).rejects.toThrow(SocketError);
  });

  it('K9: send() settles once a connecting client is connected', async () => {
    const { address } = await serverAt(place, ({ data }) => data.subscribe(data), text);
    const client = connect(address, { ...place.options, ...text });
    const events: string[] = [];
    const states = record(client, ({ status }) => events.push(status));
    await client.data.send('hello').then(() => events.push('sent'));
    expect(events).toEqual(['connecting', 'connected', 'sent']);
    states.subscription.unsubscribe();
  });

  it('K9: send() settles at once if the client has no subscriber', async () => {
    const { address } = await serverAt(place, ({ data }) => data.subscribe(data), text);
    const client = connect(address, { ...place.options, ...text });
    await client.data.send('hello');
    expect(await firstValueFrom(client.data)).toBe('hello');
  });
});
