import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import fc from 'fast-check';
import { firstValueFrom } from 'rxjs';
import { backoff, connect, SocketError } from 'rxjs-sockets';
import { lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { type SocketStream, toNodeStream } from 'rxjs-sockets/interop';
import { describe, expect, it } from 'vitest';
import { chunkSizes, chunksOf } from '../support/bytes/arbitrary-chunks.js';
import '../support/leaks.js';
import { allPlaces, memory, realPlaces, securePlaces, tcp } from '../support/transport/places.js';
import { acceptedAt, clientAt, dialledAt, ends, pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';
import { countWrites } from '../support/transport/count-writes.js';

/** What a stream has told so far. */
function told(stream: Duplex): string[] {
  const events: string[] = [];
  for (const event of ['connect', 'ready', 'end', 'finish', 'timeout']) stream.on(event, () => events.push(event));
  stream.on('error', (error: NodeJS.ErrnoException) => events.push(`error ${error.code}`));
  stream.on('close', (hadError: boolean) => events.push(`close ${hadError}`));
  return events;
}

/** Waits for `'close'`; asked for before it can have come. */
function gone(stream: Duplex): Promise<void> {
  return new Promise((resolve) => {
    stream.once('close', () => resolve());
  });
}

async function contents(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Writes `chunks`, some of them corked together and some after a turn, as `pace` has it, and ends the stream. */
async function writeAll(stream: Duplex, chunks: readonly Buffer[], pace: readonly number[]): Promise<void> {
  for (const [index, chunk] of chunks.entries()) {
    const kind = pace[index % pace.length];
    if (kind === 1) stream.cork();
    if (!stream.write(chunk) && kind !== 1) await Promise.race([once(stream, 'drain'), turns(3)]);
    if (kind === 2) while (stream.writableCorked > 0) stream.uncork();
    if (kind === 3) await turns(1);
  }
  stream.end();
}

/** Reads to the end, with pauses. */
async function readSlowly(stream: Duplex, pace: readonly number[]): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let count = 0;
  stream.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    if (pace[count++ % pace.length] !== 3) return;
    stream.pause();
    setImmediate(() => stream.resume());
  });
  await once(stream, 'end');
  return Buffer.concat(chunks);
}

function bytesOf(size: number, seed: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  for (let index = 0; index < size; index++) bytes[index] = index * 31 + (index >> 8) * 7 + seed;
  return bytes;
}

