import { firstValueFrom, take } from 'rxjs';
import { type Channel, type Connection, SocketError } from 'rxjs-sockets';
import { type Codec, lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { acceptedAt, dialledAt, pairAt, places, realPlaces } from '../support/places.js';
import { abort, readAll, readBytes } from '../support/raw.js';
import { record, type Recording } from '../support/recording.js';
import { refusal } from '../support/refusal.js';
import { turns, until } from '../support/turns.js';

const prefixed = lengthPrefixed({ bytes: 1 });
const text = (recording: Recording<Buffer>): string => String(Buffer.concat(recording.values));
/** Two lines, a frame of three bytes, and what has no frame. */
const mixed = 'HELLO\nUPGRADE\n\x03abcrest';

describe.each(places)('framing, over $name', (place) => {
  it('C13: within the handler of a line the framing changes for the bytes after it: first leaving, then subscribing', async () => {
    const { near, far } = await pairAt(place);
    const got: string[] = [];
    const upgrade = (): void => {
      near.bytes
        .framed(prefixed)
        .pipe(take(1))
        .subscribe({
          next: (frame) => got.push(`frame ${String(frame)}`),
          complete: () => record(near.bytes, (chunk) => got.push(`bytes ${String(chunk)}`)),
        });
    };
    const header = near.bytes.framed(lines()).subscribe((line) => {
      got.push(`line ${line}`);
      if (line !== 'UPGRADE') return;
      header.unsubscribe();
      upgrade();
    });
    far.data.next(mixed);
    await until(() => got.length === 4);
    expect(got).toEqual(['line HELLO', 'line UPGRADE', 'frame abc', 'bytes rest']);
  });

  it('C13: of several views with subscribers the newest reads, and the earlier goes on when it leaves', async () => {
    const { near, far } = await pairAt(place);
    const frames = near.bytes.framed(prefixed);
    let framed: Recording<Buffer> | undefined;
    const lined = record(near.bytes.framed(lines()), (line) => {
      if (line === 'UPGRADE') framed = record(frames.pipe(take(1)));
    });
    far.data.next('HELLO\nUPGRADE\n\x03abcback\nagain\n');
    far.data.complete();
    expect(await lined.end()).toBe('complete');
    expect(lined.values).toEqual(['HELLO', 'UPGRADE', 'back', 'again']);
    expect(framed?.values.map(String)).toEqual(['abc']);
  });

  it.each([1, 2, 3, 5, 8, 13, 1_000])('C13: however the bytes are cut: in pieces of %d', async (size) => {
    const { near, far } = await pairAt(place);
    const got: string[] = [];
    const serve = async (): Promise<void> => {
      const lined = near.bytes.framed(lines());
      const framed = near.bytes.framed(prefixed);
      for (let round = 0; round < 10; round++) {
        got.push(await firstValueFrom(lined));
        got.push(await firstValueFrom(lined));
        got.push(String(await firstValueFrom(framed)));
      }
    };
    const serving = serve();
    const sent = Buffer.from('one\ntwo\r\n\x05th\nee'.repeat(10));
    for (let at = 0; at < sent.length; at += size) {
      far.data.next(sent.subarray(at, at + size));
      await turns(1);
    }
    await serving;
    expect(got).toEqual(Array.from({ length: 10 }, () => ['one', 'two', 'th\nee']).flat());
  });

  it("C13: the data channel's codec and its bytes alternate, and nothing is decoded twice", async () => {
    const { near, far } = await pairAt(place, { codec: lines() });
    far.bytes.next('one\ntwo\n\0\x01\x02\nthree\n');
    expect(await firstValueFrom(near.data)).toBe('one');
    expect(await firstValueFrom(near.data)).toBe('two');
    expect([...(await firstValueFrom(near.bytes.framed(fixed(4))))]).toEqual([0, 1, 2, 10]);
    expect(await firstValueFrom(near.data)).toBe('three');
  });

  it('C13: async iteration of one framing after the other', async () => {
    const { near, far } = await pairAt(place);
    far.data.next('3\nabc2\nde0\n');
    far.data.complete();
    const bodies: string[] = [];
    for await (const head of near.bytes.framed(lines())) {
      const size = Number(head);
      if (size === 0) break;
      for await (const body of near.bytes.framed(fixed(size))) {
        bodies.push(String(body));
        break;
      }
    }
    expect(bodies).toEqual(['abc', 'de']);
  });

  it('C13: sending through a framed channel keeps the order with the others', async () => {
    const { near, far } = await pairAt(place, { codec: lines() });
    const received = record(far.bytes);
    near.data.next('a');
    near.bytes.framed(prefixed).next('bc');
    near.bytes.next('d');
    near.data.complete();
    await received.end();
    expect(text(received)).toBe('a\n\x02bcd');
  });

  it('C13: only a channel of bytes can be framed', async () => {
    const { near } = await pairAt(place, { codec: lines() });
    const data = near.data as unknown as Channel<Buffer, Uint8Array | string>;
    expect(refusal(() => data.framed(prefixed)).code).toBe('ERR_OPTION_INVALID');
    expect(refusal(() => near.bytes.framed(prefixed).framed(prefixed as never)).code).toBe('ERR_OPTION_INVALID');
  });

  it('C13: every view gets the end of the stream, and one that comes later does, too', async () => {
    const { near, far } = await pairAt(place);
    const views = [near.bytes, near.data, near.bytes.framed(lines()), near.bytes.framed(prefixed)].map((view) =>
      record<unknown>(view),
    );
    far.data.next('\x01a');
    far.data.complete();
    for (const view of views) expect(await view.end()).toBe('complete');
    expect(views.map(({ values }) => values.map(String))).toEqual([[], [], [], ['a']]);
    expect(await record(near.bytes.framed(lines())).end()).toBe('complete');
  });

  it('D5: of a value that send cannot encode nothing is written, and the connection goes on', async () => {
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

  it('D5: nor is what an encoder wrote of it before it threw', async () => {
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

  it('D5: given to next, such a value fails the connection, on both ends', async () => {
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

  it('D5: so does a value of another type on a channel of bytes', async () => {
    const { near } = await pairAt(place);
    const wrong = 42 as unknown as string;
    await expect(near.data.send(wrong)).rejects.toMatchObject({ code: 'ERR_FRAME_INVALID' });
    expect(near.data.closed).toBe(false);
    near.data.next(wrong);
    expect(await firstValueFrom(near.closed)).toMatchObject({ error: { code: 'ERR_FRAME_INVALID' } });
  });

  it('D5: an error of the encoder that is no SocketError arrives as ERR_FRAME_INVALID with its cause', async () => {
    const cause = new TypeError('a bug in an encoder');
    const { near } = await pairAt(place, { codec: throwing(cause) });
    await expect(near.data.send('x')).rejects.toMatchObject({ code: 'ERR_FRAME_INVALID', cause });
  });
});

/** Frames of `size` bytes each. */
function fixed(size: number): Codec<Buffer, Uint8Array> {
  return {
    decoder: () => ({ decode: (bytes) => (bytes.length < size ? undefined : bytes.take(size)) }),
    encoder: () => ({ encode: (value, into) => into.bytes(value) }),
  };
}

/** Writes a part of each value before it looks at it. */
const halfway: Codec<Buffer, string> = {
  decoder: () => ({ decode: (bytes) => (bytes.length === 0 ? undefined : bytes.take(bytes.length)) }),
  encoder: () => ({
    encode: (value, into) => {
      into.bytes(Buffer.from('['));
      into.text(value, 'utf8');
      into.bytes(Buffer.alloc(value === 'bad' ? 10_000 : 0));
      if (value === 'bad') throw new SocketError('ERR_FRAME_INVALID', 'bad');
      into.uint(93, 1, 'big');
    },
  }),
};

function throwing(error: Error): Codec<Buffer, string> {
  const fail = (): never => {
    throw error;
  };
  return {
    decoder: () => ({ decode: (bytes) => (bytes.length === 0 ? undefined : fail()) }),
    encoder: () => ({ encode: fail }),
  };
}

describe.each(realPlaces)('framing, against node:net over $name', (place) => {
  it('C13: a plain client changes the framing in mid-stream, in one write', async () => {
    const { near, raw } = await acceptedAt(place);
    const got: string[] = [];
    const header = near.bytes.framed(lines()).subscribe((line) => {
      got.push(line);
      near.bytes.next(`OK ${line}\n`);
      if (line !== 'UPGRADE') return;
      record(near.bytes.framed(prefixed), (frame) => got.push(String(frame)));
      header.unsubscribe();
    });
    raw.write('HELLO\nUPGRADE\n\x03abc\x04defg');
    expect(String(await readBytes(raw, 20))).toBe('OK HELLO\nOK UPGRADE\n');
    await until(() => got.length === 4);
    raw.write('\x01h');
    await until(() => got.length === 5);
    expect(got).toEqual(['HELLO', 'UPGRADE', 'abc', 'defg', 'h']);
  });

  const faults: readonly [code: string, codec: () => Codec<unknown, never>, sent: string | Buffer, good: number][] = [
    ['ERR_FRAME_TOO_LONG', () => lines({ maxLength: 10 }), `short\n${'x'.repeat(12)}`, 1],
    ['ERR_FRAME_INVALID', () => lines(), Buffer.of(97, 10, 0xc3, 0x28, 10), 1],
    ['ERR_FRAME_TOO_LONG', () => lengthPrefixed(), Buffer.of(0, 0, 0, 1, 7, 0xff, 0xff, 0xff, 0xff), 1],
    ['ERR_FRAME_TOO_LONG', () => lengthPrefixed({ maxLength: 4 }), Buffer.of(0, 0, 0, 5, 1), 0],
    ['ERR_FRAME_INVALID', () => throwing(new Error('a bug in a decoder')), 'x', 0],
  ];

  it.each(faults)('D3: a plain client that sends what cannot be decoded gets %s', async (code, codec, sent, good) => {
    const { near, raw } = await acceptedAt<unknown, never>(place, { codec: codec() });
    const recording = record(near.data);
    raw.write(sent);
    expect(await recording.end()).toMatchObject({ code });
    expect(recording.values.length).toBe(good);
    expect(await firstValueFrom(near.closed)).toMatchObject({ reason: 'failed', error: { code } });
    if (place.name === 'tcp') await expect(readAll(raw)).rejects.toMatchObject({ code: 'ECONNRESET' });
    else await readAll(raw);
  });

  it('D4: the FIN inside a frame is ERR_FRAME_TRUNCATED, after the frames before it', async () => {
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

  it('D4: for lines the last line needs no newline', async () => {
    const { near, raw } = await dialledAt(place, { codec: lines() });
    const recording = record(near.data);
    raw.end('one\ntwo');
    expect(await recording.end()).toBe('complete');
    expect(recording.values).toEqual(['one', 'two']);
  });

  it('D4: a reset inside a frame is the reset, and not a truncated frame', async () => {
    const { near, raw } = await acceptedAt(place, { codec: lines() });
    const recording = record(near.data);
    raw.write('one\ntw');
    await recording.count(1);
    await until(() => near.stats.bytesRead === 6);
    await abort(raw, near as Connection<any, any>);
    expect(await recording.end()).toMatchObject({ code: 'ECONNRESET' });
    expect(recording.values).toEqual(['one']);
  });

  it('D5: a plain server sees nothing of a value that could not be encoded', async () => {
    const { near, raw } = await dialledAt(place, { codec: lengthPrefixed({ bytes: 1 }) });
    near.data.next('ok');
    await expect(near.data.send('x'.repeat(256))).rejects.toMatchObject({ code: 'ERR_FRAME_TOO_LONG' });
    near.data.next('on');
    near.data.complete();
    expect(String(await readAll(raw))).toBe('\x02ok\x02on');
  });
});
