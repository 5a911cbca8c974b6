import type net from 'node:net';
import { concat, firstValueFrom, type Observable, repeat, take, toArray } from 'rxjs';
import { connect, type Connection, type ConnectionState } from 'rxjs-sockets';
import { type Codec, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { places, realPlaces, named } from '../support/transport/places.js';
import { readAll } from '../support/sockets/read-socket.js';
import { Recording } from '../support/recording/record.js';
import { dialler, watch } from '../support/client/watched-client.js';
import { until } from '../support/scheduling/event-loop.js';
import { accepting, echo, statuses, discard, whenConnected, rawAccepting } from '../support/client/dialled-servers.js';

/** A codec of lines. Each decoder and each encoder numbers its own lines. */
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

describe.each(named(places))('a client on %s', (_name, place) => {
  const dial = dialler(place);

  it('K8: after the last subscriber has left, a new subscriber gets a new connection', async () => {
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

  it('K8: each connection has its own decoder and encoder', async () => {
    const { address, accepted } = await accepting(place, (connection) => {
      connection.bytes.subscribe(connection.bytes);
      // The echo of the client's first line completes the unfinished frame.
      connection.bytes.next('ab\nunfinished');
    });
    const client = dial<string>(address, { codec: counted() });
    for (let round = 0; round < 3; round++) {
      const watching = client.subscribe();
      await whenConnected(client);
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

  it('D3: a frame that cannot be decoded ends the connection, and the next subscription dials again', async () => {
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

  it('D3: after a frame that cannot be decoded, the states of the client end with the same error as `data`', async () => {
    const { address } = await accepting(place, (connection) => {
      discard(connection);
      connection.bytes.next('too long for it\n');
    });
    const client = dial<string>(address, { codec: lines({ maxLength: 5 }), closeTimeout: 50 });
    const recording = watch(client);
    const data = new Recording(client.data);
    const error = await data.end();
    expect(error).toMatchObject({ code: 'ERR_FRAME_TOO_LONG' });
    expect(await recording.end()).toBe(error);
    expect(statuses(recording)).toEqual(['connecting', 'connected', 'disconnected']);
  });

  it('K8: values sent between the end of the client and the next subscription go out on the next connection', async () => {
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

  it("K8: subscribing to a client again closes the client's old, half-open connection", async () => {
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

  it('K8: with `repeat`, a client dials again after a clean end', async () => {
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

  it('K8: you can subscribe to a client again while it reports the state `disconnected`', async () => {
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

  it('K2: if a subscriber leaves at the first state, the next subscriber also gets the first state', async () => {
    const { address } = await accepting(place);
    const client = dial(address);
    const firsts = await firstValueFrom(
      concat(...(Array(5).fill(client.pipe(take(1))) as Observable<ConnectionState>[])).pipe(toArray()),
    );
    expect(firsts).toEqual(Array(5).fill({ status: 'connecting', attempt: 1, address }));
  });
});

describe.each(named(realPlaces))('a client of a plain server on %s', (_name, place) => {
  it('K1: when the last subscriber leaves, the server gets everything that the client has sent, then the FIN', async () => {
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

  it('K8: values queued on a connection that is still closing are not sent on the new connection', async () => {
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

  it('F1: when the hold on `data` is released, its subscriber gets the values of the old connection, even if a new subscription has already dialled', async () => {
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
