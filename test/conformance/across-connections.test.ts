import type net from 'node:net';
import { firstValueFrom, lastValueFrom, Subject, take, toArray } from 'rxjs';
import { backoff, connect, type ConnectionState, type ConnectOptions, type SocketError } from 'rxjs-sockets';
import { jsonLines, lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import '../support/leaks.js';
import { abort, readAll, readBytes } from '../support/sockets/read-socket.js';
import { type Place, realPlaces } from '../support/transport/places.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { record, type Recording } from '../support/recording/record.js';
import { watch } from '../support/client/watched-client.js';
import { scriptedTransport } from '../support/transport/scripted-transport.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const soon = backoff({ initial: 5, max: 20 });

/** Starts a `node:net` server, whose accepted sockets `accepted` lists, and a client that reconnects to this server. */
async function dialling(place: Place, options: ConnectOptions<any, any> = {}, accept = (_socket: net.Socket) => {}) {
  const accepted: net.Socket[] = [];
  const address = await rawServer(place, (socket) => {
    accepted.push(socket);
    accept(socket);
  });
  const client = connect<any, any>(address, { reconnect: soon, ...options });
  const states = watch(client);
  await until(() => accepted.length === 1 && states.values.at(-1)?.status === 'connected');
  return { client, states, accepted, address };
}

const countOf = (states: Recording<ConnectionState<any, any>>, status: string): number =>
  states.values.filter((state) => state.status === status).length;

const connectionOf = (states: Recording<ConnectionState<any, any>>) => {
  const state = states.values.at(-1);
  if (state?.status !== 'connected') throw new Error(`the client is ${String(state?.status)}`);
  return state.connection;
};

const numbers = (bytes: Buffer): number[] =>
  bytes
    .toString('latin1')
    .split('\n')
    .slice(0, -1)
    .map((line) => parseInt(line, 10));

describe.each(realPlaces.map((place) => [place.name, place] as const))('a client over %s', (_name, place) => {
  it('K4: after the server ends the connection cleanly, the client connects again, and `data` of the client continues', async () => {
    const { client, states, accepted } = await dialling(place, { codec: lines() }, (socket) => {
      socket.write('hello\n');
      socket.end();
    });
    const data = record(client.data);
    onTestFinished(() => data.subscription.unsubscribe());
    expect((await data.count(3)).slice(0, 3)).toEqual(['hello', 'hello', 'hello']);
    expect(data.endings).toEqual([]);
    expect(states.endings).toEqual([]);
    expect(accepted.length).toBeGreaterThanOrEqual(3);
    for (const state of states.values) if (state.status === 'disconnected') expect(state.error).toBeUndefined();
  });

  it('K4: `next`, `send` and `sendFrom` accept values while the client is disconnected; the values go out in order on the next connection', async () => {
    const { client, states, accepted } = await dialling(place, { codec: lines() });
    client.data.next('0');
    expect((await readBytes(accepted[0]!, 2)).toString()).toBe('0\n');
    accepted[0]!.end();
    await until(() => countOf(states, 'disconnected') === 1);
    client.data.next('1');
    const order: string[] = [];
    const sending = client.data.send('2').then(() => order.push('sent'));
    const from = lastValueFrom(client.data.sendFrom(['3', '4']), { defaultValue: 'done' }).then(() =>
      order.push('flushed'),
    );
    client.data.next('5');
    expect(client.data.bufferedBytes).toBeGreaterThanOrEqual(6);
    expect(order).toEqual([]);
    await until(() => accepted.length === 2);
    const got = await readBytes(accepted[1]!, 10);
    expect(got.toString().split('\n').sort()).toEqual(['', '1', '2', '3', '4', '5']);
    expect(got.toString().startsWith('1\n2\n')).toBe(true);
    await Promise.all([sending, from]);
    expect(client.data.bufferedBytes).toBe(0);
  });

  it('K12: after the server has reset a connection, the next connection gets all values that were queued behind the write in progress, each once and in order', async () => {
    const { client, states, accepted } = await dialling(place, { codec: lines(), maxBuffered: 8_000_000 });
    accepted[0]!.pause();
    const count = 6_000;
    const line = (i: number): string => `${String(i)} ${'x'.repeat(1_000)}`;
    // The client sends more than the kernel takes.
    for (let i = 0; i < count; i++) {
      client.data.next(line(i));
      if (i % 50 === 0 && i < 3_000) await turns(1);
    }
    expect(client.data.bufferedBytes).toBeGreaterThan(1_000_000);
    const waited = client.data.bufferedBytes;
    const first = readAll(accepted[0]!).catch(() => Buffer.alloc(0));
    await abort(accepted[0]!, connectionOf(states));
    await first;
    await until(() => accepted.length === 2);
    client.data.next('last');
    client.data.complete();
    const got = numbers(await readAll(accepted[1]!)).slice(0, -1);
    expect(got).toEqual(Array.from({ length: got.length }, (_, i) => count - got.length + i));
    expect(got.length * line(0).length).toBeGreaterThan(waited - 150_000 - 65_536 - 3 * 1_100);
    accepted[1]!.end();
  });

  it("K12: if the server's FIN arrives while the client is writing a value, no byte is sent twice", async () => {
    const { client, accepted } = await dialling(place, { codec: lines(), maxBuffered: 8_000_000 });
    accepted[0]!.pause();
    const count = 5_000;
    for (let i = 0; i < count; i++) client.data.next(`${i} ${'y'.repeat(1_000)}`);
    // When the server's FIN arrives, the client ends its own side of the connection as well.
    accepted[0]!.end();
    const firstRead = readAll(accepted[0]!);
    await until(() => accepted.length === 2);
    client.data.complete();
    const second = numbers(await readAll(accepted[1]!));
    const first = numbers(await firstRead);
    expect([...first, ...second]).toEqual(Array.from({ length: count }, (_, i) => i));
    accepted[1]!.end();
  });

  it('K4: while the client is disconnected, `writable` and `bufferedBytes` reflect the queued values, and `writable` does not complete', async () => {
    const { client, states, accepted } = await dialling(place, { highWaterMark: 100 });
    const writable = record(client.data.writable);
    onTestFinished(() => writable.subscription.unsubscribe());
    accepted[0]!.end();
    accepted[0]!.resume();
    await until(() => countOf(states, 'disconnected') === 1);
    client.data.next(Buffer.alloc(150));
    expect(client.data.bufferedBytes).toBe(150);
    expect(writable.values).toEqual([true, false]);
    await until(() => accepted.length === 2);
    await until(() => client.data.bufferedBytes === 0);
    await writable.count(3);
    expect(writable.values).toEqual([true, false, true]);
    expect(writable.endings).toEqual([]);
    expect((await readBytes(accepted[1]!, 150)).length).toBe(150);
  });

  it("K13: with `whileDisconnected: 'drop'`, values sent with `sendFrom` wait for the next connection, and values passed to `next` are dropped", async () => {
    const again = new Subject<void>();
    const options = { codec: lines(), whileDisconnected: 'drop', reconnect: { delay: () => again } } as const;
    const { client, states, accepted } = await dialling(place, options);
    const writable = record(client.data.writable);
    accepted[0]!.end();
    await until(() => countOf(states, 'waiting') === 1);
    let pulled = 0;
    const source = function* () {
      for (const line of ['1', '2', '3']) {
        pulled++;
        yield line;
      }
    };
    const feed = record(client.data.sendFrom(source()));
    client.data.next('dropped');
    await turns();
    expect(pulled).toBe(0);
    expect(client.data.dropped).toBe(1);
    again.next();
    await until(() => accepted.length === 2);
    expect((await readBytes(accepted[1]!, 6)).toString()).toBe('1\n2\n3\n');
    expect(await feed.end()).toBe('complete');
    expect(client.data.dropped).toBe(1);
    expect(writable.values).toEqual([true, false, true]);
    writable.subscription.unsubscribe();
  });

  it('K15: if `complete` is called while the client is disconnected, the next connection carries the queued values and the FIN, and the client ends after that connection', async () => {
    const { client, states, accepted } = await dialling(place, { codec: lines() });
    accepted[0]!.end();
    accepted[0]!.resume();
    await until(() => countOf(states, 'disconnected') === 1);
    client.data.next('the rest');
    client.data.complete();
    expect(client.data.closed).toBe(true);
    await until(() => accepted.length === 2);
    expect((await readAll(accepted[1]!)).toString()).toBe('the rest\n');
    accepted[1]!.end();
    expect(await states.end()).toBe('complete');
    await turns();
    expect(accepted).toHaveLength(2);
  });

  it('K4: when a connection ends, its unfinished frame is discarded, and a view decodes the next connection from its first byte', async () => {
    let served = 0;
    const { client } = await dialling(place, {}, (socket) => {
      // If the client kept the unfinished frame, it would decode the bytes of the next connection wrongly.
      socket.end(served++ < 3 ? Buffer.from([0, 0, 0, 2, 65, 65, 0, 0, 0, 9, 66]) : Buffer.from([0, 0, 0, 1, 67]));
    });
    const view = client.data.framed(lengthPrefixed());
    const got = await lastValueFrom(view.pipe(take(4), toArray()));
    expect(got.map(String)).toEqual(['AA', 'AA', 'AA', 'C']);
  });

  it("K17: a bad frame ends the connection on which it arrives, and the client's `data` continues with the next connection", async () => {
    let served = 0;
    const { client, states } = await dialling(place, { codec: lengthPrefixed() }, (socket) => {
      const wrong = ++served < 3 ? [0xff, 0xff, 0xff, 0xff, 1, 2] : [];
      socket.write(Buffer.from([0, 0, 0, 1, 64 + served, ...wrong]));
      socket.resume().once('end', () => socket.end());
    });
    const views = [record(client.data), record(client.data)];
    onTestFinished(() => views.forEach((view) => view.subscription.unsubscribe()));
    for (const view of views) expect((await view.count(3)).map(String)).toEqual(['A', 'B', 'C']);
    expect(views.flatMap((view) => view.endings)).toEqual([]);
    const errors = states.values.map((state) => (state.status === 'disconnected' ? state.error?.code : undefined));
    expect(errors.filter((code) => code !== undefined)).toEqual(['ERR_FRAME_TOO_LONG', 'ERR_FRAME_TOO_LONG']);
  });

  it('K17: a client reconnects after a bad frame even if only its `data` has a subscriber', async () => {
    let served = 0;
    const address = await rawServer(place, (socket) => {
      socket.write(++served < 3 ? '{\n' : '"whole"\n');
      socket.resume().once('end', () => socket.end());
    });
    const client = connect<unknown, unknown>(address, { codec: jsonLines(), reconnect: soon });
    expect(await firstValueFrom(client.data)).toBe('whole');
    expect(served).toBe(3);
  });

  it('K17: an unread bad frame of an old connection does not end the new connection', async () => {
    let served = 0;
    const { client, states } = await dialling(place, { codec: jsonLines() }, (socket) => {
      served++;
      socket.write(`${served}\n${served === 1 ? '{\n' : ''}`);
      if (served === 1) socket.end();
    });
    const hold = client.data.hold();
    const data = record(client.data);
    onTestFinished(() => data.subscription.unsubscribe());
    await until(() => countOf(states, 'connected') === 2);
    await until(() => connectionOf(states).stats.bytesRead > 0);
    hold.release();
    expect(await data.count(2)).toEqual([1, 2]);
    expect(data.endings).toEqual([]);
    expect(countOf(states, 'disconnected')).toBe(1);
  });

  it("K17: destroying a connection fails only the connection's own channel, and the client's `data` continues", async () => {
    const { client, states, accepted } = await dialling(place, { codec: lines() }, (socket) => socket.write('hello\n'));
    const data = record(client.data);
    onTestFinished(() => data.subscription.unsubscribe());
    await data.count(1);
    const connection = connectionOf(states);
    const own = record(connection.data);
    connection.destroy(new Error('this one'));
    expect(own.endings).toMatchObject([{ code: 'ERR_CLOSED', cause: { message: 'this one' } }]);
    client.data.next('to the next');
    expect(await data.count(2)).toEqual(['hello', 'hello']);
    expect(data.endings).toEqual([]);
    await until(() => accepted.length === 2);
    expect((await readBytes(accepted[1]!, 12)).toString()).toBe('to the next\n');
  });

  it("K4: a `for await` loop over the client's `data` continues across connections and gets each message once", async () => {
    let served = 0;
    const { client } = await dialling(place, { codec: lines() }, (socket) => {
      served++;
      socket.end(`${served}a\n${served}b\n${served}c\n`);
    });
    const got: string[] = [];
    for await (const line of client.data) {
      got.push(line as string);
      await turns(2);
      if (got.length === 12) break;
    }
    expect(got).toEqual(['1a', '1b', '1c', '2a', '2b', '2c', '3a', '3b', '3c', '4a', '4b', '4c']);
  });

  it('F1: a late subscriber gets the unread values of old connections, then the values of the new connection', async () => {
    let served = 0;
    const { client, states } = await dialling(place, { codec: lines() }, (socket) => {
      served++;
      socket.write(`${served}a\n${served}b\nrest of ${served}`);
      if (served < 3) socket.end();
    });
    await until(() => countOf(states, 'connected') === 3);
    await until(() => connectionOf(states).stats.bytesRead > 0);
    expect(await firstValueFrom(client.data)).toBe('1a');
    expect(await firstValueFrom(client.data)).toBe('1b');
    // The last line of each connection needs no newline (D4).
    const rest = await lastValueFrom(client.data.pipe(take(6), toArray()));
    expect(rest).toEqual(['rest of 1', '2a', '2b', 'rest of 2', '3a', '3b']);
  });

  it('K14: while its `data` is held, a client reads only a bounded number of bytes, however often it reconnects', async () => {
    const chunk = Buffer.alloc(50_000, 'z');
    const sizes: number[] = [];
    const { client, states, accepted } = await dialling(place, {}, (socket) => {
      socket.end(chunk);
    });
    const hold = client.data.hold();
    const data = record(client.data);
    onTestFinished(() => data.subscription.unsubscribe());
    await until(() => accepted.length === 2);
    await turns(500);
    for (const state of states.values) if (state.status === 'connected') sizes.push(state.connection.stats.bytesRead);
    // At the read-ahead limit the client stops reading. So the client does not notice that its connection has ended,
    // and does not dial again.
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(65_536 * 3);
    expect(accepted.length).toBeLessThanOrEqual(3);
    const before = accepted.length;
    hold.release();
    await until(() => accepted.length > before + 2);
    const bytes = data.values.reduce((sum: number, value: Buffer) => sum + value.length, 0);
    expect(bytes).toBeGreaterThanOrEqual(before * chunk.length);
  });

  it('K7: when the last subscriber leaves a client that is disconnected, waiting or connecting, the client ends, and emits no further state', async () => {
    for (const status of ['disconnected', 'waiting', 'connecting']) {
      const { client, states, accepted } = await dialling(place, { codec: lines() });
      accepted[0]!.end();
      accepted[0]!.resume();
      const leaving = client.subscribe((state) => {
        if (state.status !== status) return;
        states.subscription.unsubscribe();
        queueMicrotask(() => leaving.unsubscribe());
        lost = client.data.send('lost').then(
          () => 'sent',
          (error: unknown) => (error as SocketError).code,
        );
      });
      let lost: Promise<string> | undefined;
      await until(() => leaving.closed);
      expect(await lost).toBe('ERR_CLOSED');
      const seen = states.values.length;
      await turns();
      expect(states.values).toHaveLength(seen);
      for (const socket of accepted) socket.destroy();
    }
  });

  it('K10: a client that is destroyed while it waits to redial ends with ERR_CLOSED and the given reason as `cause`', async () => {
    const options = { codec: lines(), reconnect: { delay: 1_000_000 } };
    const { client, states, accepted, address } = await dialling(place, options);
    const data = record(client.data);
    accepted[0]!.end();
    accepted[0]!.resume();
    await until(() => states.values.at(-1)?.status === 'waiting');
    const lost = client.data.send('lost');
    client.data.error('enough');
    await expect(lost).rejects.toMatchObject({ code: 'ERR_CLOSED', cause: 'enough' });
    expect(states.endings).toMatchObject([{ code: 'ERR_CLOSED', cause: 'enough', address }]);
    expect(data.endings).toEqual(states.endings);
    const again = watch(client);
    await until(() => again.values.at(-1)?.status === 'connected');
    client.data.next('new');
    await until(() => accepted.length === 2);
    expect((await readBytes(accepted[1]!, 4)).toString()).toBe('new\n');
  });
});

describe('a client on a scripted kernel', () => {
  it("K10: a client that is destroyed after the server's FIN drops the values queued for the next connection", async () => {
    const { transport, sockets } = scriptedTransport();
    const client = connect<string, string>('memory:there', { transport, codec: lines(), reconnect: soon });
    const reader = record(client.data);
    await until(() => sockets.length === 1);
    await turns(1);
    const hold = client.data.hold();
    sockets[0]!.finish();
    const lost = client.data.send('lost');
    client.data.error('enough');
    expect(reader.endings).toMatchObject([{ code: 'ERR_CLOSED', cause: 'enough' }]);
    await expect(lost).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    sockets[0]!.close();
    hold.release();
    const again = record(client.data);
    client.data.next('new');
    await until(() => sockets[1]?.writes.length === 1);
    expect(String(sockets[1]?.writes)).toBe('new\n');
    client.data.error('over');
    sockets[1]?.close();
    await again.end();
  });
});
