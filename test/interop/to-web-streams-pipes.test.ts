import { setImmediate as nextTurn } from 'node:timers/promises';
import { firstValueFrom, lastValueFrom } from 'rxjs';
import { connect } from 'rxjs-sockets';
import { lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { toWebStreams } from '../../src/interop/index.js';
import '../support/leaks.js';
import { tcp } from '../support/transport/places.js';
import { acceptedAt, dialledAt, pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { endingOf, readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { scripted } from '../support/transport/scripted-transport.js';
import { turns, until } from '../support/scheduling/event-loop.js';
import { readSlowly, settling } from '../support/interop/slow-reader.js';

/** The rejections that are unhandled until the end of the test. */
function unhandledRejections(): unknown[] {
  const errors: unknown[] = [];
  const listener = (error: unknown): void => void errors.push(error);
  const others = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection').on('unhandledRejection', listener);
  onTestFinished(() => {
    process.removeListener('unhandledRejection', listener);
    for (const other of others) process.on('unhandledRejection', other);
  });
  return errors;
}

describe('toWebStreams', () => {
  it('I1: close() settles only when the kernel has taken everything that was written', async () => {
    const { near, socket } = await scripted();
    socket.eager = false;
    const writer = toWebStreams(near.bytes).writable.getWriter();
    await writer.write('hello');
    let isClosed = false;
    const closing = writer.close().then(() => (isClosed = true));
    await turns();
    expect([isClosed, socket.ended]).toEqual([false, false]);
    socket.take();
    await closing;
    expect(socket.ended).toBe(true);
  });

  it('I1: returns streams that make an echo if one is piped to the other', async () => {
    const { near, raw } = await acceptedAt(tcp);
    const { readable, writable } = toWebStreams(near.bytes);
    const piping = readable.pipeTo(writable);
    const large = Buffer.alloc(5_000_000, 'abc');
    raw.end(large);
    expect((await readAll(raw)).equals(large)).toBe(true);
    await piping;
  });

  it('I1: returns bytes that a text decoder can decode, even with a character split over two chunks', async () => {
    const { near, raw } = await acceptedAt(tcp);
    const text = toWebStreams(near.bytes).readable.pipeThrough<string>(new TextDecoderStream());
    const reader = text.getReader();
    const [first, rest] = [Buffer.from('naï').subarray(0, 3), Buffer.from('naïve ✓').subarray(3)];
    raw.write(first);
    expect(await reader.read()).toEqual({ done: false, value: 'na' });
    raw.end(rest);
    let all = '';
    for (let read = await reader.read(); !read.done; read = await reader.read()) all += read.value;
    expect(all).toBe('ïve ✓');
  });

  it('I1: carries the output of a CompressionStream, which the other side decompresses', async () => {
    const { near, far } = await pairAt(tcp, { halfOpen: true });
    const sent = Buffer.from(Array.from({ length: 50_000 }, (_, index) => index % 256));
    const compressed = new Blob([sent]).stream().pipeThrough(new CompressionStream('gzip') as never);
    const [here, there] = [toWebStreams(near.bytes), toWebStreams(far.bytes)];
    const piping = compressed.pipeTo(here.writable);
    const received = await new Response(
      there.readable.pipeThrough(new DecompressionStream('gzip')) as never,
    ).arrayBuffer();
    await piping;
    expect(Buffer.from(received).equals(sent)).toBe(true);
  });

  it('I1: returns streams that can take the body of a Response, and be the body of a Response', async () => {
    const { near, far } = await pairAt(tcp, { halfOpen: true });
    const text = 'x'.repeat(200_000);
    const piping = new Response(text).body!.pipeTo(toWebStreams(near.bytes).writable as never);
    expect(await new Response(toWebStreams(far.bytes).readable as never).text()).toBe(text);
    await piping;
  });

  it('C1: lets a reader keep the chunks of a channel without a codec', async () => {
    const { near, raw } = await acceptedAt(tcp);
    const reading = readSlowly(toWebStreams(near.bytes).readable);
    const other = await acceptedAt(tcp);
    other.near.bytes.subscribe(other.near.bytes);
    let echoed = 0;
    other.raw.on('data', (chunk) => (echoed += chunk.length));
    const sent: Buffer[] = [];
    for (let number = 0; number < 100; number++) {
      sent.push(Buffer.alloc(1 + number * 300, number));
      raw.write(sent[number]!);
      // Meanwhile, a second connection receives into the same memory.
      other.raw.write(Buffer.alloc(20_000, 'z'));
      await until(() => echoed === 20_000 * (number + 1));
    }
    raw.end();
    expect(Buffer.concat(await reading).equals(Buffer.concat(sent))).toBe(true);
  });

  it('I1: takes one value of the channel for each read, and no value ahead of a read', async () => {
    const { near, far } = await pairAt<string, string>(tcp, { codec: lines() });
    const { readable } = toWebStreams(near.data);
    const seen = record(near.data);
    for (const line of ['a', 'b', 'c']) far.data.next(line);
    await until(() => near.stats.bytesRead === 6);
    await turns();
    expect(seen.values).toEqual([]);
    const reader = readable.getReader();
    expect(await reader.read()).toEqual({ done: false, value: 'a' });
    await turns();
    expect(seen.values).toEqual(['a']);
    expect(await Promise.all([reader.read(), reader.read()])).toEqual([
      { done: false, value: 'b' },
      { done: false, value: 'c' },
    ]);
  });

  it('C8: a reset by the peer fails the streams and nothing else, even if nobody uses the streams', async () => {
    const errors = unhandledRejections();
    const { near, raw } = await acceptedAt(tcp);
    const { readable, writable } = toWebStreams(near.bytes);
    raw.resetAndDestroy();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed' });
    await turns();
    expect(errors).toEqual([]);
    expect(await settling(writable.getWriter().closed)).toMatchObject({ code: 'ECONNRESET' });
    expect(await settling(readable.getReader().read())).toMatchObject({ code: 'ECONNRESET' });
  });

  it('K1: makes a client dial at once, and uses one connection for both streams', async () => {
    const { address } = await serverAt(tcp, ({ data }) => data.subscribe(data));
    const { readable, writable } = toWebStreams(connect(address, { halfOpen: true }).data);
    const writer = writable.getWriter();
    await writer.write('hello');
    await writer.close();
    expect(Buffer.concat(await readSlowly(readable)).toString()).toBe('hello');
  });

  it('K8: after the client has ended, a write to its streams rejects, and the client does not dial again', async () => {
    let count = 0;
    const address = await rawServer(tcp, (socket) => {
      count++;
      socket.end();
    });
    const client = connect(address);
    const { readable, writable } = toWebStreams(client.data);
    expect(await readSlowly(readable)).toEqual([]);
    const writer = writable.getWriter();
    expect(await settling(writer.write('late'))).toMatchObject({ code: 'ERR_CLOSED' });
    expect(await settling(writer.abort('late'))).toBe('done');
    await turns();
    expect(count).toBe(1);
  });

  it('C16: without halfOpen, settles close() even after the peer has ended', async () => {
    const { near, raw } = await dialledAt(tcp);
    const { readable, writable } = toWebStreams(near.bytes);
    const writer = writable.getWriter();
    raw.end('all');
    expect(Buffer.concat(await readSlowly(readable)).toString()).toBe('all');
    await until(() => near.bytes.closed);
    await writer.close();
    expect((await readAll(raw)).length).toBe(0);
  });

  it('K13: makes a write wait for a connection if whileDisconnected is "drop"', async () => {
    const ended = await serverAt(tcp, (connection) => connection.data.complete());
    ended.subscription.unsubscribe();
    const client = connect<string, string>(ended.address, {
      codec: lines(),
      reconnect: { delay: 1 },
      whileDisconnected: 'drop',
    });
    const { readable, writable } = toWebStreams(client.data);
    const states = record(client);
    await until(() => states.values.some(({ status }) => status === 'waiting'));
    const writer = writable.getWriter();
    let isSettled = false;
    const written = writer.write('kept').then(() => (isSettled = true));
    await turns();
    expect(isSettled).toBe(false);
    const address = await new Promise<unknown>((resolve, reject) => {
      if (ended.address.transport !== 'tcp') throw new Error('no port');
      void serverAt<string, string>(
        { ...tcp, address: () => Promise.resolve(ended.address) },
        (connection) => {
          connection.data.subscribe(resolve);
        },
        { codec: lines() },
      ).catch(reject);
    });
    expect(address).toBe('kept');
    await written;
    expect(client.data.dropped).toBe(0);
    states.subscription.unsubscribe();
    await readable.cancel();
    await settling(writer.abort());
  });

  it('C4: if overflow is "drop", counts values that no longer fit, and settles their writes', async () => {
    const { near, far } = await pairAt<Buffer, Uint8Array>(tcp, {
      codec: lengthPrefixed({ maxLength: 100_000 }),
      overflow: 'drop',
      maxBuffered: 200_000,
      highWaterMark: 200_000,
    });
    const hold = far.data.hold();
    const writer = toWebStreams(near.data).writable.getWriter();
    const written: Promise<void>[] = [];
    let values = 0;
    for (; near.data.dropped < 3 && values < 10_000; values++) {
      near.data.next(Buffer.alloc(50_000));
      written.push(writer.write(Buffer.alloc(50_000)));
      await nextTurn();
    }
    hold.release();
    let received = 0;
    const there = record(far.data, () => received++);
    await Promise.all(written);
    await writer.close();
    expect(await there.end()).toBe('complete');
    expect(received).toBe(2 * values - near.data.dropped);
  });

  it('C11: ends the connection cleanly once both streams have ended', async () => {
    const { near, raw } = await acceptedAt(tcp);
    const { readable, writable } = toWebStreams(near.bytes);
    raw.write('unread');
    await readable.cancel();
    await writable.close();
    expect(await endingOf(raw)).toBe('fin');
  });

  it.each([[undefined], [{}], [new ReadableStream()]])('A5: refuses a value that is not a Channel: %s', (channel) => {
    expect(() => toWebStreams(channel as never)).toThrow(expect.objectContaining({ code: 'ERR_OPTION_INVALID' }));
  });

  it('C7: for a Channel that has ended, returns streams that have ended', async () => {
    const { near, raw } = await acceptedAt(tcp);
    raw.end('rest');
    await lastValueFrom(near.bytes);
    await near.close();
    const { readable, writable } = toWebStreams(near.bytes);
    expect(await readSlowly(readable)).toEqual([]);
    expect(await settling(writable.getWriter().write('late'))).toMatchObject({ code: 'ERR_CLOSED' });
  });
});
