import { firstValueFrom, take } from 'rxjs';
import { type Channel, connect } from 'rxjs-sockets';
import { type Codec, lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { fixed, json } from '../support/codecs/sample-codecs.js';
import '../support/leaks.js';
import { allPlaces as places, allRealPlaces as realPlaces } from '../support/transport/places.js';
import { acceptedAt, pairAt } from '../support/connection/connected-pairs.js';
import { readBytes } from '../support/sockets/read-socket.js';
import { record, type Recording } from '../support/recording/record.js';
import { refusal } from '../support/errors/refusal.js';
import { turns, until } from '../support/scheduling/event-loop.js';

const prefixed = lengthPrefixed({ bytes: 1 });
const text = (recording: Recording<Buffer>): string => String(Buffer.concat(recording.values));
/** Two lines, a frame of three bytes, and bytes without a frame. */
const mixed = 'HELLO\nUPGRADE\n\x03abcrest';

describe.each(places)('framing, over $name', (place) => {
  it('C13: when a subscriber gets a line, it can switch to a different framing for the bytes after that line', async () => {
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

  it('C13: of the views that have subscribers, only the one that was subscribed to last reads; when its subscriber leaves, the previous view continues', async () => {
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

  it('A5: if a codec fails to make a decoder, `framed` and `connect` throw immediately, and nothing is read or dialled', async () => {
    const { near } = await pairAt(place);
    const broken: Codec<string> = {
      ...lines(),
      decoder: () => {
        throw new Error('no decoder');
      },
    };
    expect(() => near.bytes.framed(broken)).toThrow('no decoder');
    expect(() => connect(near.remote, { ...place.options, codec: broken })).toThrow('no decoder');
  });

  it.each([1, 2, 3, 5, 8, 13, 1_000])('C13: the framing can change in a stream of %d-byte chunks', async (size) => {
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

  it('C13: a reader can alternate between `data` and a view of `bytes`, and no byte is decoded twice', async () => {
    const { near, far } = await pairAt(place, { codec: lines() });
    far.bytes.next('one\ntwo\n\0\x01\x02\nthree\n');
    expect(await firstValueFrom(near.data)).toBe('one');
    expect(await firstValueFrom(near.data)).toBe('two');
    expect([...(await firstValueFrom(near.bytes.framed(fixed(4))))]).toEqual([0, 1, 2, 10]);
    expect(await firstValueFrom(near.data)).toBe('three');
  });

  it('C13: nested `for await` loops can use different framings of one stream', async () => {
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

  it('C13: values sent on `data`, on `bytes` and on a framed channel go out in the order in which they were sent', async () => {
    const { near, far } = await pairAt(place, { codec: lines() });
    const received = record(far.bytes);
    near.data.next('a');
    near.bytes.framed(prefixed).next('bc');
    near.bytes.next('d');
    near.data.complete();
    await received.end();
    expect(text(received)).toBe('a\n\x02bcd');
  });

  it('C13: any value except undefined can be a message, even null, false, 0 and an empty string', async () => {
    const { near, far } = await pairAt(place, { codec: json });
    const values = [null, false, 0, '', null];
    for (const value of values) far.data.next(value);
    expect(await firstValueFrom(near.data)).toBe(null);
    const recording = record(near.data);
    far.data.complete();
    expect(await recording.end()).toBe('complete');
    expect(recording.values).toEqual(values.slice(1));
  });

  it('C13: only a channel of bytes can be framed', async () => {
    const { near } = await pairAt(place, { codec: lines() });
    const data = near.data as unknown as Channel<Buffer, Uint8Array | string>;
    expect(refusal(() => data.framed(prefixed)).code).toBe('ERR_OPTION_INVALID');
    expect(refusal(() => near.bytes.framed(prefixed).framed(prefixed as never)).code).toBe('ERR_OPTION_INVALID');
  });

  it('C13: every view is notified of the end of the stream, including views that are made after the end', async () => {
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
});

describe.each(realPlaces)('framing, against node:net over $name', (place) => {
  it('C13: the framing can change in the middle of one write of a plain client', async () => {
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
});