describe.each(ends)('a stream over a connection, $name', ({ pair, place }) => {
  it('I1: carries the bytes and the end of either direction, however they are written and read', async () => {
    const side = fc.record({
      size: fc.integer({ min: 0, max: 200_000 }),
      sizes: chunkSizes(),
      large: fc.boolean(),
      pace: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 8 }),
    });
    await fc.assert(
      fc.asyncProperty(side, side, async (one, other) => {
        const connections = await pair();
        const near = toNodeStream(connections.near);
        const far = toNodeStream(connections.far);
        const [nearTold, farTold] = [told(near), told(far)];
        const closes = Promise.all([near, far].map(gone));
        const chunksFor = ({ size, sizes, large }: typeof one, seed: number): Buffer[] =>
          chunksOf(
            bytesOf(large ? size : Math.min(size, 5_000), seed),
            large ? sizes.map((length) => length * 50) : sizes,
          );
        const [sent, answered] = [chunksFor(one, 1), chunksFor(other, 2)];
        const [there, here] = await Promise.all([
          readSlowly(far, other.pace),
          readSlowly(near, one.pace),
          writeAll(near, sent, one.pace),
          writeAll(far, answered, other.pace),
        ]);
        await closes;
        expect(there.equals(Buffer.concat(sent))).toBe(true);
        expect(here.equals(Buffer.concat(answered))).toBe(true);
        for (const events of [nearTold, farTold]) {
          expect([...events].sort()).toEqual(['close false', 'end', 'finish']);
          expect(events.at(-1)).toBe('close false');
        }
        expect([near.bytesWritten, near.bytesRead]).toEqual([there.length, here.length]);
      }),
      { numRuns: 12 },
    );
  });

  it('I1: has the peer wait while nobody reads it', async () => {
    const { near, far } = await pair({ halfOpen: true });
    const stream = toNodeStream(near);
    const size = 6 << 20;
    far.bytes.sendFrom(chunksOf(Buffer.alloc(size, 'b'), [65_536])).subscribe({ complete: () => far.bytes.complete() });
    let last = -1;
    while (stream.bytesRead > last) {
      last = stream.bytesRead;
      await turns(50);
    }
    expect(last).toBeLessThan(400_000);
    expect(stream.readableLength).toBeLessThanOrEqual(stream.readableHighWaterMark + 65_536);
    stream.end();
    expect((await contents(stream)).length).toBe(size);
  });

  it('I1: waits while the peer does not read, and tells when a write is with the kernel', async () => {
    const { near, far } = await pair();
    const hold = far.bytes.hold();
    const stream = toNodeStream(near);
    const written: number[] = [];
    const chunk = Buffer.alloc(1 << 20, 'w');
    for (let index = 0; index < 8; index++) stream.write(chunk, () => written.push(index));
    await turns(100);
    expect(stream.writableNeedDrain).toBe(true);
    expect(near.bytes.bufferedBytes).toBeLessThanOrEqual(65_536 + chunk.length);
    expect(written.length).toBeLessThan(8);
    const there = record(far.bytes);
    stream.end();
    hold.release();
    expect(await there.end()).toBe('complete');
    expect(there.values.reduce((sum, { length }) => sum + length, 0)).toBe(8 << 20);
    expect(written).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    far.bytes.complete();
    await gone(stream.resume());
  });

  it('I3: destroy() sends what was written and ends in order', async () => {
    const { near, far } = await pair({ closeTimeout: 20_000 });
    const stream = toNodeStream(near);
    const events = told(stream);
    const chunk = Buffer.alloc(300_000, 'd');
    stream.cork();
    for (let count = 0; count < 20; count++) stream.write(chunk);
    stream.destroy();
    expect([stream.destroyed, stream.writable]).toEqual([true, false]);
    const there = record(far.bytes);
    expect(await there.end()).toBe('complete');
    expect(there.values.reduce((sum, { length }) => sum + length, 0)).toBe(6_000_000);
    far.bytes.complete();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
    await until(() => events.includes('close false'));
    expect(events).toEqual(['close false']);
  });

  it('I3: destroy(error) lets go at once, and what the same code has written still arrives', async () => {
    const { near, far } = await pair();
    const stream = toNodeStream(near);
    const events = told(stream);
    const there = record(far.bytes);
    stream.write('one ');
    await turns(2);
    stream.write('last ');
    stream.write('word');
    stream.destroy(Object.assign(new Error('enough'), { code: 'ENOUGH' }));
    expect(await there.end()).toBe('complete');
    expect(Buffer.concat(there.values).toString()).toBe('one last word');
    far.bytes.complete();
    await until(() => events.length === 2);
    expect(events).toEqual(['error ENOUGH', 'close true']);
    await firstValueFrom(near.closed);
  });

  it('I1: an error given to destroy is no end in order for the peer, where the transport has a reset', async () => {
    const { near, far } = await pair();
    const there = record(far.bytes);
    const stream = toNodeStream(near);
    const source = Readable.from(
      (async function* () {
        yield 'half of it';
        await turns(2);
        throw new Error('the disk is gone');
      })(),
    );
    await expect(pipeline(source, stream)).rejects.toThrow('the disk is gone');
    const end = await there.end();
    if (place.name === 'tcp' || place.name === 'tls') expect((end as SocketError).code).toBe('ECONNRESET');
    if (place.name === 'memory') expect(end).not.toBe('complete');
    expect(Buffer.concat(there.values).toString()).toBe('half of it');
    const closed = await firstValueFrom(near.closed);
    expect(closed.reason).toBe('destroyed');
    expect(closed.error?.cause).toMatchObject({ message: 'the disk is gone' });
  });

  it('I3: resetAndDestroy() cuts the connection off', async () => {
    const { near, far } = await pair();
    const there = record(far.bytes);
    const stream = toNodeStream(near);
    const events = told(stream);
    stream.write('never mind');
    stream.resetAndDestroy();
    const end = await there.end();
    if (place.name === 'tcp' || place.name === 'tls') expect((end as SocketError).code).toBe('ECONNRESET');
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'destroyed' });
    await until(() => events.length > 0);
    expect(events).toEqual(['close false']);
  });

  it('I1: a connection that fails gives what it has received, and then its error', async () => {
    const { near, far } = await pair();
    const stream = toNodeStream(near);
    const events = told(stream);
    const received: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => received.push(chunk));
    far.bytes.next('first');
    await until(() => received.length > 0);
    near.destroy(new Error('cut'));
    await until(() => events.length === 2);
    expect(events).toEqual(['error ERR_CLOSED', 'close true']);
    expect(stream.errored).toBeInstanceOf(SocketError);
    far.destroy();
  });

  it('I3: what is written in one turn goes out in one write', async () => {
    const { near, far } = await pair();
    const there = record(far.bytes);
    const stream = toNodeStream(near);
    await turns(3);
    const writes = countWrites();
    for (const word of ['a', 'b', 'c']) stream.write(word);
    await Promise.resolve();
    stream.write('d');
    await until(() => Buffer.concat(there.values).length === 4);
    // In memory a write is counted twice.
    expect(writes.count).toBe(place.name === 'memory' ? 2 : 1);
    stream.end();
    expect(await there.end()).toBe('complete');
    far.bytes.complete();
    await gone(stream.resume());
  });
});

