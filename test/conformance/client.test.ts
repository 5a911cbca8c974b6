import dns from 'node:dns';
import type net from 'node:net';
import {
  concat,
  filter,
  firstValueFrom,
  lastValueFrom,
  map,
  type Observable,
  of,
  repeat,
  retry,
  take,
  timer,
  toArray,
} from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import {
  type Address,
  type Client,
  connect,
  type Connection,
  type ConnectionState,
  type ConnectOptions,
  listen,
  SocketError,
} from 'rxjs-sockets';
import { type Codec, lines } from 'rxjs-sockets/codecs';
import { memoryTransport } from 'rxjs-sockets/testing';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import '../support/leaks.js';
import { settled } from '../support/scheduling/event-loop.js';
import { memory, type Place, places, realPlaces, tcp, unix } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { readAll } from '../support/sockets/read-socket.js';
import { Recording } from '../support/recording/record.js';
import { until } from '../support/scheduling/event-loop.js';

const named = (some: readonly Place[]): (readonly [string, Place])[] => some.map((place) => [place.name, place]);

/** An address of the place that nobody listens on. */
async function deadAddress(place: Place): Promise<Address> {
  const { address, subscription } = await serverAt(place, () => undefined);
  subscription.unsubscribe();
  return address;
}

const refused = (place: Place): string => (place.name === 'unix' ? 'ENOENT' : 'ECONNREFUSED');

/** A server of the library that keeps what it has accepted. */
async function accepting(place: Place, handler: (connection: Connection) => void = () => undefined) {
  const accepted: Connection[] = [];
  const { address, server, subscription } = await serverAt(place, (connection) => {
    accepted.push(connection);
    handler(connection);
  });
  return { address, server, subscription, accepted };
}

/** A plain server that keeps what it has accepted. */
async function rawAccepting(place: Place, handler: (socket: net.Socket) => void = () => undefined) {
  const accepted: net.Socket[] = [];
  const address = await rawServer(place, (socket) => {
    accepted.push(socket);
    handler(socket);
  });
  return { address, accepted };
}

/** Lines that are numbered on the way in and on the way out, by each connection's decoder and encoder. */
function counted(): Codec<string> {
  return {
    decoder: () => {
      const inner = lines().decoder();
      let count = 0;
      return {
        decode: (bytes) => {
          const line = inner.decode(bytes);
          return line === undefined ? undefined : `${count++}<${line}`;
        },
      };
    },
    encoder: () => {
      let count = 0;
      return { encode: (value, into) => into.text(`${count++}>${value}\n`, 'utf8') };
    },
  };
}

const echo = (connection: Connection): void => {
  connection.bytes.subscribe(connection.bytes);
};

/** Reads all that comes. */
const discard = (connection: Connection): void => {
  connection.bytes.subscribe({ error: () => undefined });
};

const statuses = (recording: Recording<{ readonly status: string }>): string[] =>
  recording.values.map(({ status }) => status);

const whenConnected = <In, Out>(client: Observable<ConnectionState<In, Out>>): Promise<Connection<In, Out>> =>
  firstValueFrom(
    client.pipe(
      filter((state) => state.status === 'connected'),
      map((state) => state.connection),
    ),
  );

