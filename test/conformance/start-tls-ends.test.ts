import { firstValueFrom } from 'rxjs';
import { listen, serve } from 'rxjs-sockets';
import { lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { settled } from '../support/scheduling/event-loop.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { readAll, readBytes } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { asServer, beginAsClient, secured, sides, startedAt } from '../support/connection/start-tls.js';
import { until } from '../support/scheduling/event-loop.js';
import { lastRecord, tapAt } from '../support/sockets/wire-tap.js';
import { usesInternals } from '../support/transport/node/internals/uses-internals.js';

describe.each(sides)('after TLS has started, $name', (side) => {
  it.each([
    ['a frame', lengthPrefixed(), Buffer.from([0, 0, 0, 9, 65])],
    ['a line', lines(), Buffer.from('whole\npart')],
  ])('T5: a FIN without a close_notify truncates %s, unless a client reads lines', async (name, codec, bytes) => {
    const { near, raw, peer } = await startedAt<unknown, unknown>(side, { codec });
    const recording = record(near.data);
    await new Promise((resolve) => peer.write(bytes, resolve));
    raw.end();
    if (name === 'a line' && (side.role === 'dialled' || !usesInternals)) {
      // A client that has received data accepts a FIN without a close_notify as the end. If the transport does not use
      // Node's internals, every FIN counts as the end.
      expect(await recording.end()).toBe('complete');
      near.destroy();
      return;
    }
    expect(await recording.end()).toMatchObject({ code: 'ERR_FRAME_TRUNCATED' });
    expect(recording.values).toEqual(name === 'a line' ? ['whole'] : []);
    expect(await firstValueFrom(near.closed)).toMatchObject({ error: { code: 'ERR_FRAME_TRUNCATED' } });
  });

  it('T5: between frames, a FIN without a close_notify is ERR_TLS for a server, and for a client that has received nothing under TLS', async () => {
    const { near, raw, peer } = await startedAt<string, string>(side, { codec: lines() });
    const recording = record(near.data);
    await new Promise((resolve) => peer.write('one\n', resolve));
    raw.end();
    if (side.role === 'dialled' || !usesInternals) expect(await recording.end()).toBe('complete');
    else expect(await recording.end()).toMatchObject({ code: 'ERR_TLS' });
    expect(recording.values).toEqual(['one']);
    near.destroy();
    // Unencrypted bytes do not count as received under TLS.
    const { near: other, raw: below } = await side.pair<string, string>({ codec: lines() });
    const silent = record(other.data);
    below.write('in the clear\n');
    await silent.count(1);
    const started = other.startTls(side.options);
    side.begin(below);
    await started;
    below.end();
    if (!usesInternals) {
      expect(await silent.end()).toBe('complete');
      other.destroy();
      return;
    }
    expect(await silent.end()).toMatchObject({ code: 'ERR_TLS' });
    expect(await firstValueFrom(other.closed)).toMatchObject({ reason: 'failed', error: { code: 'ERR_TLS' } });
  });

  it('T6: complete() ends only the sending side, with a close_notify, and the receiving side continues', async () => {
    const { near, peer } = await startedAt<string, string>(side, { codec: lines() });
    const recording = record(near.data);
    near.data.next('last');
    near.data.complete();
    expect(String(await readAll(peer))).toBe('last\n');
    peer.end('one\ntwo\n');
    expect(await recording.end()).toBe('complete');
    expect(recording.values).toEqual(['one', 'two']);
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
  });

  it('T7: after a destroy, the peer sees a reset, or a FIN without a close_notify', async () => {
    const { near, peer, raw } = await startedAt(side);
    peer.resume();
    // Before the destroy, both sides have to read the rest of the handshake.
    await settled();
    const ended = new Promise<string>((resolve) => {
      peer.once('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)));
      for (const socket of [raw, peer])
        for (const event of ['end', 'close']) socket.once(event, () => resolve('closed'));
    });
    near.destroy();
    expect(side.place.name === 'tcp' ? ['ECONNRESET'] : ['ECONNRESET', 'closed']).toContain(await ended);
  });

  it.runIf(side.place.name === 'tcp')('C8: a reset is reported as ECONNRESET', async () => {
    const { near, raw } = await startedAt(side);
    const recording = record(near.data);
    await settled();
    raw.resetAndDestroy();
    expect(await recording.end()).toMatchObject({ code: 'ECONNRESET' });
    expect(await firstValueFrom(near.closed)).toMatchObject({ error: { code: 'ECONNRESET' } });
  });

  it('C11: close() delivers a reply of 4 MB, although nobody reads the input that the peer has sent', async () => {
    const reply = Buffer.alloc(4_000_000, 'r');
    const { near, peer } = await startedAt(side, { maxBuffered: 8_000_000 });
    peer.write('more\n'.repeat(50_000));
    const received = readAll(peer);
    near.data.next(reply);
    const closed = near.close();
    expect((await received).equals(reply)).toBe(true);
    peer.end();
    await closed;
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
  });

  it('C14: for a peer that does not read, at most maxBuffered and one value are buffered', async () => {
    const { near, peer } = await startedAt(side, { overflow: 'drop', maxBuffered: 200_000 });
    peer.pause();
    const chunk = Buffer.alloc(50_000);
    let most = 0;
    await until(() => {
      near.data.next(chunk);
      most = Math.max(most, near.data.bufferedBytes);
      return near.data.dropped > 20;
    });
    expect(most).toBeLessThanOrEqual(250_000);
    near.destroy();
    expect(near.data.bufferedBytes).toBe(0);
  });

  it('F3: while the channel is held, the peer has to wait, and after the release, this side reads the remaining bytes', async () => {
    const { near, peer } = await startedAt(side);
    const hold = near.data.hold();
    let size = 0;
    record(near.data, (chunk) => (size += chunk.length));
    peer.write(Buffer.alloc(30_000_000));
    await until(() => near.stats.bytesRead >= 65_536);
    await settled();
    expect(near.stats.bytesRead).toBeLessThan(65_536 * 3);
    expect(peer.writableLength).toBeGreaterThan(10_000_000);
    hold.release();
    await until(() => size === 30_000_000);
    near.destroy();
  });

  it('F3: a Hold that is taken before TLS starts still holds the channel after the handshake', async () => {
    const { near, raw } = await side.pair();
    const hold = near.data.hold();
    const recording = record(near.data);
    const started = near.startTls(side.options);
    const peer = side.begin(raw);
    await Promise.all([started, secured(peer)]);
    peer.write(Buffer.alloc(1_000_000));
    await until(() => near.stats.bytesRead >= 65_536);
    await settled();
    expect(near.stats.bytesRead).toBeLessThan(65_536 * 3);
    expect(recording.values).toEqual([]);
    hold.release();
    await until(() => near.stats.bytesRead === 1_000_000);
    near.destroy();
  });

  it('C12: idleTimeout still applies, and `stats` counts both the unencrypted bytes and the bytes received and sent under TLS', async () => {
    const { near, raw } = await side.pair<string, string>({ codec: lines(), idleTimeout: 300 });
    const recording = record(near.data);
    raw.write('clear\n');
    await recording.count(1);
    near.data.next('clear');
    const started = near.startTls(side.options);
    await readBytes(raw, 6);
    const peer = side.begin(raw);
    await started;
    peer.write('encrypted\n');
    near.data.next('encrypted');
    await recording.count(2);
    await readBytes(peer, 10);
    expect(near.stats).toMatchObject({ bytesRead: 16, bytesWritten: 16 });
    expect(await recording.end()).toMatchObject({ code: 'ERR_TIMEOUT_IDLE' });
  });

  it('C27: the handshake does not count as silence, but silence after the handshake does', async () => {
    const { near, raw } = await side.pair({ idleTimeout: 100, receiveTimeout: 100 });
    const recording = record(near.data);
    const started = near.startTls(side.options);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const peer = side.begin(raw);
    await Promise.all([started, secured(peer)]);
    expect((await recording.end()) as object).toMatchObject({
      code: expect.stringMatching(/ERR_TIMEOUT_(IDLE|RECEIVE)/) as string,
    });
  });

  it('C7: without halfOpen, the sending side ends after the peer has ended its sending side', async () => {
    const { near, peer } = await startedAt<string, string>(side, { codec: lines(), halfOpen: false });
    const recording = record(near.data, (line) => near.data.next(`${line}!`));
    peer.end('one\ntwo\n');
    expect(String(await readAll(peer))).toBe('one!\ntwo!\n');
    expect(await recording.end()).toBe('complete');
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
  });

  it('C3: values sent in one turn form one TLS record', async () => {
    const { near, peer } = await startedAt<string, string>(side, { codec: lines() });
    const chunks: string[] = [];
    peer.on('data', (chunk) => chunks.push(String(chunk)));
    for (const line of ['one', 'two', 'three']) near.data.next(line);
    await until(() => chunks.length > 0);
    expect(chunks).toEqual(['one\ntwo\nthree\n']);
    near.destroy();
  });

  it('C1: a megabyte that arrives in chunks of many sizes is echoed unchanged', async () => {
    const { near, peer } = await startedAt(side);
    near.data.subscribe(near.data);
    const sent = Buffer.from(Array.from({ length: 1_000_000 }, (_, index) => index % 251));
    for (let at = 0; at < sent.length;) at += writeSome(at);
    function writeSome(at: number): number {
      const length = 1 + ((at * 7) % 40_000);
      peer.write(sent.subarray(at, at + length));
      return length;
    }
    peer.end();
    expect((await readAll(peer)).equals(sent)).toBe(true);
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
  });
});

describe.each(sides.filter(({ role }) => role === 'accepted'))('after TLS has started, $name', ({ place }) => {
  it.each(['TLSv1.2', 'TLSv1.3'] as const)('T6: a close_notify precedes the FIN, with %s', async (version) => {
    const wire: Buffer[] = [];
    const { address } = await serverAt(place, (connection) => {
      connection.data.next('go');
      void connection.startTls({ ...asServer, maxVersion: version });
      connection.data.next('last');
      connection.data.complete();
    });
    const raw = await rawClient(await tapAt(place, address, wire));
    await readBytes(raw, 2);
    const peer = beginAsClient(raw);
    expect(String(await readAll(peer))).toBe('last');
    // The close_notify is an alert of two bytes. TLS 1.3 sends it in an encrypted record of 19 bytes: the alert, its
    // type, and a tag of 16 bytes.
    expect(lastRecord(Buffer.concat(wire).subarray(2))).toBe(version === 'TLSv1.2' ? '150303' : '1703030013');
    peer.end();
  });

  it('S7: shutdown closes connections that have started TLS, and connections whose handshake is in progress', async () => {
    const { server, address } = await serverAt(place, (connection) => {
      void connection.startTls(asServer);
      connection.data.subscribe({ error: () => undefined });
    });
    const done = beginAsClient(await rawClient(address));
    await secured(done);
    const silent = await rawClient(address);
    await until(() => server.connections.size === 2);
    silent.resume();
    const stopped = server.shutdown({ deadline: 100 });
    expect(String(await readAll(done))).toBe('');
    done.end();
    await stopped;
    expect(server.connections.size).toBe(0);
  });

  it('S7: shutdown waits for a handler that waits for a handshake', async () => {
    const listening = listen<string, string>(await place.address(), { codec: lines() });
    const bound = firstValueFrom(listening.listening);
    const served = record(
      listening.pipe(
        serve(async (connection) => {
          connection.data.next('go');
          await connection.startTls(asServer);
          connection.data.next('the last words');
        }),
      ),
    );
    const raw = await rawClient(await bound);
    expect(String(await readBytes(raw, 3))).toBe('go\n');
    const stopped = listening.shutdown();
    await settled();
    const peer = beginAsClient(raw);
    expect(String(await readAll(peer))).toBe('the last words\n');
    peer.end();
    await stopped;
    expect(served.values).toMatchObject([{ reason: 'finished' }]);
  });

  it('S6: a handler of serve can start TLS, and a failed handshake is not a failure of the handler', async () => {
    const listening = listen<string, string>(await place.address(), { codec: lines() });
    const bound = firstValueFrom(listening.listening);
    const incidents = record(listening.incidents);
    const served = record(
      listening.pipe(
        serve(async (connection) => {
          const { data } = connection;
          for await (const line of data) {
            data.next(`${line}!`);
            if (line === 'STARTTLS') await connection.startTls(asServer);
          }
        }),
      ),
    );
    const raw = await rawClient(await bound);
    raw.write('STARTTLS\n');
    expect(String(await readBytes(raw, 10))).toBe('STARTTLS!\n');
    const peer = beginAsClient(raw);
    peer.end('hello\n');
    expect(String(await readAll(peer))).toBe('hello!\n');
    expect(await served.count(1)).toMatchObject([{ reason: 'finished' }]);
    const bad = await rawClient(await firstValueFrom(listening.listening));
    bad.end('STARTTLS\ninjected\n');
    expect((await served.count(2))[1]).toMatchObject({ reason: 'failed', error: { code: 'ERR_TLS' } });
    expect(incidents.values).toMatchObject([{ code: 'ERR_TLS' }]);
    served.subscription.unsubscribe();
  });
});