describe.each(allPlaces)('a stream over an accepted connection, $name', (place) => {
  it('S7: a shutdown gives the end, and waits until the stream has ended', async () => {
    let accept: (stream: SocketStream) => void = () => undefined;
    const accepted = new Promise<SocketStream>((resolve) => {
      accept = resolve;
    });
    const { server, address } = await serverAt(place, (connection) => accept(toNodeStream(connection)));
    const { connection: far } = await clientAt(place, address, { halfOpen: true });
    const there = record(far.bytes);
    const stream = await accepted;
    const events = told(stream.resume());
    stream.write('half ');
    await there.count(1);
    const shutdown = server.shutdown({ deadline: 20_000 });
    await once(stream, 'end');
    await turns();
    expect([stream.writable, there.endings]).toEqual([true, []]);
    stream.write('and ');
    await there.count(2);
    stream.end('half');
    expect(await there.end()).toBe('complete');
    expect(Buffer.concat(there.values).toString()).toBe('half and half');
    far.bytes.complete();
    await shutdown;
    await until(() => events.includes('close false'));
    expect(events).toEqual(['end', 'finish', 'close false']);
  });

  it('S7: a stream that does not end is cut off at the deadline, and without drain at once', async () => {
    for (const options of [{ deadline: 20 }, { drain: false, deadline: 20_000 }]) {
      const streams: SocketStream[] = [];
      const { server, address } = await serverAt(place, (connection) => void streams.push(toNodeStream(connection)));
      const { connection: far } = await clientAt(place, address);
      const there = record(far.bytes);
      await until(() => streams.length === 1);
      const [stream] = streams as [SocketStream];
      const events = told(stream.resume());
      const closed = gone(stream);
      await server.shutdown(options);
      await closed;
      if (options.drain === undefined) expect(events).toEqual(['end', 'error ERR_TIMEOUT_CLOSE', 'close true']);
      else expect(events.at(-1)).toBe('close false');
      await there.end();
    }
  });
});