describe.each(named(places))('a client on %s', (_name, place) => {
  const dial = <In = Buffer, Out = Uint8Array | string>(address: Address, options: ConnectOptions<In, Out> = {}) => {
    const client = connect<In, Out>(address, { ...place.options, ...options });
    return client;
  };
  /** Records the states until the end of the test. */
  const watch = <In, Out>(client: Client<In, Out>): Recording<ConnectionState<In, Out>> => {
    const recording = new Recording<ConnectionState<In, Out>>(client);
    onTestFinished(() => recording.subscription.unsubscribe());
    return recording;
  };

  it('K1: dials nothing before somebody subscribes', async () => {
    const { address, accepted } = await accepting(place);
    const client = dial(address);
    client.data.next('early');
    client.data.writable.subscribe();
    client.data.hold().release();
    void client.pipe(map(({ status }) => status));
    await settled();
    expect(accepted).toEqual([]);
    expect(client.data.closed).toBe(false);
    expect(client.data.bufferedBytes).toBe(5);
  });

  it.each([
    ['its states', (client: Client<Buffer, string>) => client.subscribe()],
    ['its data', (client: Client<Buffer, string>) => client.data.subscribe()],
  ])('K1: dials for whoever subscribes to %s, and closes when they leave', async (_what, subscribe) => {
    const { address, accepted } = await accepting(place);
    const client = dial<Buffer, string>(address);
    const subscription = subscribe(client);
    await until(() => accepted.length === 1);
    client.data.next('all of it');
    subscription.unsubscribe();
    const received = await firstValueFrom((accepted[0] as Connection).bytes.pipe(toArray()));
    expect(Buffer.concat(received).toString()).toBe('all of it');
  });

  it('K1: all share one connection', async () => {
    const { address, accepted } = await accepting(place, (connection) => echo(connection));
    const client = dial(address, { codec: lines() });
    const states = [watch(client), watch(client)];
    const data = [new Recording(client.data), new Recording(client.data)];
    client.data.next('one');
    for (const recording of data) expect(await recording.count(1)).toEqual(['one']);
    const late = watch(client);
    client.data.next('two');
    for (const recording of data) expect(await recording.count(2)).toEqual(['one', 'two']);
    expect(accepted).toHaveLength(1);
    for (const recording of states) expect(statuses(recording)).toEqual(['connecting', 'connected']);
    expect(statuses(late)).toEqual(['connected']);
    expect(late.values[0]).toBe(states[0]?.values[1]);
    for (const recording of data) recording.subscription.unsubscribe();
  });

  it('K1: is closed when the last leaves, and not before', async () => {
    const { address, accepted } = await accepting(place, (connection) => echo(connection));
    const client = dial(address, { codec: lines() });
    const watching = client.subscribe();
    const reading = client.data.subscribe();
    await until(() => accepted.length === 1);
    const end = firstValueFrom((accepted[0] as Connection).closed);
    watching.unsubscribe();
    client.data.next('still there');
    expect(await firstValueFrom(client.data)).toBe('still there');
    const again = client.subscribe();
    reading.unsubscribe();
    client.data.next('here too');
    expect(await firstValueFrom(client.data)).toBe('here too');
    expect(accepted).toHaveLength(1);
    again.unsubscribe();
    expect(await end).toMatchObject({ reason: 'finished' });
  });

  it('K8: whoever subscribes after the last has left gets a new connection', async () => {
    const { address, accepted } = await accepting(place);
    const client = dial(address);
    for (let round = 1; round <= 3; round++) {
      const recording = watch(client);
      await recording.count(2);
      expect(recording.values).toMatchObject([
        { status: 'connecting', attempt: 1, address },
        { status: 'connected', attempt: 1 },
      ]);
      recording.subscription.unsubscribe();
    }
    await until(() => accepted.length === 3);
  });

  it('K8: each connection has a decoder and an encoder of its own', async () => {
    const { address, accepted } = await accepting(place, (connection) => {
      connection.bytes.subscribe(connection.bytes);
      // An unfinished frame, for a connection that ends before the rest comes.
      connection.bytes.next('ab\nunfinished');
    });
    const client = dial<string>(address, { codec: counted() });
    for (let round = 0; round < 3; round++) {
      const watching = client.subscribe();
      await whenConnected(client);
      // The data is asked for in the second round only when the connection is there.
      const data = new Recording(client.data);
      expect(await data.count(1)).toEqual(['0<ab']);
      client.data.next('x');
      client.data.next('y');
      expect(await data.count(3)).toEqual(['0<ab', '1<unfinished0>x', '2<1>y']);
      data.subscription.unsubscribe();
      watching.unsubscribe();
    }
    expect(accepted).toHaveLength(3);
  });

  it('D3: a frame that can not be decoded ends that connection, and not the next', async () => {
    const { address, accepted } = await accepting(place, (connection) => {
      connection.bytes.subscribe({ error: () => undefined });
      connection.bytes.next(accepted.length === 1 ? 'one\ntoo long for it\n' : 'two\n');
    });
    const client = dial<string>(address, { codec: lines({ maxLength: 5 }) });
    const data = new Recording(client.data);
    expect(await data.end()).toMatchObject({ code: 'ERR_FRAME_TOO_LONG' });
    expect(data.values).toEqual(['one']);
    expect(await firstValueFrom(client.data)).toBe('two');
    await until(() => accepted.length === 2);
  });

  it('D3: a frame that can not be decoded is told to the states too', async () => {
    const { address } = await accepting(place, (connection) => {
      discard(connection);
      connection.bytes.next('too long for it\n');
    });
    const client = dial<string>(address, { codec: lines({ maxLength: 5 }) });
    const recording = watch(client);
    const data = new Recording(client.data);
    const error = await data.end();
    expect(error).toMatchObject({ code: 'ERR_FRAME_TOO_LONG' });
    expect(await recording.end()).toBe(error);
    expect(statuses(recording)).toEqual(['connecting', 'connected', 'disconnected']);
  });

  it('C2: what is sent before the connection is there is sent first, in order', async () => {
    const { address, accepted } = await accepting(place);
    const client = dial<string>(address, { codec: lines() });
    client.data.next('before');
    const subscription = client.subscribe(({ status }) => client.data.next(status));
    client.data.next('meanwhile');
    await until(() => accepted.length === 1);
    await whenConnected(client);
    client.data.next('after');
    client.data.complete();
    const received = await firstValueFrom((accepted[0] as Connection).bytes.pipe(toArray()));
    expect(Buffer.concat(received).toString()).toBe('before\nconnecting\nmeanwhile\nconnected\nafter\n');
    (accepted[0] as Connection).bytes.complete();
    subscription.unsubscribe();
  });

  it('C2: what was sent and completed before anybody subscribed is sent, and then the FIN', async () => {
    const { address, accepted } = await accepting(place);
    const client = dial(address);
    client.data.next('all there is');
    client.data.complete();
    const recording = watch(client);
    await until(() => accepted.length === 1);
    const [connection] = accepted as [Connection];
    expect(Buffer.concat(await firstValueFrom(connection.bytes.pipe(toArray()))).toString()).toBe('all there is');
    connection.bytes.complete();
    expect(await recording.end()).toBe('complete');
  });

  it('K9: `send` resolves once the connection is there', async () => {
    const { address } = await accepting(place);
    const client = dial(address);
    const order: string[] = [];
    const watching = client.subscribe(({ status }) => order.push(status));
    await client.data.send('x').then(() => order.push('sent'));
    expect(order).toEqual(['connecting', 'connected', 'sent']);
    watching.unsubscribe();
  });

  it('K9: `send` resolves at once while nobody has subscribed', async () => {
    const { address } = await accepting(place, echo);
    const client = dial(address, { codec: lines() });
    await client.data.send('waits');
    expect(client.data.bufferedBytes).toBe(6);
    expect(await firstValueFrom(client.data)).toBe('waits');
  });

  it('K8: what is sent between the end and the next subscription goes out on the next connection', async () => {
    const { address } = await accepting(place, echo);
    const client = dial(address, { codec: lines() });
    client.data.next('first');
    expect(await firstValueFrom(client.data)).toBe('first');
    client.data.next('in between');
    await client.data.send('too');
    const received = firstValueFrom(client.data.pipe(take(3), toArray()));
    client.data.next('second');
    expect(await received).toEqual(['in between', 'too', 'second']);
  });

  it.each([
    ['its data', (client: Client<Buffer, string>) => client.data.subscribe()],
    ['its states', (client: Client<Buffer, string>) => client.subscribe()],
  ])(
    'C7: with halfOpen the sending side goes on after the FIN, for whoever was subscribed to %s',
    async (_what, subscribe) => {
      const { address, accepted } = await accepting(place, (connection) => connection.bytes.complete());
      const client = dial<Buffer, string>(address, { halfOpen: true });
      const ended = firstValueFrom(client.data, { defaultValue: 'complete' });
      const subscription = subscribe(client);
      expect(await ended).toBe('complete');
      await settled();
      expect(client.data.closed).toBe(false);
      await client.data.send('still ');
      client.data.next('there');
      client.data.complete();
      const received = await firstValueFrom((accepted[0] as Connection).bytes.pipe(toArray()));
      expect(Buffer.concat(received).toString()).toBe('still there');
      subscription.unsubscribe();
    },
  );

  it('K8: what is half-open is closed when the client is subscribed to anew', async () => {
    const { address, accepted } = await accepting(place, (connection) => connection.bytes.complete());
    const client = dial(address, { halfOpen: true });
    expect(await firstValueFrom(client.data, { defaultValue: 'complete' })).toBe('complete');
    client.data.next('for the first');
    expect(await firstValueFrom(client.data, { defaultValue: 'complete' })).toBe('complete');
    client.data.next('for the second');
    client.data.complete();
    await until(() => accepted.length === 2);
    const received = accepted.map((connection) => firstValueFrom(connection.bytes.pipe(toArray())));
    const texts = (await Promise.all(received)).map((chunks) => Buffer.concat(chunks).toString());
    expect(texts).toEqual(['for the first', 'for the second']);
  });

  it('C8: what went wrong before anybody subscribed is told to the first who does, and nothing is dialled', async () => {
    const { address, accepted } = await accepting(place, echo);
    const client = dial(address, { codec: lines() });
    client.data.error('enough');
    expect(client.data.closed).toBe(true);
    const recording = watch(client);
    expect(await recording.end()).toMatchObject({ code: 'ERR_CLOSED', cause: 'enough' });
    expect(statuses(recording)).toEqual(['connecting', 'disconnected']);
    await settled();
    expect(accepted).toEqual([]);
    // It is told once.
    const line = firstValueFrom(client.data);
    client.data.next('again');
    expect(await line).toBe('again');
  });

  it('C8: destroying what is half-open resets it', async () => {
    const { address, accepted } = await accepting(place, (connection) => connection.bytes.complete());
    const client = dial(address, { halfOpen: true });
    expect(await firstValueFrom(client.data, { defaultValue: 'complete' })).toBe('complete');
    client.data.error('enough');
    expect(client.data.closed).toBe(true);
    discard(accepted[0] as Connection);
    await firstValueFrom((accepted[0] as Connection).closed);
  });

  it('K3: a failure to connect is told as a state and as an error, to all, with the address', async () => {
    const address = await deadAddress(place);
    const client = dial(address);
    const recordings = [watch(client), watch(client)];
    const data = new Recording(client.data);
    const sent = client.data.send('in vain');
    sent.catch(() => undefined);
    for (const recording of recordings) {
      const error = await recording.end();
      expect(error).toBeInstanceOf(SocketError);
      expect(error).toMatchObject({ code: refused(place), address });
      expect(recording.values).toEqual([
        { status: 'connecting', attempt: 1, address },
        { status: 'disconnected', attempt: 1, error },
      ]);
    }
    expect(await data.end()).toMatchObject({ code: refused(place), address });
    await expect(sent).rejects.toMatchObject({ code: refused(place) });
  });

  it('K3: the clean end of the peer is told as a state and as completion, to all', async () => {
    const { address } = await accepting(place, (connection) => {
      connection.bytes.next('farewell');
      connection.bytes.complete();
      discard(connection);
    });
    const client = dial(address);
    const recording = watch(client);
    const data = new Recording(client.data);
    expect(await recording.end()).toBe('complete');
    expect(statuses(recording)).toEqual(['connecting', 'connected', 'disconnected']);
    expect(recording.values[2]).toEqual({ status: 'disconnected', attempt: 1 });
    expect(await data.end()).toBe('complete');
    expect(Buffer.concat(data.values).toString()).toBe('farewell');
  });

  it('K3: a cut connection is told as a state and as an error, to all', async () => {
    const { address, accepted } = await accepting(place);
    const client = dial(address);
    const recording = watch(client);
    const data = new Recording(client.data);
    await recording.count(2);
    await until(() => accepted.length === 1);
    (accepted[0] as Connection).bytes.next('half');
    await data.count(1);
    // A unix socket has no reset: that something was not read is what makes it an error there.
    client.data.next(Buffer.alloc(1_000_000));
    await until(() => (accepted[0] as Connection).stats.bytesRead > 0);
    (accepted[0] as Connection).destroy();
    const error = await recording.end();
    expect(statuses(recording)).toEqual(['connecting', 'connected', 'disconnected']);
    expect(error).toMatchObject({ code: 'ECONNRESET' });
    expect(recording.values[2]).toEqual({ status: 'disconnected', attempt: 1, error });
    expect(await data.end()).toBe(error);
  });

  it('K3: the end of a client without a connection reaches the one that has just been subscribed to its data', async () => {
    const client = dial(await deadAddress(place));
    for (let round = 0; round < 2; round++) {
      await expect(firstValueFrom(client.data)).rejects.toMatchObject({ code: refused(place) });
      await expect(lastValueFrom(client)).rejects.toMatchObject({ code: refused(place) });
    }
  });

  it.each([
    ['at once', {}],
    ['in a later turn', { delay: () => timer(0) }],
    ['after a delay', { delay: 1 }],
  ])('K3: `client.pipe(retry(…))` dials again %s', async (_when, config) => {
    const address = await deadAddress(place);
    const client = dial(address);
    const recording = new Recording(client.pipe(retry({ count: 3, ...config })));
    expect(await recording.end()).toMatchObject({ code: refused(place) });
    expect(statuses(recording)).toEqual(Array(4).fill(['connecting', 'disconnected']).flat());
    expect(recording.values.every(({ attempt }) => attempt === 1)).toBe(true);
  });

  it.each([
    ['at once', {}],
    ['in a later turn', { delay: () => timer(0) }],
  ])('K3: `client.data.pipe(retry(…))` dials again %s', async (_when, config) => {
    const address = await deadAddress(place);
    const client = dial(address);
    const recording = new Recording(client.data.pipe(retry({ count: 3, ...config })));
    expect(await recording.end()).toMatchObject({ code: refused(place) });
  });

  it('K3: `retry` finds the server once it is there, and `data` goes on with it', async () => {
    const address = await deadAddress(place);
    const client = dial<string>(address, { codec: lines() });
    let attempts = 0;
    const server = listen(address, place.options);
    const startServer = (): void => {
      const subscription = server.subscribe((connection) => {
        discard(connection);
        connection.bytes.next('welcome\n');
      });
      onTestFinished(() => {
        subscription.unsubscribe();
        for (const connection of server.connections) connection.destroy();
      });
    };
    const retried = client.pipe(
      retry({
        delay: () => {
          if (++attempts < 3) return of(0);
          startServer();
          return server.listening;
        },
      }),
    );
    const connected = whenConnected(retried);
    const line = firstValueFrom(client.data.pipe(retry({ delay: () => timer(0) })));
    await connected;
    expect(await line).toBe('welcome');
  });

  it('K8: `repeat` dials again after a clean end', async () => {
    const { address, accepted } = await accepting(place, (connection) => {
      connection.bytes.next('hello');
      connection.bytes.complete();
      discard(connection);
    });
    const recording = new Recording(dial(address).pipe(repeat(3)));
    expect(await recording.end()).toBe('complete');
    expect(statuses(recording)).toEqual(Array(3).fill(['connecting', 'connected', 'disconnected']).flat());
    expect(accepted).toHaveLength(3);

    const data = new Recording(dial(address).data.pipe(repeat(3)));
    expect(await data.end()).toBe('complete');
    expect(Buffer.concat(data.values).toString()).toBe('hellohellohello');
    expect(accepted).toHaveLength(6);
  });

  it('K8: a client may be subscribed to again from within its `disconnected`', async () => {
    const { address, accepted } = await accepting(place);
    const client = dial(address);
    let second: Recording<ConnectionState> | undefined;
    const first = new Recording(client, ({ status }) => {
      if (status === 'disconnected') second = watch(client);
    });
    await first.count(2);
    await until(() => accepted.length === 1);
    (accepted[0] as Connection).bytes.complete();
    discard(accepted[0] as Connection);
    expect(await first.end()).toBe('complete');
    await second?.count(2);
    expect(second && statuses(second)).toEqual(['connecting', 'connected']);
    expect(second?.endings).toEqual([]);
    await until(() => accepted.length === 2);
  });

  it('K2: a subscription that leaves with the first state, and comes again, starts afresh', async () => {
    const { address } = await accepting(place);
    const client = dial(address);
    const firsts = await firstValueFrom(
      concat(...(Array(5).fill(client.pipe(take(1))) as Observable<ConnectionState>[])).pipe(toArray()),
    );
    expect(firsts).toEqual(Array(5).fill({ status: 'connecting', attempt: 1, address }));
  });

  it('C8: destroying the client by its data tells ERR_CLOSED to all, with the reason', async () => {
    const { address } = await accepting(place);
    const client = dial(address);
    const recording = watch(client);
    const data = new Recording(client.data);
    await recording.count(2);
    client.data.error('enough');
    expect(await recording.end()).toMatchObject({ code: 'ERR_CLOSED', cause: 'enough' });
    expect(await data.end()).toMatchObject({ code: 'ERR_CLOSED', cause: 'enough' });
    expect(statuses(recording)).toEqual(['connecting', 'connected', 'disconnected']);
  });

  it('C8: destroying the client while it connects tells ERR_CLOSED to all, with the reason', async () => {
    const { address, accepted } = await accepting(place);
    const client = dial(address);
    const recording = watch(client);
    const data = new Recording(client.data);
    client.data.error('enough');
    expect(await recording.end()).toMatchObject({ code: 'ERR_CLOSED', cause: 'enough' });
    expect(await data.end()).toMatchObject({ code: 'ERR_CLOSED', cause: 'enough' });
    expect(statuses(recording)).toEqual(['connecting', 'disconnected']);
    await settled();
    for (const connection of accepted) connection.destroy();
  });

  it('C5: `sendFrom` on the data of a client that is left fails with ERR_CLOSED', async () => {
    const { address } = await accepting(place);
    const client = dial(address);
    const watching = client.subscribe();
    const sending = lastValueFrom(client.data.sendFrom(new Promise<string>(() => undefined)), { defaultValue: 0 });
    await whenConnected(client);
    watching.unsubscribe();
    await expect(sending).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });

  it('K7: whoever leaves in the turn in which they came has dialled nothing that lasts', async () => {
    const { address, server } = await accepting(place);
    const client = dial(address);
    const states: ConnectionState[] = [];
    for (let round = 0; round < 3; round++) {
      const subscription = client.subscribe((state) => states.push(state));
      const sending = client.data.send('lost');
      subscription.unsubscribe();
      await expect(sending).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    }
    await settled();
    await until(() => {
      for (const connection of server.connections) echo(connection);
      return server.connections.size === 0;
    });
    expect(states.map(({ status }) => status)).toEqual(['connecting', 'connecting', 'connecting']);
    // What was sent before is not sent on the next connection.
    const { accepted } = { accepted: firstValueFrom(server) };
    const watching = client.subscribe();
    client.data.next('kept');
    const connection = await accepted;
    expect((await firstValueFrom(connection.bytes)).toString()).toBe('kept');
    watching.unsubscribe();
    connection.destroy();
  });
});

