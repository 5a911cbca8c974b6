import type net from 'node:net';
import { firstValueFrom } from 'rxjs';
import { type Connection, SocketError } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { places, realPlaces } from '../support/transport/places.js';
import { acceptedAt, dialledAt, pairAt, serverAt } from '../support/connection/connected-pairs.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { abort, readAll } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { turns, until } from '../support/scheduling/event-loop.js';
import { usesInternals } from '../support/transport/node/internals/uses-internals.js';

const codec = lines();

describe.each(places)('failures, over $name', (place) => {
  it('C8: a local destroy reaches every subscriber as ERR_CLOSED with the given reason as cause', async () => {
    const { near } = await pairAt(place, { codec });
    const recordings = [record(near.data), record(near.data), record(near.bytes)];
    const reason = new Error('enough');
    near.destroy(reason);
    for (const { endings } of recordings) {
      expect(endings).toEqual([expect.any(SocketError)]);
      expect(endings).toMatchObject([{ code: 'ERR_CLOSED', cause: reason, address: near.remote }]);
    }
    const late = record(near.data);
    expect(await late.end()).toMatchObject({ code: 'ERR_CLOSED', cause: reason });
  });

  it('C8: error() of a channel destroys the connection, and a destroy() without a reason gives an error without a cause', async () => {
    const { near } = await pairAt(place, { codec });
    const recording = record(near.bytes);
    near.data.error('a reason');
    expect(recording.endings).toMatchObject([{ code: 'ERR_CLOSED', cause: 'a reason' }]);
    expect(near.data.closed).toBe(true);
    const other = await pairAt(place, { codec });
    const otherRecording = record(other.near.data);
    other.near.destroy();
    expect(otherRecording.endings).toMatchObject([{ code: 'ERR_CLOSED' }]);
    expect('cause' in (otherRecording.endings[0] as SocketError)).toBe(false);
  });

  it('C8: a local destroy is reported immediately, even while the Flow is held, and the values that the Flow has not emitted are dropped', async () => {
    const { near, far } = await pairAt(place, { codec });
    const hold = near.data.hold();
    const recording = record(near.data);
    far.data.next('a');
    await until(() => near.stats.bytesRead === 2);
    near.destroy();
    expect(recording.endings).toMatchObject([{ code: 'ERR_CLOSED' }]);
    hold.release();
    expect(recording.values).toEqual([]);
  });

  it('C8: the peer sees a destroy as ECONNRESET, but on a unix socket, which has no reset, as a FIN', async () => {
    const { near, far } = await pairAt(place, { codec });
    const recording = record(far.data);
    near.destroy();
    const end = await recording.end();
    if (place.name === 'unix') expect(end).toBe('complete');
    else expect(end).toMatchObject({ code: 'ECONNRESET', address: far.remote });
  });

  it('C8: a destroy after complete() resets the connection if data is still unsent', async () => {
    const { near, far } = await pairAt(place, { maxBuffered: 1 << 26 });
    const hold = far.data.hold();
    const recording = record(far.data);
    near.data.next(Buffer.alloc(16 << 20));
    near.data.complete();
    await turns();
    near.destroy();
    hold.release();
    const end = await recording.end();
    expect(near.stats.bytesWritten).toBeLessThan(16 << 20);
    // If the transport does not use Node's internals, Node may report a reset that arrives right after data as the end
    // of the stream.
    if (place.name !== 'unix' && (usesInternals || end !== 'complete'))
      expect(end).toMatchObject({ code: 'ECONNRESET' });
  });

  it('C8: a failure while the Flow is held is reported after the values received before the failure', async () => {
    const { near, far } = await pairAt(place, { codec });
    const hold = near.data.hold();
    const recording = record(near.data);
    for (const line of ['a', 'b', 'c']) far.data.next(line);
    await until(() => near.stats.bytesRead === 6);
    near.bytes.next('x');
    near.data.next('a line with\nanother in it');
    expect(near.data.closed).toBe(true);
    await firstValueFrom(near.closed);
    expect([recording.values, recording.endings]).toEqual([[], []]);
    hold.release();
    expect(recording.values).toEqual(['a', 'b', 'c']);
    expect(recording.endings).toMatchObject([{ code: 'ERR_FRAME_INVALID' }]);
  });

  it('C8: bytes that cannot be decoded cause one error, which follows the values before these bytes, and the connection ends', async () => {
    const { near, far } = await pairAt(place, { codec });
    const [lined, bytes, there] = [record(near.data), record(near.bytes), record(far.data)];
    bytes.subscription.unsubscribe();
    far.bytes.next(Buffer.concat([Buffer.from('a\nb\n'), Buffer.of(0xff, 10), Buffer.from('c\n')]));
    expect(await lined.end()).toMatchObject({ code: 'ERR_FRAME_INVALID' });
    expect(lined.values).toEqual(['a', 'b']);
    far.data.complete();
    expect(await firstValueFrom(near.closed)).toMatchObject({
      reason: 'failed',
      error: { code: 'ERR_FRAME_INVALID' },
    });
    await there.end();
    await expect(near.data.send('too late')).rejects.toMatchObject({ code: 'ERR_FRAME_INVALID' });
  });

  it('C10: connections that fail without a subscriber affect nothing else', async () => {
    const failing = await pairAt(place, { codec });
    const standing = await pairAt(place, { codec });
    failing.near.data.next('no\nline');
    failing.far.destroy();
    expect(await firstValueFrom(failing.near.closed)).toMatchObject({ error: { code: 'ERR_FRAME_INVALID' } });
    expect(await firstValueFrom(failing.far.closed)).toMatchObject({ reason: 'destroyed' });
    // During these turns, an unhandled error would end the process or fail this test.
    await turns();
    const recording = record(standing.near.data);
    standing.far.data.next('still here');
    await recording.count(1);
  });
});

