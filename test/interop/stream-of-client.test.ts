import { once } from 'node:events';
import { backoff, connect } from 'rxjs-sockets';
import { lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { type SocketStream, toNodeStream } from 'rxjs-sockets/interop';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { allPlaces, memory, realPlaces, securePlaces, tcp } from '../support/transport/places.js';
import { acceptedAt, dialledAt, pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';
import { eventsOf, contents } from '../support/interop/stream-events.js';

describe('a stream over a client', () => {
  it.each(allPlaces)('I2: exists before its connection, and makes the client dial, over $name', async (place) => {
    const { address } = await serverAt(place, ({ bytes }) => bytes.subscribe(bytes));
    const stream = toNodeStream(connect(address, place.options));
    const events = eventsOf(stream);
    expect([stream.connecting, stream.pending, stream.readyState]).toEqual([true, true, 'opening']);
    expect([stream.remoteAddress, stream.localPort, stream.address()]).toEqual([undefined, undefined, {}]);
    stream.write('hello ');
    stream.end('there');
    expect((await contents(stream)).toString()).toBe('hello there');
    await until(() => events.includes('close false'));
    expect(events.slice(0, 2)).toEqual(['connect', 'ready']);
    expect([stream.connecting, stream.bytesWritten, stream.bytesRead]).toEqual([false, 11, 11]);
  });

  it('I2: a stream over client.data is destroyed, and its connection closed, if the codec throws on connecting', async () => {
    const seen: Promise<Buffer>[] = [];
    const address = await rawServer(tcp, (socket) => seen.push(readAll(socket)));
    const bug = Object.assign(new Error('no encoder'), { code: 'EBUG' });
    let encoders = 0;
    const codec = {
      decoder: lines().decoder,
      encoder: () => {
        if (encoders++ > 0) throw bug;
        return lines().encoder();
      },
    };
    const stream = toNodeStream(connect(address, { codec }).data as never);
    const events = eventsOf(stream);
    await until(() => events.length === 2 && seen.length === 1);
    expect(events).toEqual(['error EBUG', 'close true']);
    expect(await seen[0]).toHaveLength(0);
  });

  it('I2: shows the same addresses as the socket of its connection', async () => {
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

  it('I2: calls the listener of connect(), whether the connection is already open or not', async () => {
    const { address } = await serverAt(tcp, ({ bytes }) => bytes.subscribe(bytes));
    const client = connect(address);
    const stream = toNodeStream(client);
    await new Promise<void>((resolve) => void stream.connect(1, 'localhost', resolve));
    expect(stream.connecting).toBe(false);
    stream.destroy();

    const connection = await connect(address).open();
    const other = toNodeStream(connection);
    expect(other.connecting).toBe(false);
    const events = eventsOf(other);
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

  it('I2: fails with the error of a failed dial', async () => {
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
    const events = eventsOf(stream);
    const written: unknown[] = [];
    stream.write('x', (error) => written.push((error as NodeJS.ErrnoException).code));
    await until(() => events.length === 2);
    expect(events).toEqual(['error ECONNREFUSED', 'close true']);
    expect(written).toEqual(['ECONNREFUSED']);
  });

  it('I2: leaves nothing behind if it is destroyed before it is connected', async () => {
    const { server, address } = await serverAt(tcp, () => undefined);
    const stream = toNodeStream(connect(address));
    const events = eventsOf(stream);
    const written: unknown[] = [];
    stream.write('x', (error) => written.push((error as NodeJS.ErrnoException).code));
    stream.destroy();
    await until(() => events.length > 0 && written.length > 0);
    expect(events).toEqual(['close false']);
    expect(written).toEqual(['ERR_CLOSED']);
    await turns();
    expect(server.connections.size).toBe(0);
  });

  it('I2: can still write after a FIN from the peer, unless `halfOpen` is false', async () => {
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

  it('I2: fails a write with EPIPE once a FIN from the peer has ended the stream', async () => {
    const address = await rawServer(tcp, (socket) => {
      socket.resume().end('bye');
    });
    const stream = toNodeStream(connect(address));
    // The property `allowHalfOpen` does for one stream what the option `halfOpen` does for a client.
    stream.once('connect', () => {
      stream.allowHalfOpen = false;
      stream.resume();
    });
    const written: unknown[] = [];
    const events = eventsOf(stream);
    stream.once('finish', () => stream.write('x', (error) => written.push((error as NodeJS.ErrnoException).code)));
    await until(() => events.includes('close true'));
    expect(written).toEqual(['EPIPE']);
    expect(events.filter((event) => event.startsWith('error'))).toEqual(['error EPIPE']);
  });

  it('I2: is the only stream of its client until the stream ends; then the client can have a new one', async () => {
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

  it('I2: if the client has reconnect, dials until it has a connection, and ends with that connection', async () => {
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
    const events = eventsOf(stream);
    stream.end('hello');
    expect((await contents(stream)).toString()).toBe('hello');
    await until(() => events.includes('close false'));
    await turns(50);
    expect([attempts, count]).toEqual([3, 3]);
  });

  it('I2: carries bytes if made from a client, even with a codec, and messages if made from a channel', async () => {
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

  it('I2: refuses anything but a client, a connection or a channel', () => {
    for (const wrong of [undefined, null, {}, 'tcp://localhost:1', { data: 1 }]) {
      expect(() => toNodeStream(wrong as never)).toThrow(expect.objectContaining({ code: 'ERR_OPTION_INVALID' }));
    }
  });
});

describe('a stream over a client, in place of a socket,', () => {
  it.each(securePlaces)('I2: has the members of a TLS socket if TLS is active, $name', async (place) => {
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

  it.each([...realPlaces, memory()])('I2: has no members of a TLS socket without TLS, $name', async (place) => {
    const { near } = await pairAt(place);
    const stream = toNodeStream(near);
    for (const name of ['encrypted', 'authorized', 'alpnProtocol', 'servername', 'getPeerCertificate']) {
      expect(name in stream).toBe(false);
    }
    stream.destroy();
  });

  it('I2: with setTimeout, emits `timeout` after each silence, and does not end', async () => {
    const { near, raw } = await acceptedAt(tcp);
    const stream = toNodeStream(near);
    const events = eventsOf(stream.resume());
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

  it('I2: accepts setNoDelay, setKeepAlive, ref and unref, with a socket and over the memory transport', async () => {
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