describe.each(named(realPlaces))('a client of a plain server on %s', (_name, place) => {
  it('K1: is closed gracefully: all that was sent arrives, then the FIN', async () => {
    const { address, accepted } = await rawAccepting(place, (socket) => socket.pause());
    const client = connect(address);
    const watching = client.subscribe();
    await whenConnected(client);
    await until(() => accepted.length === 1);
    const much = Buffer.alloc(8_000_000, 'x');
    client.data.next(much);
    watching.unsubscribe();
    const received = await readAll(accepted[0] as net.Socket);
    expect(received.equals(much)).toBe(true);
    (accepted[0] as net.Socket).end();
  });

  it('K8: a new connection takes nothing from the one that is still being closed', async () => {
    const { address, accepted } = await rawAccepting(place, (socket) => socket.pause());
    const client = connect(address);
    const first = client.subscribe();
    await whenConnected(client);
    await until(() => accepted.length === 1);
    const much = Buffer.alloc(8_000_000, 'x');
    client.data.next(much);
    expect(client.data.bufferedBytes).toBeGreaterThan(0);
    first.unsubscribe();
    const second = client.subscribe();
    client.data.next('new');
    await until(() => accepted.length === 2);
    client.data.complete();
    expect((await readAll(accepted[1] as net.Socket)).toString()).toBe('new');
    expect((await readAll(accepted[0] as net.Socket)).equals(much)).toBe(true);
    for (const socket of accepted) socket.end();
    second.unsubscribe();
  });

  it('F1: what a held reader has not been given yet is not lost when the states are dialled for again', async () => {
    const { address, accepted } = await rawAccepting(place);
    const client = connect(address, { codec: lines() });
    const hold = client.data.hold();
    const data = new Recording(client.data);
    const first = new Recording(client);
    await first.count(2);
    await until(() => accepted.length === 1);
    (accepted[0] as net.Socket).end('one\ntwo\n');
    client.data.complete();
    expect(await first.end()).toBe('complete');
    const second = new Recording(client);
    await second.count(2);
    hold.release();
    expect(await data.count(2)).toEqual(['one', 'two']);
    data.subscription.unsubscribe();
    second.subscription.unsubscribe();
    for (const socket of accepted) socket.end();
  });
});

