import net from 'node:net';
import { firstValueFrom } from 'rxjs';
import { connect, type Connection, type ListenOptions, SocketError } from 'rxjs-sockets';
import { lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { type Place, securePlaces } from '../support/transport/places.js';
import { acceptedAt, clientAt, dialledAt, pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { cutter } from '../support/sockets/tls-client.js';
import { settled } from '../support/scheduling/event-loop.js';
import { readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { until } from '../support/scheduling/event-loop.js';
import { lastRecord, tapAt } from '../support/sockets/wire-tap.js';
import { usesInternals } from '../support/transport/node/internals/uses-internals.js';

async function cutAt<T>(place: Place, options: ListenOptions<T, T>) {
  let accepted: (connection: Connection<T, T>) => void = () => undefined;
  const near = new Promise<Connection<T, T>>((resolve) => {
    accepted = resolve;
  });
  const { address, server } = await serverAt<T, T>(place, (connection) => accepted(connection), options);
  const peer = await cutter(address);
  return { near: await near, server, ...peer };
}

describe.each(securePlaces)('the end of a stream, over $name', (place) => {
  it.each([
    ['a frame', lengthPrefixed(), Buffer.from([0, 0, 0, 9, 65])],
    ['a line', lines(), Buffer.from('whole\npart')],
  ])('T5: a FIN inside %s, without a close_notify, is ERR_FRAME_TRUNCATED', async (name, codec, bytes) => {
    const { near, secured, below } = await cutAt(place, { codec });
    const recording = record(near.data);
    secured.write(bytes, () => below.end());
    if (name === 'a line' && !usesInternals) {
      // If the transport does not use Node's internals, every FIN counts as the end, and then the last line needs no
      // newline (D4).
      expect(await recording.end()).toBe('complete');
      expect(recording.values).toEqual(['whole', 'part']);
      near.destroy();
      return;
    }
    expect(await recording.end()).toMatchObject({ code: 'ERR_FRAME_TRUNCATED' });
    expect(recording.values).toEqual(name === 'a line' ? ['whole'] : []);
    expect(await firstValueFrom(near.closed)).toMatchObject({
      reason: 'failed',
      error: { code: 'ERR_FRAME_TRUNCATED' },
    });
  });

  it('T5: if a FIN without a close_notify arrives between frames, a server reports ERR_TLS after everything received', async () => {
    const { near, server, secured, below } = await cutAt(place, { codec: lines() });
    const incidents = record(server.incidents);
    const recording = record(near.data);
    secured.write('one\ntwo\n', () => below.end());
    const end = await recording.end();
    expect(recording.values).toEqual(['one', 'two']);
    if (!usesInternals) {
      expect(end).toBe('complete');
      near.destroy();
      return;
    }
    expect(end).toMatchObject({ code: 'ERR_TLS' });
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed', error: { code: 'ERR_TLS' } });
    expect(incidents.values).toMatchObject([{ code: 'ERR_TLS' }]);
  });

  it('T5: a server reports ERR_TLS for a missing close_notify even if the connection has no reader, or if 300,000 bytes were received', async () => {
    const { near, secured, below } = await cutAt<Buffer>(place, {});
    secured.write(Buffer.alloc(300_000), () => below.end());
    const hold = near.data.hold();
    let size = 0;
    const recording = record(near.data, (chunk) => (size += chunk.length));
    await until(() => near.stats.bytesRead > 65_535);
    hold.release();
    const end = await recording.end();
    expect(size).toBe(300_000);
    if (!usesInternals) {
      expect(end).toBe('complete');
      near.destroy();
      return;
    }
    expect(end).toMatchObject({ code: 'ERR_TLS' });
    const unread = await cutAt<Buffer>(place, {});
    unread.below.end();
    expect(await firstValueFrom(unread.near.closed)).toMatchObject({ error: { code: 'ERR_TLS' } });
  });

  it('T5: a client accepts a FIN without a close_notify as the end, unless the client has received nothing', async () => {
    const answering = await dialledAt(place, { codec: lines() });
    const recording = record(answering.near.data);
    answering.raw.write('one\n', () => answering.raw.destroy());
    expect(await recording.end()).toBe('complete');
    expect(recording.values).toEqual(['one']);
    const silent = await dialledAt(place, { codec: lines() });
    const nothing = record(silent.near.data);
    silent.raw.destroy();
    if (usesInternals) expect(await nothing.end()).toMatchObject({ code: 'ERR_TLS' });
    else expect(await nothing.end()).toBe('complete');
  });

  it.runIf(place.name === 'tls')('T5: client and server report a reset after all bytes as ECONNRESET', async () => {
    const bytes = Buffer.alloc(300_000);
    const accepted = await cutAt<Buffer>(place, {});
    const below: net.Socket[] = [];
    const raw: net.Socket[] = [];
    const address = await rawServer(
      place,
      (socket) => raw.push(socket),
      (socket) => below.push(socket),
    );
    const dialled = await clientAt(place, address);
    await until(() => raw.length === 1);
    const ends = [
      [accepted.near, accepted.secured, accepted.below],
      [dialled.connection, raw[0]!, below[0]!],
    ] as const;
    for (const [near, secured, underneath] of ends) {
      const hold = near.data.hold();
      const recording = record(near.data);
      await new Promise((resolve) => secured.write(bytes, resolve));
      underneath.resetAndDestroy();
      hold.release();
      const end = await recording.end();
      if (usesInternals) expect(end).toMatchObject({ code: 'ECONNRESET' });
      // libuv sometimes reports the reset as the end, so only the framing shows whether the stream is complete.
      else if (end !== 'complete') expect(end).toMatchObject({ code: 'ECONNRESET' });
    }
  });

  it('T5: while this side discards its input, a FIN without a close_notify is not an error', async () => {
    const { near, secured, below } = await cutAt<Buffer>(place, {});
    const closed = near.close();
    await new Promise((resolve) => secured.once('end', resolve));
    below.end();
    await closed;
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'T6: with %s, a close_notify precedes the FIN, in whatever way this side ends its sending side',
    async (version) => {
      const ways: ((connection: Connection) => void)[] = [
        ({ data }) => data.complete(),
        ({ data }) => {
          data.next('at once');
          data.complete();
        },
        ({ data }) => {
          void data.send('at once').then(() => data.complete());
        },
        ({ data }) => {
          data.next(Buffer.alloc(500_000));
          data.complete();
        },
      ];
      const wire: Buffer[] = [];
      for (const way of ways) {
        const { address } = await serverAt(place, way, { tls: { ...place.options.tls, maxVersion: version } });
        const { below, secured } = await cutter(await tapAt(place, address, wire));
        await new Promise((resolve) => secured.once('end', resolve));
        // The close_notify is an alert of two bytes. TLS 1.3 sends it as a data record, with one byte for the type and an
        // authentication tag of 16 bytes.
        expect(lastRecord(Buffer.concat(wire.splice(0)))).toBe(version === 'TLSv1.2' ? '150303' : '1703030013');
        below.destroy();
      }
    },
  );

  it('C11: close() delivers a reply of 4 MB, although nobody reads the input that the peer has sent', async () => {
    const reply = Buffer.alloc(4_000_000, 'r');
    const { near, raw } = await acceptedAt(place, { maxBuffered: 8_000_000 });
    raw.write('more\n'.repeat(50_000));
    const received = readAll(raw);
    near.data.next(reply);
    const closed = near.close();
    expect((await received).equals(reply)).toBe(true);
    raw.end();
    await closed;
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
  });

  it('C6: after complete() the receiving side continues', async () => {
    const { near, raw } = await acceptedAt(place, { codec: lines() });
    const recording = record(near.data);
    near.data.next('last');
    near.data.complete();
    expect(String(await readAll(raw))).toBe('last\n');
    raw.end('one\ntwo\n');
    expect(await recording.end()).toBe('complete');
    expect(recording.values).toEqual(['one', 'two']);
  });

  it('T7: after a destroy, the peer sees a reset, or a FIN without a close_notify', async () => {
    const { near, far } = await pairAt(place, { codec: lines() });
    const recording = record(far.data);
    near.destroy();
    const { code } = (await recording.end()) as SocketError;
    expect(['ECONNRESET', 'ERR_TLS']).toContain(code);
  });

  it('T7: either side can destroy a connection right after the connection opens, and a server can refuse a client beyond `maxConnections`', async () => {
    const { server, address } = await serverAt(place, (connection) => connection.destroy(), { maxConnections: 1 });
    const incidents = record(server.incidents);
    for (let i = 0; i < 5; i++) {
      const { client } = await clientAt(place, address);
      const ended = await record(client).end();
      if (usesInternals || ended !== 'complete') expect(ended).toBeInstanceOf(SocketError);
    }
    expect(incidents.endings).toEqual([]);
    const full = await serverAt(place, () => undefined, { maxConnections: 1 });
    await clientAt(place, full.address);
    const refused = await record(connect(full.address, place.options)).end();
    if (usesInternals || refused !== 'complete') expect(refused).toBeInstanceOf(SocketError);
    const dialled = await rawServer(place, (socket) => socket.resume());
    for (let i = 0; i < 5; i++) (await clientAt(place, dialled)).connection.destroy();
  });

  it('C14: for a peer that does not read, at most maxBuffered and one value are buffered, and no other peer is delayed', async () => {
    const { near, raw } = await acceptedAt(place, { overflow: 'drop', maxBuffered: 200_000 });
    raw.pause();
    const chunk = Buffer.alloc(50_000);
    let most = 0;
    await until(() => {
      near.data.next(chunk);
      most = Math.max(most, near.data.bufferedBytes);
      return near.data.dropped > 20;
    });
    expect(most).toBeLessThanOrEqual(250_000);
    const other = await acceptedAt(place);
    other.near.data.next('quick');
    other.near.data.complete();
    expect(String(await readAll(other.raw))).toBe('quick');
    near.destroy();
    expect(near.data.bufferedBytes).toBe(0);
  });

  it('F3: a held channel makes the peer wait', async () => {
    const { near, raw } = await acceptedAt(place);
    near.data.hold();
    record(near.data);
    raw.write(Buffer.alloc(30_000_000));
    await until(() => near.stats.bytesRead >= 65_536);
    await settled();
    expect(near.stats.bytesRead).toBeLessThan(65_536 * 3);
    expect(raw.writableLength).toBeGreaterThan(10_000_000);
  });
});