it.each(allPlaces.filter(({ name }) => name === 'tcp' || name === 'tls'))(
  'S19: a failure that nobody listens to ends nothing else, $name',
  async (place) => {
    const streams: SocketStream[] = [];
    const { server, address } = await serverAt(place, (connection) => void streams.push(toNodeStream(connection)));
    const incidents = record(server.incidents);
    const { connection: far } = await clientAt(place, address);
    await until(() => streams.length === 1);
    const [stream] = streams as [SocketStream];
    stream.resume();
    const closed = gone(stream);
    stream.write('x');
    await until(() => stream.writableLength === 0);
    far.destroy();
    await closed;
    expect(stream.errored).toMatchObject({ code: 'ECONNRESET' });
    await incidents.count(1);
  },
);

describe('a stream over a client', () => {
  it.each(allPlaces)('I2: is there before the connection, and dials by itself, $name', async (place) => {
    const { address } = await serverAt(place, ({ bytes }) => bytes.subscribe(bytes));
    const stream = toNodeStream(connect(address, place.options));
    const events = told(stream);
    expect([stream.connecting, stream.pending, stream.readyState]).toEqual([true, true, 'opening']);
    expect([stream.remoteAddress, stream.localPort, stream.address()]).toEqual([undefined, undefined, {}]);
    stream.write('hello ');
    stream.end('there');
    expect((await contents(stream)).toString()).toBe('hello there');
    await until(() => events.includes('close false'));
    expect(events.slice(0, 2)).toEqual(['connect', 'ready']);
    expect([stream.connecting, stream.bytesWritten, stream.bytesRead]).toEqual([false, 11, 11]);
  });

  it('I2: tells where it goes, as the socket of the connection would', async () => {
    const { raw, near } = await acceptedAt(tcp);
    const stream = toNodeStream(near);
    expect([stream.remoteAddress, stream.remotePort, stream.remoteFamily]).toEqual([
      raw.localAddress,
      raw.localPort,
      raw.localFamily,
    ]);
    expect([stream.localAddress, stream.localPort, stream.localFamily]).toEqual([
      raw.remoteAddress,
      raw.remotePort,
      raw.remoteFamily,
    ]);
    expect(stream.address()).toEqual({ address: raw.remoteAddress, family: raw.remoteFamily, port: raw.remotePort });
    stream.destroy();
  });

  it('I2: connect() tells a listener, whether the connection is open or not', async () => {
    const { address } = await serverAt(tcp, ({ bytes }) => bytes.subscribe(bytes));
    const client = connect(address);
    const stream = toNodeStream(client);
    await new Promise<void>((resolve) => void stream.connect(1, 'localhost', resolve));
    expect(stream.connecting).toBe(false);
    stream.destroy();

    const connection = await connect(address).open();
    const other = toNodeStream(connection);
    expect(other.connecting).toBe(false);
    const events = told(other);
    expect(other.connect(1)).toBe(other);
    expect(events).toEqual([]);
    await until(() => events.length === 2);
    expect(events).toEqual(['connect', 'ready']);
    other.destroy();

    const watched = connect(address);
    const watching = watched.subscribe();
    await watched.open();
    const third = toNodeStream(watched);
    expect(third.connecting).toBe(false);
    await new Promise<void>((resolve) => void third.connect(resolve));
    third.destroy();
    watching.unsubscribe();
  });

  it('I2: a failure to connect is its error', async () => {
    const address = await rawServer(tcp, () => undefined);
    const { port } = address as { port: number };
    const free = await import('node:net').then(async ({ createServer }) => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port: unused } = server.address() as { port: number };
      server.close();
      return unused;
    });
    expect(free).not.toBe(port);
    const stream = toNodeStream(connect({ port: free, host: '127.0.0.1' }));
    const events = told(stream);
    const written: unknown[] = [];
    stream.write('x', (error) => written.push((error as NodeJS.ErrnoException).code));
    await until(() => events.length === 2);
    expect(events).toEqual(['error ECONNREFUSED', 'close true']);
    expect(written).toEqual(['ECONNREFUSED']);
  });

  it('I2: destroyed before it is connected, it leaves nothing', async () => {
    const { server, address } = await serverAt(tcp, () => undefined);
    const stream = toNodeStream(connect(address));
    const events = told(stream);
    const written: unknown[] = [];
    stream.write('x', (error) => written.push((error as NodeJS.ErrnoException).code));
    stream.destroy();
    await until(() => events.length > 0 && written.length > 0);
    expect(events).toEqual(['close false']);
    expect(written).toEqual(['ERR_CLOSED']);
    await turns();
    expect(server.connections.size).toBe(0);
  });

  it('I2: a driver may go on writing after the server has ended, unless it is told otherwise', async () => {
    for (const halfOpen of [undefined, true, false]) {
      const received = new Promise<Buffer>((resolve, reject) => {
        void rawServer(tcp, (socket) => {
          socket.end('bye');
          readAll(socket).then(resolve, reject);
        }).then(async (address) => {
          const stream = toNodeStream(connect(address, { halfOpen }));
          const written: unknown[] = [];
          stream.resume();
          await once(stream, 'end');
          await turns();
          stream.on('error', (error: NodeJS.ErrnoException) => written.push(error.code));
          if (halfOpen === false) {
            expect(stream.writableEnded).toBe(true);
          } else {
            stream.write('thank ');
            await turns();
            stream.end('you');
          }
        });
      });
      expect((await received).toString()).toBe(halfOpen === false ? '' : 'thank you');
    }
  });

  it('I2: writing after the end of the peer has ended the stream is EPIPE', async () => {
    const address = await rawServer(tcp, (socket) => {
      socket.resume().end('bye');
    });
    const stream = toNodeStream(connect(address));
    // As the option halfOpen, for this stream alone; the connection sets it where the option is given.
    stream.once('connect', () => {
      stream.allowHalfOpen = false;
      stream.resume();
    });
    const written: unknown[] = [];
    const events = told(stream);
    stream.once('finish', () => stream.write('x', (error) => written.push((error as NodeJS.ErrnoException).code)));
    await until(() => events.includes('close true'));
    expect(written).toEqual(['EPIPE']);
    expect(events.filter((event) => event.startsWith('error'))).toEqual(['error EPIPE']);
  });

  it('I2: a client has one stream at a time, and another one after it', async () => {
    const { address } = await serverAt(tcp, ({ bytes }) => bytes.subscribe(bytes));
    const client = connect(address);
    const stream = toNodeStream(client);
    expect(() => toNodeStream(client)).toThrow(expect.objectContaining({ code: 'ERR_OPTION_INVALID' }));
    await once(stream, 'connect');
    stream.destroy();
    const next = toNodeStream(client);
    next.end('again');
    expect((await contents(next)).toString()).toBe('again');
  });

  it('I2: with reconnect it dials until there is a connection, and ends with it', async () => {
    const place = tcp;
    let count = 0;
    const address = await rawServer(place, (socket) => {
      count++;
      socket.on('data', (chunk) => socket.end(chunk));
    });
    const server = { port: (address as { port: number }).port };
    let attempts = 0;
    const client = connect(
      { ...server, host: '127.0.0.1' },
      {
        reconnect: backoff({ initial: 1, max: 1 }),
        prepare: () => {
          if (++attempts < 3) throw new Error('not yet');
        },
      },
    );
    const stream = toNodeStream(client);
    const events = told(stream);
    stream.end('hello');
    expect((await contents(stream)).toString()).toBe('hello');
    await until(() => events.includes('close false'));
    await turns(50);
    expect([attempts, count]).toEqual([3, 3]);
  });

  it('I2: it reads the bytes of a client that has a codec, and a channel as it is', async () => {
    const { address } = await serverAt(tcp, ({ bytes }) => bytes.subscribe(bytes));
    const raw = toNodeStream(connect(address, { codec: lines() }));
    raw.end('no newline');
    expect((await contents(raw)).toString()).toBe('no newline');
    const { near, far } = await pairAt(tcp);
    const framed = toNodeStream(near.bytes.framed(lengthPrefixed()));
    framed.write('one');
    framed.end('two');
    const other = far.bytes.framed(lengthPrefixed());
    const there = record(other);
    other.next(Buffer.from('three'));
    other.next(Buffer.from('four'));
    other.complete();
    expect((await contents(framed)).toString()).toBe('threefour');
    expect(await there.end()).toBe('complete');
    expect(there.values.map(String)).toEqual(['one', 'two']);
  });

  it('I2: anything else is refused', () => {
    for (const wrong of [undefined, null, {}, 'tcp://localhost:1', { data: 1 }]) {
      expect(() => toNodeStream(wrong as never)).toThrow(expect.objectContaining({ code: 'ERR_OPTION_INVALID' }));
    }
  });
});