describe('a client on real sockets', () => {
  it('K3: of a name with several addresses, the one that answers is taken', async () => {
    const { address, accepted } = await rawAccepting(tcp);
    const { port } = address as { port: number };
    const client = connect({ host: 'localhost', port });
    const recording = new Recording(client);
    await recording.count(2);
    await until(() => accepted.length === 1);
    expect(recording.values[1]).toMatchObject({
      status: 'connected',
      connection: { remote: { transport: 'tcp', host: '127.0.0.1', port } },
    });
    recording.subscription.unsubscribe();
    for (const socket of accepted) socket.end();
  });

  it('K3: where none of them answers, the code is that of the first, and the message tells all', async () => {
    const { port } = (await deadAddress(tcp)) as { port: number };
    const error = await new Recording(connect({ host: 'localhost', port })).end();
    expect(error).toMatchObject({ code: 'ECONNREFUSED', address: { transport: 'tcp', host: 'localhost', port } });
    expect((error as SocketError).message).toContain(`127.0.0.1:${port}`);
  });

  it('K3: a name that does not exist is an error notification', async () => {
    const error = await new Recording(connect('tcp://no-such-host.invalid:1')).end();
    expect(['ENOTFOUND', 'EAI_AGAIN']).toContain((error as SocketError).code);
  });

  it('K3: a unix socket of which the listen queue is full is EAGAIN', async () => {
    const { address, server } = await serverAt(unix, () => undefined, { backlog: 1 });
    const hold = server.hold();
    const waiting = [connect(address), connect(address)];
    const subscriptions = waiting.map((client) => client.subscribe());
    await settled();
    expect(await new Recording(connect(address)).end()).toMatchObject({ code: 'EAGAIN', address });
    for (const subscription of subscriptions) subscription.unsubscribe();
    hold.release();
    await until(() => {
      for (const connection of server.connections) echo(connection);
      return server.connections.size === 0;
    });
  });

  it('K7: leaving while the name is looked up dials nothing', async () => {
    const { address, accepted } = await rawAccepting(tcp);
    const { port } = address as { port: number };
    const recording = new Recording(connect({ host: 'localhost', port }));
    recording.subscription.unsubscribe();
    await settled();
    expect(accepted).toEqual([]);
    expect(statuses(recording)).toEqual(['connecting']);
  });
});

