import type net from 'node:net';
import fc from 'fast-check';
import { firstValueFrom, from, lastValueFrom, Observable } from 'rxjs';
import {
  Broadcast,
  type Channel,
  connect,
  type Connection,
  type ConnectOptions,
  type ListenOptions,
  type SocketError,
} from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { type Place, realPlaces } from '../support/transport/places.js';
import { acceptedAt, dialledAt } from '../support/connection/connected-pairs.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';

type Options = ListenOptions<any, any> & ConnectOptions<any, any>;

const places = realPlaces.map((place) => [place.name, place] as const);

const roles: readonly (readonly [
  string,
  (place: Place, options: Options) => Promise<{ near: Connection<any, any>; raw: net.Socket }>,
])[] = [
  ['accepted', (place, options) => acceptedAt<any, any>(place, options)],
  ['dialled', (place, options) => dialledAt<any, any>(place, options)],
];

const whats = places.flatMap(([name, place]) => roles.map(([role, make]) => [role, name, place, make] as const));

const ways: readonly (readonly [
  string,
  (channel: Channel<any, any>, near: Connection<any, any>) => (value: Buffer) => void,
])[] = [
  ['next', (channel) => (value) => channel.next(value)],
  ['send', (channel) => (value) => void channel.send(value).catch(() => undefined)],
  [
    'a plain Observable',
    (channel) => (value) => void channel.sendFrom(from([value])).subscribe({ error: () => undefined }),
  ],
  [
    'a Broadcast',
    (_channel, near) => {
      const broadcast = new Broadcast();
      broadcast.join(near);
      return (value) => broadcast.next(value);
    },
  ],
];

describe.each(whats)('a connection that was %s over %s, whose peer never reads', (_role, _name, place, make) => {
  it.each(ways)(
    "C4: with overflow 'drop', the bytes queued by %s stay within maxBuffered plus one value, and the dropped values are counted",
    async (_way, sender) => {
      const { near, raw } = await make(place, { overflow: 'drop', maxBuffered: 200_000 });
      raw.pause();
      const send = sender(near.bytes, near);
      const value = Buffer.alloc(7_000, 'v');
      let sent = 0;
      let most = 0;
      while (near.data.dropped < 100) {
        for (let i = 0; i < 5; i++) {
          send(value);
          sent++;
          most = Math.max(most, near.data.bufferedBytes);
        }
        await turns(1);
      }
      expect(most).toBeGreaterThan(150_000);
      expect(most).toBeLessThanOrEqual(200_000 + value.length);
      near.data.complete();
      const received = await readAll(raw);
      expect(received.length).toBe((sent - near.data.dropped) * value.length);
      raw.end();
    },
  );

  it.each(ways)(
    "C4: with overflow 'error', an overflow by %s destroys the connection, and every subscriber gets the error",
    async (_way, sender) => {
      const { near, raw } = await make(place, { maxBuffered: 200_000 });
      raw.pause();
      const data = record(near.data);
      const send = sender(near.bytes, near);
      const value = Buffer.alloc(7_000, 'v');
      let most = 0;
      while (!near.data.closed) {
        send(value);
        most = Math.max(most, near.data.bufferedBytes);
        await turns(1);
      }
      expect(most).toBeLessThanOrEqual(200_000 + value.length);
      expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed', error: { code: 'ERR_OVERFLOW' } });
      expect(data.endings).toMatchObject([{ code: 'ERR_OVERFLOW' }]);
      expect(near.data.bufferedBytes).toBe(0);
      await expect(near.data.send(value)).rejects.toMatchObject({ code: 'ERR_OVERFLOW' });
    },
  );

  it("C4: with overflow 'error' and with overflow 'drop', the message of ERR_OVERFLOW says what to do instead", async () => {
    const wayOut = /maxBuffered \(200000 bytes\).* sendFrom .*await send.* overflow /;
    for (const overflow of ['error', 'drop'] as const) {
      const { near, raw } = await make(place, { overflow, maxBuffered: 200_000 });
      raw.pause();
      const errors: SocketError[] = [];
      while (errors.length === 0) {
        near.data.send(Buffer.alloc(7_000)).catch((error: unknown) => errors.push(error as SocketError));
        await turns(1);
      }
      expect(errors.at(-1)).toMatchObject({ code: 'ERR_OVERFLOW', message: expect.stringMatching(wayOut) });
      if (overflow === 'drop') near.destroy();
      else expect((await firstValueFrom(near.closed)).error?.message).toMatch(wayOut);
    }
  });

  it('C4: `send` rejects with ERR_OVERFLOW for the value that overflows, and for earlier values that are not yet written', async () => {
    const { near, raw } = await make(place, { maxBuffered: 200_000 });
    raw.pause();
    const codes: string[] = [];
    const sends: Promise<unknown>[] = [];
    while (!near.data.closed) {
      const sending = near.data.send(Buffer.alloc(7_000)).then(
        () => codes.push('sent'),
        (error: unknown) => codes.push((error as SocketError).code),
      );
      sends.push(sending);
      await turns(1);
    }
    await Promise.all(sends);
    expect(new Set(codes)).toEqual(new Set(['sent', 'ERR_OVERFLOW']));
    expect(codes.indexOf('ERR_OVERFLOW')).toBeGreaterThan(codes.lastIndexOf('sent'));
  });

  it('C4: `sendFrom` pulls no further value while highWaterMark, far below maxBuffered, is reached', async () => {
    const { near, raw } = await make(place, { maxBuffered: 500_000, highWaterMark: 100_000 });
    raw.pause();
    let pulled = 0;
    const value = Buffer.alloc(7_000, 'v');
    function* endless(): Generator<Buffer> {
      for (;;) {
        pulled++;
        yield value;
      }
    }
    const sending = near.data.sendFrom(endless()).subscribe({ error: () => undefined });
    let before = -1;
    while (pulled !== before) {
      before = pulled;
      await turns(100);
      expect(near.data.bufferedBytes).toBeLessThanOrEqual(100_000 + value.length);
    }
    sending.unsubscribe();
    expect(near.data.closed).toBe(false);
    near.destroy();
  });
});