describe('what only a socket has', () => {
  it.each(securePlaces)('I2: members of TLS where there is TLS, $name', async (place) => {
    const { near, far } = await pairAt(place);
    for (const connection of [near, far]) {
      const stream = toNodeStream(connection) as SocketStream & { getPeerCertificate(): object };
      expect(stream.encrypted).toBe(true);
      expect(stream.authorized).toBe(connection.tls?.authorized);
      expect(stream.alpnProtocol).toBe(false);
      expect(stream.getPeerCertificate()).toBe(connection.tls?.peerCertificate);
      stream.destroy();
    }
    const { address } = await serverAt(place, () => undefined);
    const early = toNodeStream(connect(address, place.options));
    expect(early.encrypted).toBe(true);
    await once(early, 'secureConnect');
    expect(early.authorized).toBe(true);
    early.destroy();
  });

  it.each([...realPlaces, memory()])('I2: none of them elsewhere, $name', async (place) => {
    const { near } = await pairAt(place);
    const stream = toNodeStream(near);
    for (const name of ['encrypted', 'authorized', 'alpnProtocol', 'servername', 'getPeerCertificate']) {
      expect(name in stream).toBe(false);
    }
    stream.destroy();
  });

  it('I2: setTimeout tells of silence, again after each activity, and ends nothing', async () => {
    const { near, raw } = await acceptedAt(tcp);
    const stream = toNodeStream(near);
    const events = told(stream.resume());
    let called = 0;
    expect(stream.setTimeout(20, () => called++)).toBe(stream);
    expect(stream.timeout).toBe(20);
    await once(stream, 'timeout');
    await once(stream.setTimeout(20), 'timeout');
    raw.write('x');
    await once(stream, 'timeout');
    stream.write('y');
    await once(stream, 'timeout');
    expect([called, events]).toEqual([1, ['timeout', 'timeout', 'timeout', 'timeout']]);
    stream.setTimeout(0);
    expect(() => stream.setTimeout(-1)).toThrow(expect.objectContaining({ code: 'ERR_OPTION_INVALID' }));
    expect(() => stream.setTimeout('1' as never)).toThrow(expect.objectContaining({ code: 'ERR_OPTION_INVALID' }));
    stream.destroy();
    expect(stream.setTimeout(5)).toBe(stream);
  });

  it('I2: setNoDelay, setKeepAlive, ref and unref reach the socket, also before it is connected', async () => {
    const { near, client } = await dialledAt(tcp);
    expect(client).toBeDefined();
    const stream = toNodeStream(near);
    for (const result of [stream.setNoDelay(), stream.setKeepAlive(true, 1_000), stream.unref(), stream.ref()]) {
      expect(result).toBe(stream);
    }
    stream.destroy();
    const { near: inMemory } = await pairAt(memory());
    expect(toNodeStream(inMemory).setNoDelay(true).unref().destroy().destroyed).toBe(true);
  });
});
