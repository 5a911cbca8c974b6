import { firstValueFrom } from 'rxjs';
import { type Connection } from 'rxjs-sockets';
import { type Codec, lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { halfway, throwing } from '../support/codecs/sample-codecs.js';
import '../support/leaks.js';
import { places, realPlaces } from '../support/transport/places.js';
import { acceptedAt, dialledAt, pairAt } from '../support/connection/connected-pairs.js';
import { abort, readAll } from '../support/sockets/read-socket.js';
import { record, type Recording } from '../support/recording/record.js';
import { until } from '../support/scheduling/event-loop.js';

const text = (recording: Recording<Buffer>): string => String(Buffer.concat(recording.values));

describe.each(places)('frames that cannot be encoded or decoded, over $name', (place) => {
  it('D5: if `send` cannot encode a value, none of its bytes is written, and the connection continues', async () => {
    const { near, far } = await pairAt(place, { codec: lines({ maxLength: 10 }) });
    const received = record(far.data);
    const first = near.data.send('before');
    await expect(near.data.send('two\nlines')).rejects.toMatchObject({ code: 'ERR_FRAME_INVALID' });
    await expect(near.data.send('longer than ten')).rejects.toMatchObject({ code: 'ERR_FRAME_TOO_LONG' });
    await first;
    await near.data.send('after');
    expect(near.data.closed).toBe(false);
    near.data.complete();
    await received.end();
    expect(received.values).toEqual(['before', 'after']);
  });

  it('D5: bytes that an encoder wrote before the encoder threw are not sent', async () => {
    const { near, far } = await pairAt(place, { codec: halfway });
    const received = record(far.bytes);
    for (const value of ['a', 'bad', 'b', 'x'.repeat(5_000), 'bad', 'c'.repeat(100)]) {
      const sending = near.data.send(value);
      if (value === 'bad') await expect(sending).rejects.toMatchObject({ code: 'ERR_FRAME_INVALID' });
      else await sending;
    }
    for (const value of ['d', 'e', 'bad']) near.data.send(value).catch(() => undefined);
    near.data.next('f');
    near.data.complete();
    await received.end();
    expect(text(received)).toBe(
      ['a', 'b', 'x'.repeat(5_000), 'c'.repeat(100), 'd', 'e', 'f'].map((value) => `[${value}]`).join(''),
    );
  });

  it('D5: if `next` gets a value that cannot be encoded, the connection fails on both sides', async () => {
    const { near, far } = await pairAt(place, { codec: lines() });
    const [here, there] = [record(near.data), record(far.data)];
    near.data.next('two\nlines');
    expect(here.endings).toMatchObject([{ code: 'ERR_FRAME_INVALID' }]);
    await expect(near.data.send('after')).rejects.toMatchObject({ code: 'ERR_FRAME_INVALID' });
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed', error: { code: 'ERR_FRAME_INVALID' } });
    const end = await there.end();
    if (place.name !== 'unix') expect(end).toMatchObject({ code: 'ECONNRESET' });
    expect(there.values).toEqual([]);
  });

  it('D5: on a channel of bytes, if `next` gets a value of a wrong type, the connection fails', async () => {
    const { near } = await pairAt(place);
    const wrong = 42 as unknown as string;
    await expect(near.data.send(wrong)).rejects.toMatchObject({ code: 'ERR_FRAME_INVALID' });
    expect(near.data.closed).toBe(false);
    near.data.next(wrong);
    expect(await firstValueFrom(near.closed)).toMatchObject({ error: { code: 'ERR_FRAME_INVALID' } });
  });

  it("D5: an encoder's error that is not a SocketError becomes ERR_FRAME_INVALID, with that error as cause", async () => {
    const cause = new TypeError('a bug in an encoder');
    const { near } = await pairAt(place, { codec: throwing(cause) });
    await expect(near.data.send('x')).rejects.toMatchObject({ code: 'ERR_FRAME_INVALID', cause });
  });
});

describe.each(realPlaces)('frames that cannot be encoded or decoded, against node:net over $name', (place) => {
  const faults: readonly [code: string, codec: () => Codec<unknown, never>, sent: string | Buffer, good: number][] = [
    ['ERR_FRAME_TOO_LONG', () => lines({ maxLength: 10 }), `short\n${'x'.repeat(12)}`, 1],
    ['ERR_FRAME_INVALID', () => lines(), Buffer.of(97, 10, 0xc3, 0x28, 10), 1],
    ['ERR_FRAME_TOO_LONG', () => lengthPrefixed(), Buffer.of(0, 0, 0, 1, 7, 0xff, 0xff, 0xff, 0xff), 1],
    ['ERR_FRAME_TOO_LONG', () => lengthPrefixed({ maxLength: 4 }), Buffer.of(0, 0, 0, 5, 1), 0],
    ['ERR_FRAME_INVALID', () => throwing(new Error('a bug in a decoder')), 'x', 0],
  ];

  it.each(faults)('D3: a bad frame of a plain client ends the connection with %s', async (code, codec, sent, good) => {
    const { near, raw } = await acceptedAt<unknown, never>(place, { codec: codec() });
    const recording = record(near.data);
    const received = readAll(raw);
    raw.write(sent);
    expect(await recording.end()).toMatchObject({ code });
    expect(recording.values.length).toBe(good);
    await received;
    raw.end();
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed', error: { code } });
  });

  it('D4: a FIN inside a frame is reported as ERR_FRAME_TRUNCATED, after the frames that arrived before the FIN', async () => {
    const { near, raw } = await acceptedAt(place, { codec: lengthPrefixed({ bytes: 2 }) });
    const recording = record(near.data);
    raw.end('\0\x02ok\0\x05hal');
    expect(await recording.end()).toMatchObject({ code: 'ERR_FRAME_TRUNCATED' });
    expect(text(recording)).toBe('ok');
    expect(await firstValueFrom(near.closed)).toMatchObject({
      reason: 'failed',
      error: { code: 'ERR_FRAME_TRUNCATED' },
    });
  });

  it('D4: the last line of a stream needs no newline', async () => {
    const { near, raw } = await dialledAt(place, { codec: lines() });
    const recording = record(near.data);
    raw.end('one\ntwo');
    expect(await recording.end()).toBe('complete');
    expect(recording.values).toEqual(['one', 'two']);
  });

  it('D4: a reset inside a frame is reported as ECONNRESET, not as a truncated frame', async () => {
    const { near, raw } = await acceptedAt(place, { codec: lines() });
    const recording = record(near.data);
    raw.write('one\ntw');
    await recording.count(1);
    await until(() => near.stats.bytesRead === 6);
    await abort(raw, near as Connection<any, any>);
    expect(await recording.end()).toMatchObject({ code: 'ECONNRESET' });
    expect(recording.values).toEqual(['one']);
  });

  it('D5: a plain server receives nothing of a value that cannot be encoded', async () => {
    const { near, raw } = await dialledAt(place, { codec: lengthPrefixed({ bytes: 1 }) });
    near.data.next('ok');
    await expect(near.data.send('x'.repeat(256))).rejects.toMatchObject({ code: 'ERR_FRAME_TOO_LONG' });
    near.data.next('on');
    near.data.complete();
    expect(String(await readAll(raw))).toBe('\x02ok\x02on');
  });
});
