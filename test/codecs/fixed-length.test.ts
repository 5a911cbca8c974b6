import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fixedLength } from '../../src/codecs/fixed-length.js';
import type { SocketErrorCode } from '../../src/errors/socket-error.js';
import { ChunkQueue } from '../../src/bytes/chunk-queue.js';
import { encodeOne } from '../../src/testing/byte-collector.js';
import { CountingQueue } from '../../src/testing/counting-queue.js';
import { verifyCodec } from '../../src/testing/verify-codec.js';
import { allocatedIn } from '../support/bytes/allocated-bytes.js';
import { chunksOf, chunkSizes } from '../support/bytes/arbitrary-chunks.js';
import { receive } from '../support/codecs/decode-stream.js';
import { refusal } from '../support/errors/refusal.js';

describe('the fixedLength codec', () => {
  it.each<[number, (string | Uint8Array)[]]>([
    [1, ['a', Uint8Array.of(0), Buffer.of(255)]],
    [3, ['abc', '€', 'éa', Buffer.of(0, 10, 13), Uint8Array.of(44, 58, 48)]],
    [2_000, [Buffer.alloc(2_000, 7), 'x'.repeat(2_000)]],
  ])('D1: the codec obeys rules D1, D2, D4, D5 and C13 with %i bytes', (size, values) => {
    const refused = [
      '',
      'ab',
      Buffer.alloc(size + 1),
      Buffer.alloc(size - 1),
      undefined,
      null,
      size,
      {},
      [1],
      '\ud800',
    ];
    verifyCodec(fixedLength(size), values, { refused });
  });

  it('D1: the codec accepts any bytes as messages, for every split into chunks', () => {
    const bytes = fc.uint8Array({ maxLength: 2_000 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(bytes, fc.integer({ min: 1, max: 300 }), chunkSizes(), (stream, size, sizes) => {
        const { messages, error, left } = receive(fixedLength(size), chunksOf(stream, sizes));
        const whole = stream.length - (stream.length % size);
        expect(messages.every((message) => message.length === size)).toBe(true);
        expect(Buffer.concat(messages).equals(stream.subarray(0, whole))).toBe(true);
        expect(left).toBe(stream.length - whole);
        expect(error).toBe(left === 0 ? undefined : 'ERR_FRAME_TRUNCATED');
      }),
    );
  });

  it('D1: the codec reads each byte of a long message only a few times, even if the message arrives byte by byte', () => {
    const stream = Buffer.alloc(262_144, 'x');
    const queue = new CountingQueue();
    expect(receive(fixedLength(stream.length), chunksOf(stream, [1]), queue).messages).toHaveLength(1);
    expect(queue.examined / stream.length).toBeLessThan(2);
  });

  it('D3: the codec allocates nothing for a message before bytes of the message arrive', () => {
    const queue = new ChunkQueue();
    const decoder = fixedLength(2 ** 31 - 1).decoder();
    const allocated = allocatedIn(() => {
      for (let round = 0; round < 100; round++) {
        queue.push(Buffer.from('some bytes'));
        expect(decoder.decode(queue)).toBe(undefined);
      }
    });
    expect(allocated).toBeLessThan(10_000);
  });

  it('D4: decoding fails with ERR_FRAME_TRUNCATED if the stream ends inside a message', () => {
    expect(receive(fixedLength(3), [Buffer.from('abcd')])).toMatchObject({ error: 'ERR_FRAME_TRUNCATED', left: 1 });
    expect(receive(fixedLength(3), [Buffer.from('abcdef')]).error).toBe(undefined);
    expect(receive(fixedLength(3), []).error).toBe(undefined);
  });

  it.each<[string, unknown, SocketErrorCode]>([
    ['that is too long', 'abcd', 'ERR_FRAME_TOO_LONG'],
    ['whose text is too long in UTF-8', 'ééé', 'ERR_FRAME_TOO_LONG'],
    ['that is too short', Buffer.of(1, 2), 'ERR_FRAME_INVALID'],
    ['that is empty', '', 'ERR_FRAME_INVALID'],
    ['with a lone surrogate', '\udc00', 'ERR_FRAME_INVALID'],
    ['that is neither bytes nor text', [1, 2, 3], 'ERR_FRAME_INVALID'],
  ])('D5: the codec refuses a value %s, and writes no part of the value', (_, value, code) => {
    const never = (): never => expect.unreachable('something was written');
    const encoder = fixedLength(3).encoder();
    expect(refusal(() => encoder.encode(value as string, { bytes: never, text: never, uint: never })).code).toBe(code);
  });

  it.each([0, -1, 1.5, Number.NaN, Infinity, 2 ** 31, '4', null, undefined, {}])(
    'A5: `fixedLength` refuses a bad size: %o',
    (size) => {
      const error = refusal(() => fixedLength(size as number));
      expect(error.code).toBe('ERR_OPTION_INVALID');
      expect(error.message).toContain('size');
    },
  );

  it('A5: `fixedLength` accepts the smallest and the largest size', () => {
    expect(encodeOne(fixedLength(1), 'a').length).toBe(1);
    fixedLength(2 ** 31 - 1);
  });
});