/** A listener of which the queue is full: who dials it now has to wait. */
async function fullServer(place: Place) {
  const { server, address, subscription } = await serverAt(place, () => undefined, { backlog: 1 });
  const hold = server.hold();
  // Linux takes one more than it is asked for.
  const clients = Array.from({ length: place.name === 'tcp' ? 2 : 1 }, () => connect(address, place.options));
  for (const client of clients) {
    const connected = whenConnected(client);
    const watching = client.subscribe({ error: () => undefined });
    onTestFinished(() => watching.unsubscribe());
    await connected;
  }
  return { server, address, hold, subscription };
}

describe.each(named([tcp, memory()]))('a client of a listener on %s that is full', (_name, place) => {
  it('K7: leaving while connecting aborts the attempt', async () => {
    const { address } = await fullServer(place);
    const client = connect(address, place.options);
    const recording = new Recording(client);
    const data = new Recording(client.data);
    const sending = client.data.send('never');
    const other = client.data.sendFrom(['never']);
    const relayed = new Recording(other);
    await settled();
    expect(statuses(recording)).toEqual(['connecting']);
    recording.subscription.unsubscribe();
    await settled();
    data.subscription.unsubscribe();
    await expect(sending).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    expect(await relayed.end()).toMatchObject({ code: 'ERR_CLOSED' });
    await settled();
    expect(statuses(recording)).toEqual(['connecting']);
    expect(recording.endings).toEqual([]);
    expect(data.endings).toEqual([]);
    // That no socket and no timer is left is judged by the check after the test.
  });

  it('K7: those who stay keep the attempt', async () => {
    const { address, hold } = await fullServer(place);
    const client = connect(address, place.options);
    const leaving = new Recording(client);
    const staying = new Recording(client);
    leaving.subscription.unsubscribe();
    await settled();
    expect(statuses(staying)).toEqual(['connecting']);
    hold.release();
    await staying.count(2);
    expect(statuses(staying)[1]).toBe('connected');
    staying.subscription.unsubscribe();
  });

  it('K3: an attempt that still waits when the listener is closed is refused', async () => {
    const { address, subscription } = await fullServer(place);
    const client = connect(address, place.options);
    const recording = new Recording(client);
    await settled();
    expect(statuses(recording)).toEqual(['connecting']);
    subscription.unsubscribe();
    // TCP finds out when it tries again, after a second.
    expect(await recording.end()).toMatchObject({ code: 'ECONNREFUSED' });
    expect(statuses(recording)).toEqual(['connecting', 'disconnected']);
  });

  it('K7: an attempt that takes longer than `connectTimeout` fails with ERR_TIMEOUT_CONNECT', async () => {
    const { address } = await fullServer(place);
    const client = connect(address, { ...place.options, connectTimeout: 50 });
    const recording = new Recording(client);
    const sending = client.data.send('never');
    const error = await recording.end();
    expect(error).toMatchObject({ code: 'ERR_TIMEOUT_CONNECT', address });
    expect(recording.values).toEqual([
      { status: 'connecting', attempt: 1, address },
      { status: 'disconnected', attempt: 1, error },
    ]);
    await expect(sending).rejects.toBe(error);
  });
});

