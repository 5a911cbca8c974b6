import net from 'node:net';
import { firstValueFrom, lastValueFrom, take, toArray } from 'rxjs';
import { backoff, connect, type ConnectionState, listen, SocketError } from 'rxjs-sockets';
import { lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { memory, type Place, places, realPlaces } from '../support/transport/places.js';

type State = ConnectionState<string, string>;

const soon = backoff({ initial: 5, max: 20 });

async function serving(place: Place, address: Parameters<typeof listen>[0], name: string) {
  const server = listen<string, string>(address, { ...place.options, codec: lines() });
  const bound = firstValueFrom(server.listening);
  const subscription = server.subscribe(({ data }) => {
    data.subscribe({ next: (line) => data.next(`${name} ${line}`), error: () => undefined });
  });
  const stop = (): void => {
    subscription.unsubscribe();
    for (const connection of server.connections) connection.destroy();
  };
  onTestFinished(stop);
  return { server, address: await bound, stop };
}

function watched(place: Place, address: Parameters<typeof connect>[0], options: object = {}) {
  const client = connect<string, string>(address, { ...place.options, codec: lines(), reconnect: soon, ...options });
  const states: State[] = [];
  const received: string[] = [];
  let wake: () => void = () => undefined;
  let ended: 'open' | 'complete' | SocketError = 'open';
  const subscription = client.subscribe({
    next: (state) => {
      states.push(state);
      wake();
    },
    error: (error: unknown) => {
      ended = error as SocketError;
      wake();
    },
    complete: () => {
      ended = 'complete';
      wake();
    },
  });
  subscription.add(
    client.data.subscribe({
      next: (line) => {
        received.push(line);
        wake();
      },
      error: () => undefined,
    }),
  );
  onTestFinished(() => {
    subscription.unsubscribe();
  });
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return {
    client,
    states,
    received,
    subscription,
    until,
    ended: () => ended,
    count: (status: State['status']) => states.filter((state) => state.status === status).length,
  };
}

describe.each(places)('a client with reconnect over $name', (place) => {
  it('K4: the client keeps one channel across connections, and values queued while the client is disconnected go out on the next connection, in order', async () => {
    const first = await serving(place, await place.address(), 'first');
    const { client, received, until, count } = watched(place, first.address);
    client.data.next('a');
    await until(() => received.length === 1);
    first.stop();
    await until(() => count('disconnected') > 0);
    client.data.next('b');
    client.data.next('c');
    await serving(place, first.address, 'second');
    await until(() => received.length === 3);
    expect(received).toEqual(['first a', 'second b', 'second c']);
  });

  it('K2: the client emits the states of the attempts in order, and the state after each failure has the error of that failure', async () => {
    const first = await serving(place, await place.address(), 'first');
    first.stop();
    const { states, until, count } = watched(place, first.address);
    await until(() => count('waiting') === 3);
    expect(states.slice(0, 9).map((state) => `${state.status} ${state.attempt}`)).toEqual([
      'connecting 1',
      'disconnected 1',
      'waiting 1',
      'connecting 2',
      'disconnected 2',
      'waiting 2',
      'connecting 3',
      'disconnected 3',
      'waiting 3',
    ]);
    for (const state of states) {
      if (state.status === 'waiting') expect(state.delay).toBeGreaterThanOrEqual(5);
      if (state.status === 'disconnected') expect(state.error).toBeInstanceOf(SocketError);
    }
  });

  it('K5: the client fails with the last error when the policy allows no further attempt', async () => {
    const first = await serving(place, await place.address(), 'first');
    first.stop();
    const { client, states, until, ended } = watched(place, first.address, {
      reconnect: backoff({ initial: 2, max: 4, attempts: 2 }),
    });
    const lost = client.data.send('lost');
    await until(() => ended() !== 'open');
    expect(states.filter((state) => state.status === 'connecting')).toHaveLength(3);
    expect(states.at(-1)).toMatchObject({ status: 'disconnected', attempt: 3 });
    expect(ended()).toBeInstanceOf(SocketError);
    await expect(lost).rejects.toBe(ended());
    expect(client.data.closed).toBe(false);
  });

  it('K5: the client waits longer after each connection that the server closes at once', async () => {
    const server = listen<string, string>(await place.address(), { ...place.options, codec: lines() });
    const bound = firstValueFrom(server.listening);
    const accepting = server.subscribe(({ data }) => {
      data.complete();
    });
    onTestFinished(() => {
      accepting.unsubscribe();
    });
    const { states, until, count } = watched(place, await bound, {
      reconnect: backoff({ initial: 2, max: 1_000, factor: 2, jitter: 0 }),
    });
    await until(() => count('waiting') === 4);
    const delays = states.flatMap((state) => (state.status === 'waiting' ? [state.delay] : []));
    expect(delays.slice(0, 4)).toEqual([2, 4, 8, 16]);
  });

  it('K2: the count of attempts restarts after a stable connection', async () => {
    const server = listen<string, string>(await place.address(), { ...place.options, codec: lines() });
    const bound = firstValueFrom(server.listening);
    const accepting = server.subscribe(({ data }) => {
      data.complete();
    });
    onTestFinished(() => {
      accepting.unsubscribe();
    });
    const { states, until, count } = watched(place, await bound, {
      reconnect: backoff({ initial: 2, jitter: 0, stableAfter: 0 }),
    });
    await until(() => count('waiting') === 3);
    expect(
      states.flatMap((state) => (state.status === 'waiting' ? [`${state.attempt} ${state.delay}`] : [])).slice(0, 3),
    ).toEqual(['1 2', '1 2', '1 2']);
  });

  it('K4: the client ends with ERR_OVERFLOW if more than maxBuffered is queued while the client is disconnected', async () => {
    const first = await serving(place, await place.address(), 'first');
    first.stop();
    const { client, until, count, ended } = watched(place, first.address, { maxBuffered: 100 });
    await until(() => count('waiting') > 0);
    client.data.next('x'.repeat(80));
    client.data.next('y'.repeat(80));
    await until(() => ended() !== 'open');
    expect(ended()).toMatchObject({ code: 'ERR_OVERFLOW' });
  });

  it("K4: with whileDisconnected 'drop', values sent between two connections are dropped and counted", async () => {
    const first = await serving(place, await place.address(), 'first');
    const { client, received, until, count } = watched(place, first.address, { whileDisconnected: 'drop' });
    client.data.next('before it was open');
    await until(() => received.length === 1);
    first.stop();
    await until(() => count('disconnected') > 0);
    client.data.next('lost');
    await expect(client.data.send('lost too')).rejects.toMatchObject({
      code: 'ERR_OVERFLOW',
      message: expect.stringContaining("whileDisconnected is 'drop'"),
    });
    expect(client.data.dropped).toBe(2);
    await serving(place, first.address, 'second');
    await until(() => count('connected') === 2);
    client.data.next('after');
    await until(() => received.length === 2);
    expect(received).toEqual(['first before it was open', 'second after']);
  });

  it("K4: with whileDisconnected 'error', sending a value between two connections ends the client", async () => {
    const first = await serving(place, await place.address(), 'first');
    const { client, until, count, ended } = watched(place, first.address, { whileDisconnected: 'error' });
    await until(() => count('connected') === 1);
    first.stop();
    await until(() => count('waiting') > 0);
    client.data.next('too early');
    await until(() => ended() !== 'open');
    expect(ended()).toMatchObject({ code: 'ERR_CLOSED' });
  });

  it('K7: if you unsubscribe from a client that waits for its next attempt, no attempt follows, and pending calls of `send` reject', async () => {
    const first = await serving(place, await place.address(), 'first');
    first.stop();
    const { client, states, subscription, until, count } = watched(place, first.address);
    await until(() => count('waiting') === 1);
    const lost = client.data.send('lost');
    subscription.unsubscribe();
    await expect(lost).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    const seen = states.length;
    const second = await serving(place, first.address, 'second');
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(states).toHaveLength(seen);
    expect(second.server.connections.size).toBe(0);
  });

  it('K4: values received by a held channel are emitted before the values of the next connection', async () => {
    const first = await serving(place, await place.address(), 'first');
    const { client, received, until, count } = watched(place, first.address);
    client.data.next('a');
    await until(() => received.length === 1);
    const hold = client.data.hold();
    client.data.next('b');
    const [connection] = first.server.connections;
    const written = connection?.stats.bytesWritten ?? 0;
    while ((connection?.stats.bytesWritten ?? 0) === written) await new Promise((resolve) => setImmediate(resolve));
    await connection?.close();
    first.stop();
    await until(() => count('waiting') > 0);
    await serving(place, first.address, 'second');
    await until(() => count('connected') === 2);
    client.data.next('c');
    expect(received).toEqual(['first a']);
    hold.release();
    await until(() => received.length === 3);
    expect(received).toEqual(['first a', 'first b', 'second c']);
  });

  it('C6: after `complete()` of its `data`, the client does not dial again', async () => {
    const first = await serving(place, await place.address(), 'first');
    const { client, received, until, ended } = watched(place, first.address);
    client.data.next('a');
    client.data.complete();
    const connection = firstValueFrom(first.server.pipe(take(1)));
    connection.catch(() => undefined);
    await until(() => received.length === 1);
    for (const each of first.server.connections) each.data.complete();
    await until(() => ended() !== 'open');
    expect(ended()).toBe('complete');
  });
});

describe.each(realPlaces)('a client with reconnect over $name, against a plain server', (place) => {
  it('K4: the client discards the unfinished frame of the old connection, and sends no byte twice', async () => {
    const where = (await place.address()) as net.ListenOptions;
    const seen: Buffer[][] = [];
    const server = net.createServer((socket) => {
      const chunks: Buffer[] = [];
      seen.push(chunks);
      socket.on('error', () => undefined);
      socket.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        if (seen.length > 1) return;
        // These bytes are a complete frame and the beginning of a second frame.
        socket.write(Buffer.from([0, 0, 0, 1, 65, 0, 0, 0, 9, 66]), () => socket.end());
      });
      if (seen.length > 1) socket.write(Buffer.from([0, 0, 0, 1, 67]));
    });
    onTestFinished(() => {
      server.close();
    });
    await new Promise<void>((resolve) => server.listen({ host: '127.0.0.1', ...where }, resolve));
    const name = server.address();
    const address = typeof name === 'string' ? { path: name } : { port: name?.port ?? 0 };
    const client = connect(address, { codec: lengthPrefixed(), reconnect: soon });
    const got = lastValueFrom(client.data.pipe(take(2), toArray()));
    client.data.next('once');
    expect((await got).map(String)).toEqual(['A', 'C']);
    expect(Buffer.concat(seen[0] ?? []).toString('latin1')).toBe('\0\0\0\x04once');
    expect(Buffer.concat(seen[1] ?? []).toString('latin1')).toBe('');
  });
});

describe('options of a client with reconnect', () => {
  it.each<[string, object]>([
    ['reconnect.count', { reconnect: { count: -1 } }],
    ['reconnect.count', { reconnect: { count: 1.5 } }],
    ['reconnect.count', { reconnect: { count: '3' } }],
    ['reconnect', { reconnect: null }],
    ['reconnect', { reconnect: 1_000 }],
    ['reconnect', { reconnect: () => 1_000 }],
    ['reconnect.resetOnSuccess', { reconnect: { resetOnSuccess: 'yes' } }],
    ['reconnect.stableAfter', { reconnect: { stableAfter: -1 } }],
    ['reconnect.delay', { reconnect: { delay: NaN } }],
    ['reconnect.delay', { reconnect: { delay: 2 ** 31 } }],
    ['reconnect.delay', { reconnect: { delay: -1 } }],
    ['reconnect.delay', { reconnect: { delay: '1s' } }],
    ['whileDisconnected', { whileDisconnected: 'wait' }],
  ])('A5: a bad %s is refused', (name, options) => {
    const { options: place } = memory();
    expect(() => connect('memory:nobody', { ...place, ...options })).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_INVALID', message: expect.stringContaining(name) as string }),
    );
  });
});