describe.each(realPlaces)('failures, against node:net over $name', (place) => {
  it('C8: a reset by a plain client is reported as one error, after everything received before the reset', async () => {
    const { near, raw } = await acceptedAt(place, { codec });
    const hold = near.data.hold();
    const recordings = [record(near.data), record(near.data)];
    raw.write('a\nb\nunfinished');
    await until(() => near.stats.bytesRead === 14);
    await abort(raw, near);
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed', error: { code: 'ECONNRESET' } });
    hold.release();
    for (const recording of recordings) {
      expect(recording.values).toEqual(['a', 'b']);
      expect(recording.endings).toMatchObject([{ code: 'ECONNRESET', address: near.remote, cause: { errno: -104 } }]);
    }
  });

  it('C8: an abort in the middle of a stream is reported as an error', async () => {
    const { near, raw } = await dialledAt(place);
    const recording = record(near.data);
    raw.write(Buffer.alloc(100_000));
    await recording.count(1);
    await abort(raw, near);
    expect(await recording.end()).toMatchObject({ code: 'ECONNRESET' });
  });

  it.each([
    ['open', false],
    ['ended', true],
  ])('C8: with the sending side %s, an abort right after the last bytes is reported as an error', async (_, ended) => {
    const { near, raw } = await acceptedAt(place, { codec });
    const recording = record(near.data);
    // A unix socket is reset only if input is left unread.
    if (place.name === 'unix') near.bytes.next(Buffer.alloc(150_000));
    if (ended) near.data.complete();
    await turns();
    await new Promise((resolve) => raw.pause().write('last words\nunfinished', resolve));
    if (place.name === 'tcp') raw.resetAndDestroy();
    else raw.destroy();
    const end = await recording.end();
    if (!usesInternals && end === 'complete') {
      // Some versions of libuv report the reset as the end of the stream, but lose no bytes. Node 26 reports the reset.
      expect(recording.values).toEqual(['last words', 'unfinished']);
      near.destroy();
      return;
    }
    expect(end).toMatchObject({ code: 'ECONNRESET', cause: { code: 'ECONNRESET' } });
    expect(recording.values).toEqual(['last words']);
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed', bytesRead: 21 });
  });

  it('C8: bytes that arrived before the reset, while reading was stopped, are emitted before the error', async () => {
    const { near, raw } = await acceptedAt(place);
    const hold = near.data.hold();
    let size = 0;
    const recording = record(near.data, (chunk) => (size += chunk.length));
    // Reading stops when one byte more than the read-ahead limit is buffered. If the transport does not use Node's
    // internals, the 1,000 bytes below are still read.
    raw.write(Buffer.alloc(65_537));
    await until(() => near.stats.bytesRead === 65_537);
    raw.write(Buffer.alloc(1_000));
    await turns();
    await abort(raw, near);
    await turns();
    hold.release();
    expect(await recording.end()).toMatchObject({ code: 'ECONNRESET' });
    expect(size).toBe(66_537);
  });

  it('C8: bytes that are still unread when this side destroys the connection are never emitted', async () => {
    const { near, raw } = await acceptedAt(place);
    const hold = near.data.hold();
    const early = record(near.data);
    raw.write(Buffer.alloc(65_537));
    await until(() => near.stats.bytesRead === 65_537);
    raw.write(Buffer.alloc(1_000));
    await turns();
    near.destroy();
    await firstValueFrom(near.closed);
    const late = record(near.bytes);
    hold.release();
    for (const recording of [early, late]) expect(await recording.end()).toMatchObject({ code: 'ERR_CLOSED' });
    expect([early.values, late.values]).toEqual([[], []]);
  });

  it('C8: a plain client sees a destroy as a reset, but on a unix socket as a FIN', async () => {
    const { near, raw } = await acceptedAt(place);
    raw.write('something, so that it is open');
    await until(() => near.stats.bytesRead > 0);
    near.destroy();
    if (place.name === 'unix') expect((await readAll(raw)).length).toBe(0);
    else await expect(readAll(raw)).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  it('C10: resets of connections without a reader do not affect the server, other clients or the process', async () => {
    const connections: Connection<string, string>[] = [];
    const { server, address } = await serverAt<string, string>(place, (connection) => connections.push(connection), {
      codec,
    });
    const clients: net.Socket[] = [];
    for (let count = 1; count <= 5; count++) {
      clients.push(await rawClient(address));
      await until(() => connections.length === count);
    }
    for (const [index, connection] of connections.slice(1).entries()) {
      await abort(clients[index + 1]!, connection);
      expect(await firstValueFrom(connection.closed)).toMatchObject({ error: { code: 'ECONNRESET' } });
    }
    expect([...server.connections]).toEqual([connections[0]]);
    clients[0]?.write('still here\n');
    expect(await firstValueFrom(connections[0]!.data)).toBe('still here');
    await rawClient(address);
    await until(() => connections.length === 6);
  });

  it('C10: a reset that arrives before the first subscriber is reported by `closed`, and to every later subscriber', async () => {
    const { near, raw } = await dialledAt(place, { codec });
    raw.write('last words\n');
    await until(() => near.stats.bytesRead === 11);
    await abort(raw, near);
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed', error: { code: 'ECONNRESET' } });
    const recording = record(near.data);
    expect(await recording.end()).toMatchObject({ code: 'ECONNRESET' });
    expect(recording.values).toEqual(['last words']);
  });
});