describe('a client in virtual time', () => {
  /** In virtual time: what is on the transport and on RxJS's schedulers happens in it. */
  const virtually = (test: (scheduler: TestScheduler) => void): void => {
    const scheduler = new TestScheduler((actual, expected) => expect(actual).toEqual(expected));
    scheduler.run(() => test(scheduler));
  };

  const letters = (client: Observable<ConnectionState>): Observable<string> =>
    client.pipe(map((state) => (state.status === 'disconnected' && state.error ? state.error.code : state.status)));

  it('K7: `connectTimeout` gives an attempt up after exactly its time', () => {
    virtually((scheduler) => {
      const transport = memoryTransport();
      const server = listen('memory:full', { transport, backlog: 1, claimTimeout: 0 });
      server.hold();
      server.subscribe();
      connect('memory:full', { transport, claimTimeout: 0 }).subscribe();
      const client = connect('memory:full', { transport, connectTimeout: 700 });
      scheduler.expectObservable(letters(client).pipe(take(2)), '10ms ^ 999ms !').toBe('10ms a 699ms (b|)', {
        a: 'connecting',
        b: 'ERR_TIMEOUT_CONNECT',
      });
    });
  });

  it('K7: it is 10 seconds unless said otherwise, and none with 0', () => {
    virtually((scheduler) => {
      const transport = memoryTransport();
      const server = listen('memory:full', { transport, backlog: 1, claimTimeout: 0 });
      server.hold();
      server.subscribe();
      connect('memory:full', { transport, claimTimeout: 0 }).subscribe();
      const values = { a: 'connecting', b: 'ERR_TIMEOUT_CONNECT' };
      scheduler
        .expectObservable(letters(connect('memory:full', { transport })).pipe(take(2)))
        .toBe('a 9999ms (b|)', values);
      scheduler
        .expectObservable(letters(connect('memory:full', { transport, connectTimeout: 0 })), '^ 99999ms !')
        .toBe('a', values);
    });
  });

  it('K7: it does not end a connection that was made in time', () => {
    virtually((scheduler) => {
      const transport = memoryTransport();
      listen('memory:open', { transport, claimTimeout: 0 }).subscribe();
      const client = connect('memory:open', { transport, connectTimeout: 700 });
      scheduler.expectObservable(letters(client), '5ms ^ 5s !').toBe('5ms (ab)', { a: 'connecting', b: 'connected' });
    });
  });

  it('K3: `retry` with a delay dials again in virtual time', () => {
    virtually((scheduler) => {
      const client = connect('memory:nobody', { transport: memoryTransport() });
      const values = { a: 'connecting', b: 'ECONNREFUSED' };
      const states = letters(client.pipe(retry({ count: 2, delay: 100 }))).pipe(take(6));
      scheduler.expectObservable(states).toBe('(ab) 96ms (ab) 96ms (ab|)', values);
    });
  });
});

