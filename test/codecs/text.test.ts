import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { text } from '../../src/codecs/text.js';
import type { SocketErrorCode } from '../../src/errors/socket-error.js';
import { ChunkQueue } from '../../src/bytes/chunk-queue.js';
import { encodeOne } from '../../src/testing/byte-collector.js';
import { CountingQueue } from '../../src/testing/counting-queue.js';
import { chunksOf, chunkSizes } from '../support/bytes/arbitrary-chunks.js';
import { receive } from '../support/codecs/decode-stream.js';
import { refusal } from '../support/errors/refusal.js';

/** All received text, joined, and how the stream ended. */
function read(chunks: readonly Buffer[], encoding?: 'utf8' | 'latin1'): [string, SocketErrorCode | undefined] {
  const { messages, error } = receive(text(encoding), chunks);
  expect(messages).not.toContain('');
  return [messages.join(''), error];
}

const continuations = [0x80, 0x90, 0xa0, 0xbf];

/** Whether more bytes could turn `rest` into valid UTF-8. */
function isBegun(rest: Buffer, missing = 3): boolean {
  if (isUtf8(rest)) return true;
  return missing > 0 && continuations.some((byte) => isBegun(Buffer.concat([rest, Buffer.of(byte)]), missing - 1));
}

/** The text before the first wrong byte, found by trying every length, and how the stream ends. */
function model(stream: Buffer): [string, SocketErrorCode | undefined] {
  let valid = stream.length;
  while (!isUtf8(stream.subarray(0, valid))) valid--;
  const rest = stream.subarray(valid);
  const error = rest.length === 0 ? undefined : isBegun(rest) ? 'ERR_FRAME_TRUNCATED' : 'ERR_FRAME_INVALID';
  return [stream.toString('utf8', 0, valid), error];
}

/** Bytes near the limits of UTF-8, and characters of each length in UTF-8. */
const hostile = (): fc.Arbitrary<Buffer> =>
  fc
    .array(
      fc.oneof(
        { weight: 4, arbitrary: fc.constantFrom('a', 'é', '€', '😀', '\ufeff', '\u{10ffff}', '\ud7ff', '\ue000') },
        {
          weight: 1,
          arbitrary: fc
            .array(
              fc.constantFrom(
                ...[0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee],
                ...[0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff],
              ),
              { maxLength: 4 },
            )
            .map((bytes) => Buffer.from(bytes)),
        },
      ),
      { maxLength: 12 },
    )
    .map((pieces) => Buffer.concat(pieces.map((piece) => Buffer.from(piece as string))));

