import { firstValueFrom } from 'rxjs';
import { Broadcast, type Connection, type StartTlsOptions } from 'rxjs-sockets';
import { fixedLength, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { server as identity, stranger } from '../support/transport/node/tls/certificates.js';
import '../support/leaks.js';
import { settled } from '../support/scheduling/event-loop.js';
import { pairAt } from '../support/connection/connected-pairs.js';
import { readAll, readBytes } from '../support/sockets/read-socket.js';
import { record } from '../support/recording/record.js';
import { asClient, asServer, failureOf, secured, sides, startedAt } from '../support/connection/start-tls.js';
import { until } from '../support/scheduling/event-loop.js';

const invalid = (text: string): object =>
  expect.objectContaining({ code: 'ERR_OPTION_INVALID', message: expect.stringContaining(text) as string }) as object;

describe.each(sides)('TLS on an open connection, $name', (side) => {
  it('T10: values sent before `startTls` go out in the clear, and later values go out encrypted', async () => {
    const { near, raw } = await side.pair<string, string>({ codec: lines() });
    const recording = record(near.data);
    expect(near.tls).toBeUndefined();
    near.data.next('in the clear');
    const started = near.startTls(side.options);
    near.data.next('encrypted');
    expect(String(await readBytes(raw, 13))).toBe('in the clear\n');
    const peer = side.begin(raw);
    await secured(peer);
    peer.write('hello\n');
    const info = await started;
    expect(info).toMatchObject({ protocol: 'TLSv1.3', authorized: side.role === 'dialled' });
    expect(near.tls).toBe(info);
    expect(String(await readBytes(peer, 10))).toBe('encrypted\n');
    expect(await recording.count(1)).toEqual(['hello']);
    near.data.complete();
    expect(String(await readAll(peer))).toBe('');
    peer.end('bye\n');
    expect(await recording.end()).toBe('complete');
    expect(recording.values).toEqual(['hello', 'bye']);
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished', bytesRead: 10, bytesWritten: 23 });
  });

  it('T10: all bytes sent before `startTls` go out in the clear, even 9 MB to a slow peer', async () => {
    const { near, raw } = await side.pair({ maxBuffered: 20_000_000 });
    raw.pause();
    const before = Buffer.alloc(9_000_000, 'c');
    // The first values are being written when `startTls` is called, and the last values are queued until the turn ends.
    near.data.next(before.subarray(0, 8_000_000));
    await settled();
    for (let at = 8_000_000; at < before.length; at += 100_000) near.data.next(before.subarray(at, at + 100_000));
    const started = near.startTls(side.options);
    const after = Buffer.alloc(1_000_000, 'e');
    near.data.next(after);
    await settled();
    near.data.next('!');
    expect(near.data.bufferedBytes).toBeGreaterThan(after.length);
    expect((await readBytes(raw, before.length)).equals(before)).toBe(true);
    const peer = side.begin(raw);
    await started;
    near.data.complete();
    expect((await readAll(peer)).equals(Buffer.concat([after, Buffer.from('!')]))).toBe(true);
    peer.end();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished', bytesWritten: 10_000_001 });
  });

  it('T10: nothing sent after `startTls` goes out in the clear, even if the handshake never starts', async () => {
    const { near, raw } = await side.pair({ handshakeTimeout: 100 });
    const received = readAll(raw).catch(() => Buffer.from(''));
    near.data.next('before');
    const { error } = await failureOf(
      (() => {
        const started = near.startTls(side.options);
        near.data.next('a secret');
        return started;
      })(),
      near,
    );
    expect(error).toMatchObject({ code: 'ERR_TIMEOUT_HANDSHAKE' });
    expect((await received).includes('secret')).toBe(false);
  });

  it('T10: values sent during the handshake count in `bufferedBytes` and can overflow, and a `send` waits for the end of the handshake', async () => {
    const { near, raw } = await side.pair({ maxBuffered: 1_000, highWaterMark: 500, overflow: 'drop' });
    const started = near.startTls(side.options);
    const writable = record(near.data.writable);
    const sent = near.data.send(Buffer.alloc(600));
    let isSent = false;
    void sent.then(() => (isSent = true));
    await settled();
    expect(near.data.bufferedBytes).toBe(600);
    expect(writable.values).toEqual([true, false]);
    expect(isSent).toBe(false);
    near.data.next(Buffer.alloc(600));
    await expect(near.data.send(Buffer.alloc(401))).rejects.toMatchObject({ code: 'ERR_OVERFLOW' });
    expect(near.data.dropped).toBe(2);
    const peer = side.begin(raw);
    await started;
    await sent;
    await until(() => near.data.bufferedBytes === 0);
    expect(writable.values).toEqual([true, false, true]);
    expect(near.stats.bytesWritten).toBe(600);
    expect(await readBytes(peer, 600)).toHaveLength(600);
    near.destroy();
  });

  it('T10: with overflow `error`, an overflow during the handshake ends the connection', async () => {
    const { near } = await side.pair({ maxBuffered: 1_000 });
    const started = near.startTls(side.options);
    near.data.next(Buffer.alloc(800));
    near.data.next(Buffer.alloc(800));
    const { error, closed } = await failureOf(started, near);
    expect(error).toMatchObject({ code: 'ERR_OVERFLOW' });
    expect(closed.error).toBe(error);
  });

  it('T10: subscribers and views from before the handshake still work after the handshake', async () => {
    const { near, raw } = await side.pair<string, string>({ codec: lines() });
    const view = near.bytes.framed(fixedLength(4));
    const whole = record(near.data);
    raw.write('one\n');
    await whole.count(1);
    const started = near.startTls(side.options);
    const peer = side.begin(raw);
    await started;
    peer.write('two\nthree\n');
    await whole.count(3);
    const fixed = firstValueFrom(view);
    peer.write('fourfive\n');
    expect(String(await fixed)).toBe('four');
    expect(await whole.count(4)).toEqual(['one', 'two', 'three', 'five']);
    view.next(Buffer.from('view'));
    near.data.next('line');
    expect(String(await readBytes(peer, 9))).toBe('viewline\n');
    near.destroy();
  });

  it('T10: a `for await` loop that awaits `startTls` reads nothing during the handshake, then continues line by line', async () => {
    const { near, raw } = await side.pair<string, string>({ codec: lines() });
    const seen: string[] = [];
    const loop = (async () => {
      for await (const line of near.data) {
        seen.push(`${near.tls === undefined ? 'clear' : 'tls'} ${line}`);
        near.data.next(`${line}!`);
        if (line === 'STARTTLS') await near.startTls(side.options);
      }
      near.data.complete();
    })();
    raw.write('hello\n');
    expect(String(await readBytes(raw, 7))).toBe('hello!\n');
    raw.write('STARTTLS\n');
    expect(String(await readBytes(raw, 10))).toBe('STARTTLS!\n');
    const peer = side.begin(raw);
    peer.end('hello again\nbye\n');
    expect(String(await readAll(peer))).toBe('hello again!\nbye!\n');
    await loop;
    expect(seen).toEqual(['clear hello', 'clear STARTTLS', 'tls hello again', 'tls bye']);
  });

  it.each([
    ['in the same chunk', (command: string, injected: string) => [command + injected]],
    ['in the same chunk, inside a line', (command: string) => [`${command}quit`]],
    ['in a chunk of its own', (command: string, injected: string) => [command, injected]],
  ])('T10: unencrypted bytes after STARTTLS (%s) make `startTls` fail and are not emitted', async (_name, chunks) => {
    const { near, raw } = await side.pair<string, string>({ codec: lines(), maxBuffered: 20_000_000 });
    let started: Promise<unknown> | undefined;
    const [first = '', second] = chunks('STARTTLS\n', 'injected\nmore\n');
    const recording = record(near.data, (line) => {
      if (line !== 'STARTTLS') return;
      // Sending 10 MB delays the handshake, so the second chunk arrives before the handshake begins.
      if (second !== undefined) near.bytes.next(Buffer.alloc(10_000_000));
      near.data.next('220 go ahead');
      started = near.startTls(side.options);
      started.catch(() => undefined);
    });
    raw.pause();
    raw.write(first);
    await recording.count(1);
    if (second !== undefined) raw.write(second);
    expect(await recording.end()).toMatchObject({
      code: 'ERR_TLS',
      message: expect.stringContaining('unencrypted bytes'),
    });
    expect(recording.values).toEqual(['STARTTLS']);
    const ended = await firstValueFrom(near.closed);
    expect(ended).toMatchObject({ reason: 'failed', error: { code: 'ERR_TLS' } });
    await expect(started).rejects.toBe(ended.error);
  });

  it('T10: unread bytes make `startTls` fail, and plain text that arrives after the call makes the handshake fail', async () => {
    const unread = await side.pair<string, string>({ codec: lines() });
    unread.raw.write('half a li');
    await until(() => unread.near.stats.bytesRead === 9);
    const { error } = await failureOf(unread.near.startTls(side.options), unread.near);
    expect(error).toMatchObject({ code: 'ERR_TLS' });
    const later = await side.pair<string, string>({ codec: lines() });
    const recording = record(later.near.data);
    const started = later.near.startTls(side.options);
    await settled();
    later.raw.write('MAIL FROM:<somebody>\n');
    expect((await failureOf(started, later.near)).error).toMatchObject({ code: 'ERR_TLS' });
    expect(recording.values).toEqual([]);
  });

  it.each<[string, (raw: Awaited<ReturnType<typeof side.pair>>['raw']) => void]>([
    ['garbage', (raw) => raw.write('GET / HTTP/1.1\r\n\r\n')],
    ['an end', (raw) => raw.end()],
    ['a record that is cut off', (raw) => raw.end('\x16\x03\x01')],
    ['a reset', (raw) => (raw.remoteFamily === undefined ? raw.destroy() : raw.resetAndDestroy())],
    ['no version in common', (raw) => side.begin(raw, { maxVersion: 'TLSv1.2' })],
    ['no protocol in common', (raw) => side.begin(raw, { ALPNProtocols: ['a'] })],
  ])('T10: a failed handshake ends the connection with ERR_TLS: %s', async (name, fail) => {
    const { near, raw } = await side.pair();
    const recording = record(near.data);
    const started = near.startTls({ ...side.options, minVersion: 'TLSv1.3', ALPNProtocols: ['b'] });
    if (!name.endsWith('in common')) raw.resume();
    if (name !== 'an end') await settled();
    fail(raw);
    const { error, closed } = await failureOf(started, near);
    expect(error).toMatchObject({ code: 'ERR_TLS', address: near.remote });
    expect(closed).toMatchObject({ reason: 'failed' });
    expect(closed.error).toBe(error);
    expect(await recording.end()).toBe(error);
  });

  it('T10: the failure of a `startTls` that is not awaited causes no unhandled rejection', async () => {
    const { near, raw } = await side.pair();
    const rejections: unknown[] = [];
    const note = (reason: unknown): unknown => rejections.push(reason);
    process.on('unhandledRejection', note);
    void near.startTls(side.options);
    raw.end('garbage');
    raw.resume();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed', error: { code: 'ERR_TLS' } });
    await settled();
    process.off('unhandledRejection', note);
    expect(rejections).toEqual([]);
  });

  it('T10: a handshake that takes longer than `handshakeTimeout` fails with ERR_TIMEOUT_HANDSHAKE', async () => {
    const ways: [object, StartTlsOptions][] = [
      [{ handshakeTimeout: 50 }, side.options],
      [{ handshakeTimeout: 0 }, { ...side.options, handshakeTimeout: 50 }],
    ];
    for (const [options, tls] of ways) {
      const { near } = await side.pair(options);
      const { error, closed } = await failureOf(near.startTls(tls), near);
      expect(error).toMatchObject({ code: 'ERR_TIMEOUT_HANDSHAKE' });
      expect(closed.error).toBe(error);
    }
    // `handshakeTimeout` also covers the time in which earlier values are sent to a peer that does not read.
    const { near, raw } = await side.pair({ maxBuffered: 20_000_000 });
    raw.pause();
    near.data.next(Buffer.alloc(15_000_000));
    expect(await failureOf(near.startTls({ ...side.options, handshakeTimeout: 50 }), near)).toMatchObject({
      error: { code: 'ERR_TIMEOUT_HANDSHAKE' },
    });
    // A `handshakeTimeout` of 0 means no limit, and the default of `handshakeTimeout` is longer than this test.
    const patient = [(await side.pair({ handshakeTimeout: 0 })).near, (await side.pair()).near];
    for (const one of patient) void one.startTls(side.options);
    await settled();
    for (const one of patient) {
      expect(one.data.closed).toBe(false);
      one.destroy();
    }
  });

  it('T10: `handshakeTimeout` does not end a connection whose handshake has finished in time', async () => {
    const { near, peer } = await startedAt(side, { handshakeTimeout: 200 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    near.data.next('still there');
    expect(String(await readBytes(peer, 11))).toBe('still there');
    near.destroy();
  });

  it('T10: a second `startTls`, or a `startTls` on a connection that is closing or has ended, rejects without any effect', async () => {
    const { near, raw } = await side.pair<string, string>({ codec: lines() });
    const started = near.startTls(side.options);
    await expect(near.startTls(side.options)).rejects.toEqual(invalid('already begun'));
    const peer = side.begin(raw);
    await started;
    await expect(near.startTls(side.options)).rejects.toEqual(invalid('already uses TLS'));
    near.data.next('goes on');
    expect(String(await readBytes(peer, 8))).toBe('goes on\n');
    near.destroy();
    await expect(near.startTls(side.options)).rejects.toMatchObject({
      code: expect.stringMatching(/ERR_CLOSED|ERR_OPTION_INVALID/) as string,
    });
    const ways: ((connection: Connection) => void)[] = [
      (connection) => connection.destroy(),
      (connection) => void connection.close(),
      (connection) => connection.data.complete(),
    ];
    for (const way of ways) {
      const { near } = await side.pair();
      way(near);
      await expect(near.startTls(side.options)).rejects.toMatchObject({ code: 'ERR_CLOSED' });
      near.destroy();
    }
    const finished = await side.pair();
    const recording = record(finished.near.data);
    finished.raw.end();
    await recording.end();
    await expect(finished.near.startTls(side.options)).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    finished.near.data.next('still in the clear');
    expect(String(await readBytes(finished.raw, 18))).toBe('still in the clear');
    finished.near.destroy();
    await expect(finished.near.startTls(side.options)).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    const failed = await side.pair();
    const { error } = await failureOf(failed.near.startTls({ ...side.options, handshakeTimeout: 1 }), failed.near);
    await expect(failed.near.startTls(side.options)).rejects.toBe(error);
  });

  it('T10: `startTls` refuses the same bad options as `tls`, without any effect', async () => {
    const { near, raw } = await side.pair<string, string>({ codec: lines() });
    const recording = record(near.data);
    const wrong: unknown[] = [
      undefined,
      null,
      'yes',
      [],
      { ...side.options, ca: 'garbage' },
      { ...side.options, rejectUnauthorized: 'no' },
      { ...side.options, ALPNProtocols: 'chat' },
      { ...side.options, minVersion: 'TLSv9' },
      { key: stranger.key, cert: identity.cert },
      { cert: identity.cert },
      ...(side.role === 'accepted'
        ? [
            {},
            asClient,
            () => ({}),
            () => {
              throw new Error('no such file');
            },
            { ...asServer, allowHalfClosed: 'yes' },
          ]
        : [() => asClient, { ...asClient, session: 'x' }, { ...asClient, servername: 7 }]),
    ];
    for (const options of wrong) await expect(near.startTls(options as never)).rejects.toEqual(invalid('tls'));
    for (const handshakeTimeout of [-1, '5', Number.NaN, 2 ** 31, null]) {
      await expect(near.startTls({ ...side.options, handshakeTimeout } as never)).rejects.toEqual(
        invalid('handshakeTimeout'),
      );
    }
    raw.write('in the clear\n');
    expect(await recording.count(1)).toEqual(['in the clear']);
    const started = near.startTls(side.options);
    await secured(side.begin(raw));
    expect((await started).protocol).toBe('TLSv1.3');
    near.destroy();
  });

  it('T10: a connection can be destroyed or closed at any moment of the handshake', async () => {
    const moments: ((begin: () => void) => void | Promise<void>)[] = [
      () => undefined,
      (begin) => begin(),
      async (begin) => {
        await settled();
        begin();
      },
      async (begin) => {
        begin();
        await new Promise(setImmediate);
      },
      async (begin) => {
        begin();
        await settled();
      },
    ];
    for (const moment of moments) {
      const { near, raw } = await side.pair();
      raw.resume();
      const recording = record(near.data);
      const started = near.startTls(side.options);
      const reason = new Error('enough');
      await moment(() => void side.begin(raw));
      near.destroy(reason);
      expect(recording.endings).toMatchObject([{ code: 'ERR_CLOSED', cause: reason }]);
      const { error, closed } = await failureOf(started, near);
      if (error !== undefined) expect(error).toBe(closed.error);
      expect(closed).toMatchObject({ reason: 'destroyed', error: { code: 'ERR_CLOSED', cause: reason } });
    }
    const { near, raw } = await side.pair();
    near.data.next('clear');
    const started = near.startTls(side.options);
    near.data.next('last');
    const closing = near.close();
    expect(String(await readBytes(raw, 5))).toBe('clear');
    const peer = side.begin(raw);
    expect(String(await readAll(peer))).toBe('last');
    expect((await started).protocol).toBe('TLSv1.3');
    peer.end();
    await closing;
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'finished' });
    const stuck = await side.pair({ closeTimeout: 50 });
    const never = stuck.near.startTls(side.options);
    await stuck.near.close();
    expect(await failureOf(never, stuck.near)).toMatchObject({ error: { code: 'ERR_TIMEOUT_CLOSE' } });
  });

  it.runIf(side.place.name === 'tcp')('T10: a destroy during the handshake resets the connection', async () => {
    const { near, raw } = await side.pair();
    void near.startTls(side.options);
    await settled();
    near.destroy();
    await expect(readAll(raw)).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  it('T10: TLS can start with this library on both sides, even if both sides send during the handshake', async () => {
    const { near, raw } = await side.pair<string, string>({ codec: lines() });
    near.destroy();
    raw.destroy();
    const pair = await pairAt<string, string>(side.place, { codec: lines() });
    const [client, server] = [pair.near, pair.far];
    const heard = [record(client.data), record(server.data)];
    const started = [client.startTls(asClient), server.startTls(asServer)];
    client.data.next('from the client');
    server.data.next('from the server');
    const [info] = await Promise.all(started);
    expect(info).toMatchObject({ authorized: true, peerCertificate: { subject: { CN: 'localhost' } } });
    expect(await heard[0]?.count(1)).toEqual(['from the server']);
    expect(await heard[1]?.count(1)).toEqual(['from the client']);
    client.data.complete();
    server.data.complete();
    for (const one of heard) expect(await one.end()).toBe('complete');
    expect(await firstValueFrom(client.closed)).toMatchObject({ reason: 'finished' });
    expect(await firstValueFrom(server.closed)).toMatchObject({ reason: 'finished' });
  });

  it('T10: values that a Broadcast sent before `startTls` go out in the clear', async () => {
    const { near, raw } = await side.pair<string, string>({ codec: lines() });
    const news = new Broadcast(lines());
    news.join(near);
    news.next('clear');
    const started = near.startTls(side.options);
    news.next('encrypted');
    expect(String(await readBytes(raw, 6))).toBe('clear\n');
    const peer = side.begin(raw);
    await started;
    expect(String(await readBytes(peer, 10))).toBe('encrypted\n');
    near.destroy();
  });
});
