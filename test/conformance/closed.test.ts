import { firstValueFrom } from 'rxjs';
import { type Closed, connect, type Connection, type SocketError } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { allPlaces as places, realPlaces, type Place } from '../support/transport/places.js';
import { acceptedAt, clientAt, pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { abort, readAll } from '../support/sockets/read-socket.js';
import { record, type Recording } from '../support/recording/record.js';
import { scripted, type ScriptedSocket } from '../support/transport/scripted-transport.js';
import { turns, until } from '../support/scheduling/event-loop.js';
import { usesInternals } from '../support/transport/node/internals/uses-internals.js';

const codec = lines();
type Pair = { near: Connection<string, string>; far: Connection<string, string> };

interface Way {
  readonly name: string;
  readonly reason: Closed['reason'];
  readonly code: SocketError['code'] | undefined | ((place: Place) => SocketError['code'] | undefined);
  readonly options?: { halfOpenTimeout?: number; closeTimeout?: number; idleTimeout?: number; maxBuffered?: number };
  act(pair: Pair): void;
}

const ways: readonly Way[] = [
  {
    name: 'both sides call complete()',
    reason: 'finished',
    code: undefined,
    act: ({ near, far }) => {
      near.data.complete();
      far.data.complete();
    },
  },
  {
    name: 'the peer calls complete() before this side',
    reason: 'finished',
    code: undefined,
    act: ({ near, far }) => {
      far.data.complete();
      near.data.complete();
    },
  },
  {
    name: 'close()',
    reason: 'finished',
    code: undefined,
    act: ({ near, far }) => void Promise.all([near.close(), far.close()]),
  },
  {
    name: 'the peer calls close()',
    reason: 'finished',
    code: undefined,
    act: ({ near, far }) => {
      void far.close();
      near.data.complete();
    },
  },
  { name: 'destroy()', reason: 'destroyed', code: 'ERR_CLOSED', act: ({ near }) => near.destroy() },
  { name: 'error() of the channel', reason: 'destroyed', code: 'ERR_CLOSED', act: ({ near }) => near.data.error('x') },
  {
    name: 'destroy() after complete()',
    reason: 'destroyed',
    code: 'ERR_CLOSED',
    act: ({ near }) => {
      near.data.complete();
      near.destroy();
    },
  },
  {
    name: 'destroy() while the connection is closing',
    reason: 'destroyed',
    code: 'ERR_CLOSED',
    act: ({ near }) => {
      void near.close();
      near.destroy();
    },
  },
  {
    name: 'a value that cannot be encoded',
    reason: 'failed',
    code: 'ERR_FRAME_INVALID',
    act: ({ near }) => near.data.next('\n'),
  },
  {
    name: 'an overflow',
    reason: 'failed',
    code: 'ERR_OVERFLOW',
    options: { maxBuffered: 65_536 },
    act: ({ near }) => {
      for (let index = 0; index < 200; index++) near.bytes.next(Buffer.alloc(60_000));
    },
  },
  {
    name: 'closeTimeout',
    reason: 'failed',
    code: 'ERR_TIMEOUT_CLOSE',
    options: { closeTimeout: 10 },
    act: ({ near }) => void near.close(),
  },
  {
    name: 'halfOpenTimeout',
    reason: 'failed',
    code: 'ERR_TIMEOUT_HALF_OPEN',
    options: { halfOpenTimeout: 10 },
    act: ({ far }) => far.data.complete(),
  },
  {
    name: 'idleTimeout',
    reason: 'failed',
    code: 'ERR_TIMEOUT_IDLE',
    options: { idleTimeout: 10 },
    act: () => undefined,
  },
];

describe.each(places)('closed, over $name', (place) => {
  describe.each([true, false])('with a subscriber: %s', (subscribed) => {
    it.each(ways)('C12: closed emits exactly once: $name', async ({ act, options, reason, code }) => {
      const pair = await pairOf(place, options);
      const { near } = pair;
      if (subscribed) record(near.data);
      const early = record(near.closed);
      act(pair);
      expect(await early.end()).toBe('complete');
      await turns();
      near.destroy();
      await near.close();
      const late = record(near.closed);
      expect([early.values.length, late.values, late.endings]).toEqual([1, early.values, ['complete']]);
      const expected = typeof code === 'function' ? code(place) : code;
      expect(early.values[0]).toMatchObject({
        reason,
        ...(expected === undefined ? {} : { error: { code: expected } }),
      });
      expect('error' in early.values[0]!).toBe(expected !== undefined);
    });
  });

  it('C12: closed reports the byte counts of both directions', async () => {
    const { near, far } = await pairAt(place, { codec });
    const recordings = [record(near.data), record(far.data)];
    near.data.next('four');
    far.data.next('sixsix');
    near.data.complete();
    far.data.complete();
    for (const recording of recordings) await recording.end();
    expect(await firstValueFrom(near.closed)).toEqual({ reason: 'finished', bytesRead: 7, bytesWritten: 5 });
    expect(await firstValueFrom(far.closed)).toEqual({ reason: 'finished', bytesRead: 5, bytesWritten: 7 });
    expect(near.stats).toMatchObject({ bytesRead: 7, bytesWritten: 5 });
  });

  it('C12: closed reports the end even if received data has not been read', async () => {
    const { near, far } = await pairAt(place, { codec });
    const hold = near.data.hold();
    const recording = record(near.data);
    far.data.next('unread');
    far.data.complete();
    near.data.complete();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
    hold.release();
    expect([recording.values, recording.endings]).toEqual([['unread'], ['complete']]);
  });

  it('C12: closed reports the end of a dialled connection, whether the subscribers of the client leave or the server destroys the connection', async () => {
    const arrived: Connection[] = [];
    const { address } = await serverAt(place, (connection) => {
      arrived.push(connection);
      connection.data.subscribe({ error: () => undefined, complete: () => connection.data.complete() });
    });
    const client = connect(address, place.options);
    let ending: Recording<Closed> | undefined;
    const subscription = client.subscribe((state) => {
      if (state.status === 'connected') ending = record(state.connection.closed);
    });
    await until(() => ending !== undefined && arrived.length === 1);
    subscription.unsubscribe();
    expect(await ending?.end()).toBe('complete');
    expect(ending?.values).toMatchObject([{ reason: 'finished' }]);

    const { connection } = await clientAt(place, address);
    await until(() => arrived.length === 2);
    arrived[1]?.destroy();
    // A unix socket has no reset. With TLS, a missing close_notify shows that the server aborted (T7).
    const code = place.name === 'tls-unix' ? 'ERR_TLS' : 'ECONNRESET';
    const isToldApart = place.name === 'tls-unix' ? usesInternals : place.name !== 'unix';
    expect(await firstValueFrom(connection.closed)).toMatchObject(
      isToldApart ? { reason: 'failed', error: { code } } : { reason: 'finished' },
    );
  });
});

describe('closed, with a scripted kernel', () => {
  it.each([
    ['before any other event', () => undefined],
    ["after the peer's FIN, but no other event", (socket: ScriptedSocket) => socket.finish()],
  ])('C12: a connection fails with ECONNABORTED if its socket closes %s', async (_, act) => {
    const { near, socket } = await scripted({ halfOpen: true });
    act(socket);
    socket.close();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed', error: { code: 'ECONNABORTED' } });
  });
});

/** Connects two half-open ends. Only the near end gets `options`. The far end reads nothing. */
async function pairOf(place: Place, options: Way['options']): Promise<Pair> {
  const arrived: Connection<string, string>[] = [];
  const { address } = await serverAt<string, string>(place, (far) => arrived.push(far), { codec, halfOpen: true });
  const { connection } = await clientAt<string, string>(place, address, { codec, halfOpen: true, ...options });
  await until(() => arrived.length === 1);
  return { near: connection, far: arrived[0]! };
}

describe.each(realPlaces)('closed, against node:net over $name', (place) => {
  it('C12: closed reports `finished` if a plain client and this side both end cleanly', async () => {
    const { near, raw } = await acceptedAt(place, { codec });
    const ending = record(near.closed);
    raw.end('a\n');
    near.data.next('b');
    near.data.complete();
    expect(String(await readAll(raw))).toBe('b\n');
    await ending.end();
    expect(ending.values).toEqual([{ reason: 'finished', bytesRead: 2, bytesWritten: 2 }]);
  });

  it.each([true, false])(
    'C12: closed reports `failed` with ECONNRESET if a plain client resets the connection; with a subscriber: %s',
    async (yes) => {
      const { near, raw } = await acceptedAt(place, { codec });
      if (yes) record(near.data);
      const ending = record(near.closed);
      await abort(raw, near);
      await ending.end();
      expect(ending.values).toMatchObject([
        { reason: 'failed', error: { code: 'ECONNRESET', cause: { code: 'ECONNRESET' } } },
      ]);
    },
  );

  it('C12: closed reports `failed` if a plain client closes the connection while this side is still writing', async () => {
    const { near, raw } = await acceptedAt(place);
    const ending = record(near.closed);
    raw.destroy();
    while (ending.values.length === 0) {
      near.data.next(Buffer.alloc(1_000));
      await turns(1);
    }
    expect(ending.values[0]).toMatchObject({ reason: 'failed' });
    expect(['EPIPE', 'ECONNRESET']).toContain(ending.values[0]?.error?.code);
  });
});
