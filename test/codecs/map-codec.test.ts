import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Codec } from '../../src/codecs/codec.js';
import { fixedLength } from '../../src/codecs/fixed-length.js';
import { lengthPrefixed } from '../../src/codecs/length-prefixed.js';
import { lines } from '../../src/codecs/lines.js';
import { mapCodec } from '../../src/codecs/map-codec.js';
import { SocketError } from '../../src/errors/socket-error.js';
import { ChunkQueue } from '../../src/bytes/chunk-queue.js';
import { WriteBuffer } from '../../src/io/write-buffer.js';
import { encodeOne } from '../../src/testing/byte-collector.js';
import { verifyCodec } from '../../src/testing/verify-codec.js';
import { chunksOf, chunkSizes } from '../support/bytes/arbitrary-chunks.js';
import { receive } from '../support/codecs/decode-stream.js';
import { refusal } from '../support/errors/refusal.js';

/** Decimal numbers, one on each line. */
const numbers = mapCodec(
  lines(),
  (line) => {
    if (!/^-?[0-9]+$/.test(line)) throw new RangeError(`no number: ${line}`);
    return Number(line);
  },
  (value: number) => {
    if (!Number.isSafeInteger(value)) throw new RangeError('no integer');
    return String(value);
  },
);

/** Points: two numbers in eight bytes. */
const points: Codec<[number, number]> = mapCodec(
  fixedLength(8),
  (bytes): [number, number] => [bytes.readInt32BE(0), bytes.readInt32BE(4)],
  ([x, y]: [number, number]) => {
    const bytes = Buffer.alloc(8);
    bytes.writeInt32BE(x, 0);
    bytes.writeInt32BE(y, 4);
    return bytes;
  },
);

const same = (text: string): string => text;

const thrown = (error: unknown) => (): never => {
  throw error;
};