describe('a client of a name that has several addresses', () => {
  /** Has `name` looked up by hand; gives what answers. */
  function lookUp(name: string): { answer(...addresses: string[]): void; readonly asked: number } {
    const waiting: ((addresses: { address: string; family: number }[]) => void)[] = [];
    let asked = 0;
    const real = dns.lookup as unknown as (...args: unknown[]) => void;
    const spy = vi.spyOn(dns, 'lookup') as unknown as { mockImplementation(lookup: (...args: any[]) => void): void };
    spy.mockImplementation((host: string, options: unknown, done: (error: null, addresses: unknown) => void) => {
      if (host !== name) {
        real(host, options, done);
        return;
      }
      asked++;
      waiting.push((addresses) => done(null, addresses));
    });
    onTestFinished(() => {
      vi.restoreAllMocks();
    });
    return {
      answer: (...addresses) => waiting.shift()?.(addresses.map((address) => ({ address, family: 4 }))),
      get asked() {
        return asked;
      },
    };
  }

  it('K16: tells the failure of each, under the code of the first', async () => {
    const dead = (await deadAddress(tcp)) as Address & { transport: 'tcp' };
    const names = lookUp('several.test');
    const recording = new Recording(connect({ host: 'several.test', port: dead.port }));
    await until(() => names.asked === 1);
    names.answer('127.0.0.1', '127.0.0.2', '127.0.0.3');
    const error = (await recording.end()) as SocketError;
    expect(error.code).toBe('ECONNREFUSED');
    for (const host of ['127.0.0.1', '127.0.0.2', '127.0.0.3']) expect(error.message).toContain(`${host}:${dead.port}`);
    expect(error.address).toEqual({ transport: 'tcp', host: 'several.test', port: dead.port });
    expect(statuses(recording)).toEqual(['connecting', 'disconnected']);
  });

  it('K16: connects to the first that answers', async () => {
    const { address, accepted } = await accepting(tcp);
    const { port } = address as Address & { transport: 'tcp' };
    const names = lookUp('several.test');
    const client = connect({ host: 'several.test', port });
    const connected = whenConnected(client);
    const watching = client.subscribe();
    await until(() => names.asked === 1);
    names.answer('127.0.0.2', '127.0.0.1');
    expect((await connected).remote).toMatchObject({ host: '127.0.0.1', port });
    await until(() => accepted.length === 1);
    watching.unsubscribe();
  });

  it('K7: leaving while the name is looked up aborts the attempt', async () => {
    const { address, accepted } = await accepting(tcp);
    const { port } = address as Address & { transport: 'tcp' };
    const names = lookUp('slow.test');
    const client = connect({ host: 'slow.test', port });
    const recording = new Recording(client);
    const sending = client.data.send('never');
    await until(() => names.asked === 1);
    recording.subscription.unsubscribe();
    await expect(sending).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    names.answer('127.0.0.1');
    await settled();
    expect(statuses(recording)).toEqual(['connecting']);
    expect(recording.endings).toEqual([]);
    expect(accepted).toEqual([]);
  });

  it('K7: a look-up that takes longer than `connectTimeout` fails with ERR_TIMEOUT_CONNECT', async () => {
    const names = lookUp('slow.test');
    const recording = new Recording(connect({ host: 'slow.test', port: 1 }, { connectTimeout: 20 }));
    expect(await recording.end()).toMatchObject({ code: 'ERR_TIMEOUT_CONNECT' });
    names.answer('127.0.0.1');
    await settled();
    expect(recording.endings).toHaveLength(1);
  });

  it('K3: a name that nobody knows fails with ENOTFOUND', async () => {
    const spy = vi.spyOn(dns, 'lookup') as unknown as { mockImplementation(lookup: (...args: any[]) => void): void };
    onTestFinished(() => {
      vi.restoreAllMocks();
    });
    spy.mockImplementation((host: string, _options: unknown, done: (error: Error) => void) => {
      process.nextTick(done, Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND' }));
    });
    const recording = new Recording(connect('tcp://nobody.test:1'));
    expect(await recording.end()).toMatchObject({ code: 'ENOTFOUND' });
  });
});

describe.each(named(realPlaces))('a client over %s that is left in the TLS handshake', (_name, place) => {
  it('K7: leaves no socket, no state and no promise behind', async () => {
    // It accepts and says nothing.
    const { address, accepted } = await rawAccepting(place);
    const client = connect(address, { tls: { servername: 'localhost' } });
    const recording = new Recording(client);
    const sending = client.data.send('never');
    await until(() => accepted.length === 1);
    const gone = new Promise((resolve) => (accepted[0] as net.Socket).once('close', resolve));
    (accepted[0] as net.Socket).resume().once('end', () => (accepted[0] as net.Socket).end());
    recording.subscription.unsubscribe();
    await expect(sending).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await gone;
    await settled();
    expect(statuses(recording)).toEqual(['connecting']);
    expect(recording.endings).toEqual([]);
  });
});
