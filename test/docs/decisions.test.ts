import '../support/leaks.js';
import { firstValueFrom, interval } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import {
  type AddressInput,
  backoff,
  connect,
  type Connection,
  type ConnectOptions,
  listen,
  parseAddress,
  serve,
} from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { memoryTransport } from 'rxjs-sockets/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { places, unix } from '../support/transport/places.js';
import { clientAt, pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';
import { text, addressOf } from '../support/docs/decision-tests.js';

describe('addresses', () => {
  it('A6: parseAddress accepts an address that it has returned, and refuses an address with an unknown member', () => {
    const address = parseAddress('tls://[::1]:443');
    expect(parseAddress(address)).toEqual(address);
    const withMore = { port: 7000, address: '0.0.0.0' } as AddressInput;
    expect(() => parseAddress(withMore)).toThrow(/must not have "address"/);
    expect(() => listen(withMore)).toThrow(expect.objectContaining({ code: 'ERR_ADDRESS_INVALID' }));
  });
});

describe.each(places)('Flow over $name', (place) => {
  it('F9: emits nothing during subscribe(), so more subscribers can join, but can emit during release()', async () => {
    const { near, far } = await pairAt(place, text);
    far.data.next('one');
    far.data.next('two');
    await until(() => near.stats.bytesRead === 8);
    const first = record(near.data);
    expect(first.values).toEqual([]);
    const second = record(near.data);
    await first.count(2);
    expect(second.values).toEqual(['one', 'two']);

    const hold = near.data.hold();
    far.data.next('three');
    await until(() => near.stats.bytesRead === 14);
    expect(first.values).toEqual(['one', 'two']);
    hold.release();
    expect(first.values).toEqual(['one', 'two', 'three']);
  });

  it('F10: does not report its end while it is held; after the release, emits its values, then reports the end', async () => {
    const { near, far } = await pairAt(place, text);
    const received = record(near.data);
    const hold = near.data.hold();
    far.data.next('last');
    far.data.complete();
    await until(() => near.stats.bytesRead === 5);
    await turns();
    expect([received.values, received.endings]).toEqual([[], []]);
    hold.release();
    expect([received.values, received.endings]).toEqual([['last'], ['complete']]);
  });

  it('F10: reports a local destroy at once, and drops buffered values', async () => {
    const { near, far } = await pairAt(place, text);
    const received = record(near.data);
    const hold = near.data.hold();
    far.data.next('too late');
    await until(() => near.stats.bytesRead === 9);
    near.destroy();
    expect(received.endings).toEqual([expect.objectContaining({ code: 'ERR_CLOSED' })]);
    hold.release();
    expect(received.values).toEqual([]);
  });

  it('F11: can be held before it has a subscriber, and stays held when that subscriber leaves', async () => {
    const { near, far } = await pairAt(place, text);
    const hold = near.data.hold();
    const first = record(near.data);
    far.data.next('one');
    await until(() => near.stats.bytesRead === 4);
    first.subscription.unsubscribe();
    const second = record(near.data);
    await turns();
    expect([first.values, second.values]).toEqual([[], []]);
    hold.release();
    expect([first.values, second.values]).toEqual([[], ['one']]);
  });
});

describe.each(places)('a connection over $name', (place) => {
  it('C14: buffers at most maxBuffered and one value for a slow peer, and delays no other connection', async () => {
    const { server, address } = await serverAt(place, () => undefined, { ...text, maxBuffered: 100_000 });
    const slow = await clientAt(place, address, text);
    const quick = await clientAt(place, address, text);
    const received = record(quick.connection.data);
    const hold = slow.connection.data.hold();
    record(slow.connection.data);
    await until(() => server.connections.size === 2);
    const [toSlow, toQuick] = [...server.connections] as [Connection<string, string>, Connection<string, string>];
    const line = 'x'.repeat(9_999);
    let most = 0;
    for (let round = 1; !toSlow.data.closed; round++) {
      for (const { data } of [toSlow, toQuick]) data.next(line);
      most = Math.max(most, toSlow.data.bufferedBytes);
      await received.count(round);
    }
    expect(most).toBeGreaterThan(50_000);
    expect(most).toBeLessThanOrEqual(110_000);
    expect(await firstValueFrom(toSlow.closed)).toMatchObject({ reason: 'failed', error: { code: 'ERR_OVERFLOW' } });
    expect(toQuick.data.closed).toBe(false);
    hold.release();
  });

  it('C15: lets the newest view read, or the previous view if the newest view has no subscribers', async () => {
    const { near, far } = await pairAt(place, text);
    const messages = record(near.data);
    far.data.next('to data');
    await messages.count(1);
    const chunks = record(near.bytes);
    const other = record(near.bytes.framed(lines()));
    far.data.next('to the newest');
    await other.count(1);
    other.subscription.unsubscribe();
    far.data.next('to bytes');
    expect(String((await chunks.count(1))[0])).toBe('to bytes\n');
    const hold = near.data.hold();
    chunks.subscription.unsubscribe();
    far.data.next('to data again');
    await turns();
    expect(messages.values).toEqual(['to data']);
    hold.release();
    expect(await messages.count(2)).toEqual(['to data', 'to data again']);
    expect(other.values).toEqual(['to the newest']);
    expect(chunks.values).toHaveLength(1);
  });

  it('C15: sends the values of several views in order', async () => {
    const { near, far } = await pairAt(place, text);
    const received = record(far.data);
    near.data.next('one');
    near.bytes.next('tw');
    near.bytes.next('o\n');
    near.bytes.framed(lines()).next('three');
    expect(await received.count(3)).toEqual(['one', 'two', 'three']);
  });

  it('C16: without halfOpen, sends an answer to the last message, then ends its sending side', async () => {
    const { near, far } = await pairAt(place, { ...text, halfOpen: false });
    const received = record(far.data);
    record(near.data, (line) => near.data.next(`${line}!`));
    const hold = near.data.hold();
    far.data.next('last');
    far.data.complete();
    await until(() => near.stats.bytesRead === 5);
    await turns();
    expect(near.data.closed).toBe(false);
    hold.release();
    expect(await received.end()).toBe('complete');
    expect(received.values).toEqual(['last!']);
  });

  it('C16: without halfOpen and without a reader, ends its sending side when the FIN of the peer arrives', async () => {
    const { near, far } = await pairAt(place, { ...text, halfOpen: false });
    const received = record(far.data);
    near.data.next('unasked');
    far.data.next('unread');
    far.data.complete();
    expect(await received.end()).toBe('complete');
    expect(received.values).toEqual(['unasked']);
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
    expect(await record(near.data).count(1)).toEqual(['unread']);
  });

  it('C17: while it closes, still emits the values that arrive, if its channel is not held', async () => {
    const { near, far } = await pairAt(place, text);
    const received = record(near.data);
    const closed = near.close();
    await record(far.data).end();
    far.data.next('still');
    far.data.complete();
    await closed;
    expect([received.values, received.endings]).toEqual([['still'], ['complete']]);
  });

  it('C17: while it closes, discards all unread values if its channel is held', async () => {
    const { near, far } = await pairAt(place, text);
    const received = record(near.data);
    const hold = near.data.hold();
    far.data.next('waits');
    await until(() => near.stats.bytesRead === 6);
    const closed = near.close();
    await record(far.data).end();
    far.data.next('too late');
    far.data.complete();
    await closed;
    hold.release();
    expect([received.values, received.endings]).toEqual([[], ['complete']]);
  });

  it('C18: accepts a burst of more than maxBuffered if the kernel can take the burst', async () => {
    const { near, far } = await pairAt(place, { ...text, maxBuffered: 1_000 });
    const received = record(far.data);
    for (let line = 0; line < 20; line++) near.data.next('x'.repeat(99));
    expect(near.data.closed).toBe(false);
    await received.count(20);
  });

  it('C19: keeps sent bytes by reference until they are written', async () => {
    const { near, far } = await pairAt(place);
    const bytes = Buffer.alloc(8_192, 'a');
    near.data.next(bytes);
    bytes.fill('b');
    let received = '';
    record(far.data, (chunk) => (received += chunk.toString()));
    await until(() => received.length === 8_192);
    expect(received).toBe('b'.repeat(8_192));
  });

  it('C21: emits false on `writable`, and completes `writable`, when nothing more can be sent', async () => {
    const { near } = await pairAt(place, text);
    const writable = record(near.data.writable);
    near.data.complete();
    expect([writable.values, writable.endings]).toEqual([[true, false], ['complete']]);
  });

  it('C21: treats a highWaterMark over maxBuffered as maxBuffered', async () => {
    const options = { ...place.options, maxBuffered: 1_000, highWaterMark: 1_000_000 };
    const { data } = connect(await addressOf(place), options);
    const writable = record(data.writable);
    data.next(Buffer.alloc(2_000));
    expect(data.bufferedBytes).toBe(2_000);
    expect(writable.values).toEqual([true, false]);
  });
});

describe.each(places)('the end of a connection over $name', (place) => {
  it('C25: a closed channel warns once that it ignores values, and names what to use instead', async () => {
    const warnings: NodeJS.ErrnoException[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    onTestFinished(() => void process.off('warning', onWarning));
    const { near } = await pairAt(place, text);
    near.data.complete();
    for (let value = 1; value < 1_000; value++) near.data.next('ignored');
    await turns();
    expect(warnings).toEqual([]);
    for (let value = 0; value < 3_000; value++) near.data.next('ignored');
    await turns();
    expect(warnings).toMatchObject([
      { code: 'RXJS_SOCKETS_IGNORED', detail: expect.stringMatching(/sendFrom.*sendTo/) },
    ]);
  });

  it('C26: a body reads exactly the requested bytes, and the next reader gets the bytes after it', async () => {
    const { near, far } = await pairAt(place);
    const body = Buffer.alloc(300_000, 'abc');
    far.data.next('300000\n');
    far.data.next(body);
    far.data.next('rest\n');
    expect(await firstValueFrom(near.bytes.framed(lines()))).toBe('300000');
    const flow = near.bytes.body(body.length);
    const chunks = [await firstValueFrom(flow)];
    const hold = flow.hold();
    const others = record(flow, (chunk) => chunks.push(chunk));
    await turns();
    expect(chunks).toHaveLength(1);
    hold.release();
    expect(await others.end()).toBe('complete');
    expect(Buffer.concat(chunks).equals(body)).toBe(true);
    expect(await record(near.bytes.body(0)).end()).toBe('complete');
    expect(await firstValueFrom(near.bytes.framed(lines()))).toBe('rest');
  });

  it('C26: a body that is cut off fails, and so does its connection', async () => {
    const { near, far } = await pairAt(place);
    far.data.next('half');
    far.data.complete();
    const received = record(near.bytes.body(8));
    expect(await received.end()).toMatchObject({ code: 'ERR_FRAME_TRUNCATED' });
    expect(received.values.join('')).toBe('half');
    expect(await firstValueFrom(near.closed)).toMatchObject({
      reason: 'failed',
      error: { code: 'ERR_FRAME_TRUNCATED' },
    });
  });

  it('C28: the outcome of a connection includes the connection, but the JSON of the outcome does not', async () => {
    const server = listen(await place.address(), { ...place.options, ...text });
    onTestFinished(() => server.shutdown());
    const log = record(server.pipe(serve(({ data }) => data)));
    const { client } = await clientAt(place, await firstValueFrom(server.listening), text);
    const [connection] = server.connections;
    client.data.complete();
    const [closed] = await log.count(1);
    expect(closed?.connection).toBe(connection);
    expect(JSON.parse(JSON.stringify(closed))).toEqual({ reason: 'finished', bytesRead: 0, bytesWritten: 0 });
  });

  it('C29: the end of a block with `await using` shuts a server down and closes a connection', async () => {
    let serving: Promise<unknown>;
    let closed: Promise<unknown>;
    {
      await using server = listen(await place.address(), place.options);
      serving = record(server.pipe(serve(({ data }) => data))).end();
      await using connection = await connect(await firstValueFrom(server.listening), place.options).open();
      closed = firstValueFrom(connection.closed);
    }
    expect(await serving).toBe('complete');
    expect(await closed).toMatchObject({ reason: 'finished' });
  });

  it('C29: an aborted signal shuts a server down, and ends a client with the reason of the signal', async () => {
    const ending = new AbortController();
    const { signal } = ending;
    const { server, address } = await serverAt(place, ({ data }) => data.subscribe(data), { signal });
    const serving = record(server);
    const leaving = new AbortController();
    const { client } = await clientAt(place, address, { signal: leaving.signal, reconnect: backoff() });
    const states = record(client);
    leaving.abort('enough');
    expect(await states.end()).toMatchObject({ code: 'ERR_CLOSED', cause: 'enough' });
    ending.abort();
    expect(await serving.end()).toBe('complete');
    for (const begin of [listen, connect]) {
      expect(() => begin(address, { ...place.options, signal })).toThrow(
        expect.objectContaining({ code: 'ERR_CLOSED' }),
      );
    }
  });
});

describe('a silent server, in virtual time,', () => {
  /** Says when and how a client's connection fails if the server sends nothing and the client sends every 40 ms. */
  function silence(options: ConnectOptions, heldFor = 0): string[] {
    const events: string[] = [];
    const scheduler = new TestScheduler(() => undefined);
    scheduler.run(() => {
      const transport = memoryTransport();
      const serving = listen('memory:mute', { transport }).subscribe(({ data }) => data.subscribe());
      const watching = connect('memory:mute', { transport, ...options }).subscribe({
        next: (state) => {
          if (state.status !== 'connected') return;
          const { data, closed } = state.connection;
          const hold = data.hold();
          data.subscribe({ error: () => undefined });
          scheduler.schedule(() => hold.release(), heldFor);
          const asking = interval(40).subscribe(() => data.next('?'));
          closed.subscribe(({ error }) => {
            events.push(`${error?.code} at ${scheduler.now()}`);
            asking.unsubscribe();
          });
          scheduler.schedule(() => data.error(undefined), 990);
        },
        error: () => undefined,
      });
      scheduler.schedule(() => {
        serving.unsubscribe();
        watching.unsubscribe();
      }, 2_000);
    });
    return events;
  }

  it('C27: is noticed by receiveTimeout while the client sends, but not by idleTimeout', () => {
    expect(silence({ receiveTimeout: 100 })).toEqual(['ERR_TIMEOUT_RECEIVE at 100']);
    expect(silence({ idleTimeout: 100 })).toEqual(['ERR_CLOSED at 990']);
  });

  it('C27: is not noticed by receiveTimeout while the client is not ready to read', () => {
    expect(silence({ receiveTimeout: 100 }, 500)).toEqual(['ERR_TIMEOUT_RECEIVE at 600']);
  });
});

describe('a unix socket', () => {
  it('C20: shows its peer a clean end when the connection is destroyed', async () => {
    const { address } = await serverAt(unix, (connection) => connection.destroy());
    expect(await readAll(await rawClient(address))).toHaveLength(0);
  });
});