describe('a codec made with mapCodec', () => {
  it('D1: the codec obeys rules D1, D2, D4, D5 and C13', () => {
    verifyCodec(numbers, [0, -1, 42, Number.MAX_SAFE_INTEGER], {
      lastFrameMayBeOpen: true,
      refused: [1.5, Number.NaN, Infinity, undefined, 'x'],
    });
    verifyCodec(points, [
      [0, 0],
      [-1, 2 ** 31 - 1],
    ]);
    const values = [null, 0, '', false, { a: 1 }];
    verifyCodec(
      mapCodec(lengthPrefixed(), (bytes) => JSON.parse(bytes.toString()) as unknown, JSON.stringify),
      values,
      {
        refused: [undefined, 1n],
      },
    );
  });

  it('D2: a mapped codec decodes what it has encoded, for every split into chunks', () => {
    fc.assert(
      fc.property(fc.array(fc.maxSafeInteger()), chunkSizes(), (values, sizes) => {
        const stream = Buffer.concat(values.map((value) => encodeOne(numbers, value)));
        expect(receive(numbers, chunksOf(stream, sizes))).toStrictEqual({
          messages: values,
          error: undefined,
          left: 0,
        });
      }),
    );
  });

  it('D2: mapCodec can map a mapped codec, and the result can decode to a different type than the type that it encodes', () => {
    const doubled = mapCodec(
      numbers,
      (value) => ({ value: 2 * value }),
      (value: string) => Number(value),
    );
    expect(encodeOne(doubled, '21').toString()).toBe('21\n');
    expect(receive(doubled, [Buffer.from('21\n')]).messages).toStrictEqual([{ value: 42 }]);
  });

  it('D3: a mapped codec has the limits of the original codec', () => {
    const codec = mapCodec(lines({ maxLength: 3 }), Number, (value: number) => String(value));
    expect(receive(codec, [Buffer.from('1\n1234\n')])).toMatchObject({ messages: [1], error: 'ERR_FRAME_TOO_LONG' });
    expect(refusal(() => encodeOne(codec, 1_234)).code).toBe('ERR_FRAME_TOO_LONG');
  });

  it('D4: the original codec decides whether the stream ends cleanly', () => {
    expect(receive(numbers, [Buffer.from('1\n2')])).toMatchObject({ messages: [1, 2], error: undefined });
    expect(receive(numbers, [Buffer.from('1\nx')])).toMatchObject({ messages: [1], error: 'ERR_FRAME_INVALID' });
    expect(receive(points, [Buffer.from('123456789')])).toMatchObject({ error: 'ERR_FRAME_TRUNCATED' });
  });

  it.each<[string, (line: string) => unknown, unknown]>([
    ['an error', thrown(new TypeError('no')), new TypeError('no')],
    ['an error of the library that is not about frames', thrown(new SocketError('ERR_CLOSED', 'no')), undefined],
    ['a value that is not an error', thrown('no'), 'no'],
    ['undefined', thrown(undefined), undefined],
  ])('D3: if decode throws %s, the earlier messages are emitted, then decoding fails', (_, fail, cause) => {
    const codec = mapCodec(lines(), (line) => (line === 'bad' ? fail(line) : line), same);
    for (const size of [1, 3, 100]) {
      const received = receive(codec, chunksOf(Buffer.from('a\nbad\nb\n'), [size]));
      expect(received).toMatchObject({ messages: ['a'], error: 'ERR_FRAME_INVALID' });
    }
    const queue = new ChunkQueue();
    queue.push(Buffer.from('bad\n'));
    const error = refusal(() => codec.decoder().decode(queue));
    expect('cause' in error).toBe(true);
    if (cause !== undefined) expect(error.cause).toStrictEqual(cause);
  });

  it('D3: if decode or encode throws, the error message names what was thrown', () => {
    const fail = thrown(new RangeError('no date: x'));
    const codec = mapCodec(lines(), fail, fail);
    const queue = new ChunkQueue();
    queue.push(Buffer.from('x\n'));
    expect(refusal(() => codec.decoder().decode(queue)).message).toBe(
      'decode, passed to mapCodec, threw RangeError: no date: x',
    );
    expect(refusal(() => encodeOne(codec, 'x')).message).toBe(
      'encode, passed to mapCodec, threw RangeError: no date: x',
    );
    const end = mapCodec(lines(), thrown('no'), same);
    queue.push(Buffer.from('the last'));
    expect(refusal(() => end.decoder().end?.(queue)).message).toBe('decode, passed to mapCodec, threw "no"');
  });

  it('D3: if decode or encode throws a SocketError with a frame code, the codec fails with that error', () => {
    const tooLong = new SocketError('ERR_FRAME_TOO_LONG', 'more than I take');
    const codec = mapCodec(lines(), thrown(tooLong), thrown(tooLong));
    const queue = new ChunkQueue();
    queue.push(Buffer.from('a\n'));
    expect(refusal(() => codec.decoder().decode(queue))).toBe(tooLong);
    expect(refusal(() => encodeOne(codec, 'a'))).toBe(tooLong);
  });

  it('D3: decoding fails if decode returns undefined, because undefined is not a message', () => {
    const codec = mapCodec(lines(), (line) => (line === 'skip' ? undefined : line), same);
    const received = receive(codec, [Buffer.from('a\nskip\nb\n')]);
    expect(received).toMatchObject({ messages: ['a'], error: 'ERR_FRAME_INVALID' });
    expect(receive(codec, [Buffer.from('skip')]).error).toBe('ERR_FRAME_INVALID');
  });

  it('D5: nothing is written if encode throws, or returns a value that the original codec refuses', () => {
    const cause = new RangeError('no');
    const codec = mapCodec(lines(), same, (value: string) => (value === 'bad' ? thrown(cause)() : value));
    const never = (): never => expect.unreachable('something was written');
    const encoder = codec.encoder();
    const error = refusal(() => encoder.encode('bad', { bytes: never, text: never, uint: never }));
    expect([error.code, error.cause]).toStrictEqual(['ERR_FRAME_INVALID', cause]);
    expect(refusal(() => encoder.encode('a\nb', { bytes: never, text: never, uint: never })).code).toBe(
      'ERR_FRAME_INVALID',
    );
    const buffer = new WriteBuffer();
    for (const value of ['a', 'bad', 'b\nc', 'd']) {
      buffer.add(encoder, value);
    }
    expect(Buffer.from(buffer.takeAll()).toString()).toBe('a\nd\n');
  });

  it('D1: a mapped codec shares no state between streams, like the original codec', () => {
    const counting: Codec<string> = {
      ...lines(),
      decoder: () => {
        const decoder = lines().decoder();
        let count = 0;
        return {
          decode(bytes) {
            const line = decoder.decode(bytes);
            return line === undefined ? undefined : `${++count} ${line}`;
          },
        };
      },
    };
    const codec = mapCodec(counting, same, same);
    for (let stream = 0; stream < 2; stream++) {
      expect(receive(codec, [Buffer.from('a\nb\n')]).messages).toStrictEqual(['1 a', '2 b']);
    }
  });

  it('D1: a mapped codec calls `decoder` and `encoder` as methods of the original codec', () => {
    class Shouting implements Codec<string> {
      private readonly inner = lines();
      decoder(): ReturnType<Codec<string>['decoder']> {
        return this.inner.decoder();
      }
      encoder(): ReturnType<Codec<string>['encoder']> {
        return this.inner.encoder();
      }
    }
    verifyCodec(mapCodec(new Shouting(), same, same), ['a', 'b'], { lastFrameMayBeOpen: true });
  });

  it.each<[string, unknown, unknown, unknown]>([
    ['codec', undefined, String, String],
    ['codec', null, String, String],
    ['codec', {}, String, String],
    ['codec', lines, String, String],
    ['codec', { decoder: () => undefined }, String, String],
    ['decode', lines(), undefined, String],
    ['decode', lines(), 'decode', String],
    ['encode', lines(), String, undefined],
    ['encode', lines(), String, {}],
  ])('A5: a bad %s is refused immediately, and the error names it', (name, codec, decode, encode) => {
    const error = refusal(() =>
      mapCodec(codec as Codec<string>, decode as (line: string) => string, encode as (line: string) => string),
    );
    expect(error.code).toBe('ERR_OPTION_INVALID');
    expect(error.message).toMatch(new RegExp(`^${name} must`));
  });
});