describe.each(places)('a server over %s with a slow peer', (_name, place) => {
  it('C14: values for the slow peer are dropped, while the other peers get every message without delay', async () => {
    const slow = await acceptedAt<string, string>(place, { codec: lines(), maxBuffered: 300_000, overflow: 'drop' });
    slow.raw.pause();
    const others = await Promise.all(
      Array.from({ length: 3 }, () => acceptedAt<string, string>(place, { codec: lines() })),
    );
    const counts = others.map(() => 0);
    for (const [index, { raw }] of others.entries()) raw.on('data', (chunk) => (counts[index]! += chunk.length));
    const line = 'x'.repeat(9_999);
    let most = 0;
    for (let round = 1; slow.near.data.dropped < 200; round++) {
      slow.near.data.next(line);
      for (const { near } of others) near.data.next(line);
      most = Math.max(most, slow.near.data.bufferedBytes);
      // Each of the other peers gets the line after a bounded number of turns.
      let looks = 0;
      while (!counts.every((count) => count === round * 10_000)) {
        await turns(1);
        if (++looks > 1_000) throw new Error(`round ${round}: ${counts.join()}`);
      }
    }
    expect(most).toBeLessThanOrEqual(300_000 + 10_000);
    expect(others.every(({ near }) => near.data.dropped === 0)).toBe(true);
    slow.near.destroy();
  });
});