describe('the text codec', () => {
  it('D1: the codec never splits a character, and decodes to the same text for every split into chunks', () => {
    const stream = fc.string({ unit: 'binary', maxLength: 200 }).map((text) => Buffer.from(text));
    fc.assert(
      fc.property(stream, chunkSizes(), (stream, sizes) => {
        const { messages, error, left } = receive(text(), chunksOf(stream, sizes));
        expect([messages.join(''), error, left]).toStrictEqual([stream.toString(), undefined, 0]);
        for (const message of messages) expect(Buffer.from(message).toString()).toBe(message);
      }),
    );
  });

  it('D1: decoding fails at the same invalid byte for every split into chunks, after all the text before that byte', () => {
    fc.assert(
      fc.property(hostile(), chunkSizes(), (stream, sizes) => {
        const expected = model(stream);
        expect(read([stream])).toStrictEqual(expected);
        expect(read(chunksOf(stream, [1]))).toStrictEqual(expected);
        expect(read(chunksOf(stream, sizes))).toStrictEqual(expected);
      }),
      { numRuns: 2_000 },
    );
  });

  it('D1: the codec emits all available text in one message, except the bytes of an incomplete character', () => {
    const queue = new ChunkQueue();
    const decoder = text().decoder();
    const euro = Buffer.from('€');
    queue.push(Buffer.concat([Buffer.from('aé'), euro.subarray(0, 2)]));
    expect(decoder.decode(queue)).toBe('aé');
    expect(queue.length).toBe(2);
    expect(decoder.decode(queue)).toBe(undefined);
    queue.push(Buffer.concat([euro.subarray(2), Buffer.from('b')]));
    expect(decoder.decode(queue)).toBe('€b');
    expect(decoder.decode(queue)).toBe(undefined);
  });

  it('D1: the codec joins bytes that are buffered in several pieces', () => {
    const queue = new ChunkQueue();
    const sent = 'é€😀'.repeat(10_000);
    for (const chunk of chunksOf(Buffer.from(sent), [5_001])) queue.push(chunk);
    expect(text().decoder().decode(queue)).toBe(sent);
    expect(queue.length).toBe(0);
  });

  it('D1: in latin1, the codec decodes each byte to one character, for every split into chunks', () => {
    const bytes = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(bytes, chunkSizes(), (stream, sizes) => {
        expect(read(chunksOf(stream, sizes), 'latin1')).toStrictEqual([stream.toString('latin1'), undefined]);
      }),
    );
  });

  it('D1: the codec reads each byte only a few times', () => {
    for (const sent of ['x'.repeat(100_000), 'é'.repeat(50_000), '😀'.repeat(25_000)]) {
      for (const size of [1, 3, 1_448]) {
        const queue = new CountingQueue();
        const { messages } = receive(text(), chunksOf(Buffer.from(sent), [size]), queue);
        expect(messages.join('')).toBe(sent);
        expect(queue.examined / Buffer.byteLength(sent)).toBeLessThan(4);
      }
    }
  });

  it('D2: the decoded messages, joined, equal the encoded messages, joined', () => {
    const values = fc.array(fc.string({ unit: 'binary', maxLength: 40 }), { maxLength: 20 });
    fc.assert(
      fc.property(values, chunkSizes(), (values, sizes) => {
        const stream = Buffer.concat(values.map((value) => encodeOne(text(), value)));
        expect(read(chunksOf(stream, sizes))).toStrictEqual([values.join(''), undefined]);
      }),
    );
    const latin1 = ['', 'é', '\xff\0', 'abc'];
    const stream = Buffer.concat(latin1.map((value) => encodeOne(text('latin1'), value)));
    expect(read(chunksOf(stream, [1]), 'latin1')).toStrictEqual([latin1.join(''), undefined]);
  });

  it('D2: the codec keeps a byte order mark', () => {
    expect(read([Buffer.from('\ufeffa')])).toStrictEqual(['\ufeffa', undefined]);
  });

  it.each<[string, number[]]>([
    ['a byte that begins no character', [0xff]],
    ['a continuation without a beginning', [0x80]],
    ['an overlong form of two bytes', [0xc0, 0x80]],
    ['an overlong form of three bytes', [0xe0, 0x80]],
    ['an overlong form of four bytes', [0xf0, 0x80]],
    ['a surrogate', [0xed, 0xa0]],
    ['a character over U+10FFFF', [0xf4, 0x90]],
    ['a character that another character interrupts', [0xe2, 0x82, 0x41]],
  ])('D3: the text before %s is emitted, and decoding fails as soon as the bytes are surely invalid', (_, bad) => {
    for (const before of ['', 'a', '€'.repeat(3_000)]) {
      const stream = Buffer.concat([Buffer.from(before), Buffer.from(bad)]);
      expect(read([stream])).toStrictEqual([before, 'ERR_FRAME_INVALID']);
      expect(read(chunksOf(stream, [1]))).toStrictEqual([before, 'ERR_FRAME_INVALID']);
      expect(read([Buffer.concat([stream, Buffer.from('after')])])).toStrictEqual([before, 'ERR_FRAME_INVALID']);
    }
  });

  it('D3: the codec buffers at most three bytes of an incomplete character', () => {
    fc.assert(
      fc.property(hostile(), chunkSizes(), (stream, sizes) => {
        const queue = new ChunkQueue();
        const decoder = text().decoder();
        for (const chunk of chunksOf(Buffer.from(model(stream)[0]), sizes)) {
          queue.push(chunk);
          while (decoder.decode(queue) !== undefined);
          expect(queue.length).toBeLessThanOrEqual(3);
        }
      }),
    );
  });

  it('D4: decoding fails with ERR_FRAME_TRUNCATED if the stream ends inside a character', () => {
    for (const character of ['é', '€', '😀']) {
      const stream = Buffer.from(`a${character}`);
      for (let cut = 2; cut < stream.length; cut++) {
        expect(read([stream.subarray(0, cut)])).toStrictEqual(['a', 'ERR_FRAME_TRUNCATED']);
      }
      expect(read([stream])).toStrictEqual([`a${character}`, undefined]);
    }
  });

  it.each<[string, 'utf8' | 'latin1', unknown]>([
    ['a lone surrogate', 'utf8', '\ud83d'],
    ['a character that latin1 lacks', 'latin1', '€'],
    ['bytes', 'utf8', Buffer.from('a')],
    ['a number', 'latin1', 7],
    ['undefined', 'utf8', undefined],
  ])('D5: the codec refuses %s in %s, and writes no part of the value', (_, encoding, value) => {
    const never = (): never => expect.unreachable('something was written');
    const encoder = text(encoding).encoder();
    const error = refusal(() => encoder.encode(value as string, { bytes: never, text: never, uint: never }));
    expect(error.code).toBe('ERR_FRAME_INVALID');
  });

  it.each(['utf-8', 'ascii', '', null, 8, {}])('A5: a bad encoding is refused: %o', (encoding) => {
    const error = refusal(() => text(encoding as 'utf8'));
    expect(error.code).toBe('ERR_OPTION_INVALID');
    expect(error.message).toContain('encoding');
  });
});