describe.each(places)('a client over %s that is not connected', (_name, place) => {
  async function waiting(options: ConnectOptions<any, any>) {
    const address = await rawServer(place, (socket) => socket.end().resume());
    const client = connect<any, any>(address, { reconnect: { delay: 1_000_000 }, ...options });
    const states = record(client);
    onTestFinished(() => states.subscription.unsubscribe());
    await until(() => states.values.at(-1)?.status === 'waiting');
    return { client, states };
  }

  it("K4: with overflow 'drop', values beyond maxBuffered are dropped and counted, and a `send` of such a value rejects", async () => {
    const { client } = await waiting({ overflow: 'drop', maxBuffered: 100 });
    client.data.next(Buffer.alloc(60));
    client.data.next(Buffer.alloc(60));
    client.data.next(Buffer.alloc(40));
    expect(client.data.dropped).toBe(1);
    expect(client.data.bufferedBytes).toBe(100);
    await expect(client.data.send(Buffer.alloc(1))).rejects.toMatchObject({ code: 'ERR_OVERFLOW' });
    expect(client.data.dropped).toBe(2);
    expect(client.data.closed).toBe(false);
  });

  it("K4: with overflow 'error', a value beyond maxBuffered ends the client, and every subscriber gets the error", async () => {
    const { client, states } = await waiting({ maxBuffered: 100 });
    const data = record(client.data);
    const kept = client.data.send(Buffer.alloc(60));
    const over = client.data.send(Buffer.alloc(60));
    await expect(over).rejects.toMatchObject({ code: 'ERR_OVERFLOW' });
    await expect(kept).rejects.toMatchObject({ code: 'ERR_OVERFLOW' });
    expect(states.endings).toMatchObject([{ code: 'ERR_OVERFLOW' }]);
    expect(data.endings).toMatchObject([{ code: 'ERR_OVERFLOW' }]);
    expect(client.data.bufferedBytes).toBe(0);
  });

  it('K4: one value larger than maxBuffered is queued if nothing else is queued', async () => {
    const { client } = await waiting({ maxBuffered: 100, overflow: 'drop' });
    client.data.next(Buffer.alloc(1_000));
    client.data.next(Buffer.alloc(1));
    expect(client.data.bufferedBytes).toBe(1_000);
    expect(client.data.dropped).toBe(1);
  });

  it("K4: with whileDisconnected 'error', sending ends the client with ERR_CLOSED", async () => {
    const { client, states } = await waiting({ whileDisconnected: 'error' });
    await expect(client.data.send('too early')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    expect(states.endings).toMatchObject([{ code: 'ERR_CLOSED' }]);
  });

  it('K4: `sendFrom` pulls values from its source only until highWaterMark is reached', async () => {
    const { client } = await waiting({ maxBuffered: 10_000, highWaterMark: 1_000 });
    let pulled = 0;
    const source = (function* () {
      for (;;) yield Buffer.alloc((pulled++, 300));
    })();
    const sending = client.data.sendFrom(source).subscribe({ error: () => undefined });
    await turns();
    expect(pulled).toBeLessThan(8);
    expect(client.data.bufferedBytes).toBeLessThanOrEqual(1_300);
    sending.unsubscribe();
  });
});

it('C4: whatever mixture of ways the program uses to send, bufferedBytes stays within maxBuffered plus one value, whether the client is connected or not', async () => {
  type Act = readonly ['next' | 'send' | 'publish' | 'framed', number] | 'turn' | 'read' | 'cut';
  const act: fc.Arbitrary<Act> = fc.oneof(
    {
      weight: 10,
      arbitrary: fc.tuple(
        fc.constantFrom('next' as const, 'send' as const, 'publish' as const, 'framed' as const),
        fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 30_000 })),
      ),
    },
    { weight: 3, arbitrary: fc.constantFrom('turn' as const, 'read' as const) },
    { weight: 1, arbitrary: fc.constant('cut' as const) },
  );
  const place = realPlaces[0]!;
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 60 }), async (acts) => {
      const sockets: net.Socket[] = [];
      const address = await rawServer(place, (socket) => {
        socket.pause();
        sockets.push(socket);
      });
      const maxBuffered = 40_000;
      const client = connect(address, { maxBuffered, overflow: 'drop', reconnect: { delay: 0 } });
      const broadcast = new Broadcast();
      const watching = client.subscribe((state) => {
        if (state.status === 'connected') broadcast.join(state.connection);
      });
      const framed = client.data.framed(lines());
      let largest = 0;
      for (const step of acts) {
        if (step === 'turn') await turns(2);
        else if (step === 'read') sockets.at(-1)?.resume();
        else if (step === 'cut') sockets.at(-1)?.destroy();
        else {
          const [way, size] = step;
          largest = Math.max(largest, size + 1);
          if (way === 'publish') broadcast.next('x'.repeat(size));
          else if (way === 'framed') framed.next('x'.repeat(size));
          else if (way === 'next') client.data.next('x'.repeat(size));
          else client.data.send(Buffer.alloc(size)).catch(() => undefined);
        }
        expect(client.data.bufferedBytes).toBeLessThanOrEqual(maxBuffered + largest);
      }
      watching.unsubscribe();
      for (const socket of sockets) socket.destroy();
    }),
    { numRuns: 60 },
  );
});

it('C5: if `sendFrom` sends a plain Observable that is faster than the peer, `sendFrom` fails with ERR_OVERFLOW', async () => {
  const { near, raw } = await acceptedAt(realPlaces[0]!, { maxBuffered: 100_000 });
  raw.pause();
  const source = new Observable<Buffer>((subscriber) => {
    while (!subscriber.closed) subscriber.next(Buffer.alloc(10_000));
  });
  await expect(lastValueFrom(near.data.sendFrom(source))).rejects.toMatchObject({ code: 'ERR_OVERFLOW' });
});
