import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Encoder } from '../../src/codecs/codec.js';
import type { ByteSink } from '../../src/bytes/byte-sink.js';
import { lines } from '../../src/codecs/lines.js';
import { SocketError } from '../../src/errors/socket-error.js';
import { ChunkQueue } from '../../src/bytes/chunk-queue.js';
import { WriteBuffer } from '../../src/io/write-buffer.js';
import { chunksOf, chunkSizes } from '../support/bytes/arbitrary-chunks.js';

/** One step of a value's encoder. */
type Step =
  | { readonly kind: 'bytes'; readonly length: number }
  | { readonly kind: 'text'; readonly text: string; readonly encoding: 'utf8' | 'latin1' }
  | { readonly kind: 'uint'; readonly value: number; readonly endian: 'big' | 'little' };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('bytes' as const), length: fc.oneof(fc.nat(20), fc.nat(9_000)) }),
  fc.record({
    kind: fc.constant('text' as const),
    text: fc.oneof(
      fc.constantFrom('', 'a\n', 'ééé', '😀\n'),
      fc.nat(9_000).map((count) => 'é'.repeat(count)),
    ),
    encoding: fc.constantFrom('utf8' as const, 'latin1' as const),
  }),
  fc.record({ kind: fc.constant('uint' as const), value: fc.nat(65_535), endian: fc.constantFrom('big', 'little') }),
);

const value = fc.record({
  steps: fc.array(step, { maxLength: 4 }),
  fails: fc.boolean(),
});

function bytesOf(steps: readonly Step[]): Buffer {
  const parts = steps.map((each) => {
    switch (each.kind) {
      case 'bytes':
        return Buffer.alloc(each.length, 7);
      case 'text':
        return Buffer.from(each.text, each.encoding);
      case 'uint': {
        const bytes = Buffer.alloc(2);
        if (each.endian === 'big') bytes.writeUInt16BE(each.value);
        else bytes.writeUInt16LE(each.value);
        return bytes;
      }
    }
  });
  return Buffer.concat(parts);
}

const encoder: Encoder<{ readonly steps: readonly Step[]; readonly fails: boolean }> = {
  encode({ steps, fails }, into: ByteSink) {
    for (const each of steps) {
      if (each.kind === 'bytes') into.bytes(Buffer.alloc(each.length, 7));
      else if (each.kind === 'text') into.text(each.text, each.encoding);
      else into.uint(each.value, 2, each.endian);
    }
    if (fails) throw new SocketError('ERR_FRAME_INVALID', 'thrown by the test');
  },
};

function written(buffer: WriteBuffer): Buffer {
  const pieces: Buffer[] = [];
  buffer.writeTo({
    write(data, encoding) {
      pieces.push(typeof data === 'string' ? Buffer.from(data, encoding) : Buffer.from(data));
      return true;
    },
    writeAll(all) {
      for (const piece of all) pieces.push(Buffer.from(piece));
      return true;
    },
  });
  return Buffer.concat(pieces);
}

describe('a write buffer', () => {
  it('D5: holds the encoded values in order, without values that failed or were rolled back', () => {
    fc.assert(
      fc.property(
        fc.array(value, { maxLength: 12 }),
        fc.array(fc.boolean(), { maxLength: 12 }),
        fc.constantFrom('write', 'all', 'parts'),
        (values, looks, way) => {
          const buffer = new WriteBuffer();
          let expected = Buffer.alloc(0);
          values.forEach(({ steps, fails }, index) => {
            const before = buffer.size;
            const error = buffer.add(encoder, { steps, fails });
            expect(error !== undefined).toBe(fails);
            if (!fails && index % 5 === 4) buffer.rollback();
            else if (!fails) expected = Buffer.concat([expected, bytesOf(steps)]);
            if (fails) expect(buffer.size).toBe(before);
            expect(buffer.atMost).toBeGreaterThanOrEqual(expected.length);
            if (looks[index] === true) expect(buffer.size).toBe(expected.length);
          });
          const all = buffer.atMost;
          if (way === 'write') expect(written(buffer).equals(expected)).toBe(true);
          else if (way === 'all') expect(Buffer.from(buffer.takeAll()).equals(expected)).toBe(true);
          else {
            const parts = buffer.takeBatches(16_384);
            expect(parts.size).toBe(expected.length);
            const pieces: Uint8Array[] = [];
            for (let part = parts.shift(); part !== undefined; part = parts.shift()) pieces.push(...part.pieces);
            expect(Buffer.concat(pieces).equals(expected)).toBe(true);
          }
          expect(all).toBeGreaterThanOrEqual(expected.length);
          expect(buffer.size + buffer.atMost).toBe(0);
        },
      ),
      { numRuns: 500 },
    );
  });

  const text: Encoder<string> = { encode: (value, into) => into.text(value, 'utf8') };

  it('counts each value once, even if the size is asked for after each value', () => {
    const count = vi.spyOn(Buffer, 'byteLength');
    onTestFinished(() => count.mockRestore());
    const buffer = new WriteBuffer();
    for (let index = 0; index < 100; index++) {
      buffer.add(text, 'x'.repeat(50));
      expect(buffer.size).toBe((index + 1) * 50);
    }
    const counted = count.mock.calls.reduce((sum, [value]) => sum + (value as string).length, 0);
    expect(counted).toBe(100 * 50);
  });

  it('counts the bytes of a surrogate pair whose halves are in two values', () => {
    const buffer = new WriteBuffer();
    buffer.add(text, 'a\ud83d');
    expect(buffer.size).toBe(4);
    buffer.add(text, '\ude00b');
    expect(buffer.size).toBe(6);
    expect(written(buffer).toString()).toBe('a\u{1f600}b');
  });

  it('C1: writes forwarded lines, changed or unchanged, exactly as a model does', () => {
    const content = fc.oneof(
      fc.constantFrom('', 'a', 'é😀', 'x\r', 'y'.repeat(100)),
      fc.nat(3_000).map((count) => 'z'.repeat(count)),
    );
    const options = fc.record({
      delimiter: fc.constantFrom('\n' as const, '\r\n' as const),
      encoding: fc.constantFrom('utf8' as const, 'latin1' as const),
      maxLength: fc.constantFrom(200, 65_536),
    });
    const line = fc.record({ text: content, ending: fc.constantFrom('\n', '\r\n'), changed: fc.boolean() });
    fc.assert(
      fc.property(fc.array(line, { maxLength: 60 }), chunkSizes(), options, options, (all, sizes, from, to) => {
        const decoder = lines({ ...from, maxLength: 65_536 }).decoder();
        const lineEncoder = lines(to).encoder();
        const buffer = new WriteBuffer();
        const queue = new ChunkQueue();
        let expected = Buffer.alloc(0);
        let index = 0;
        const stream = Buffer.from(all.map(({ text, ending }) => text + ending).join(''), from.encoding);
        for (const chunk of chunksOf(stream, sizes)) {
          queue.push(chunk);
          for (let text = decoder.decode(queue); text !== undefined; text = decoder.decode(queue)) {
            const sent = all[index++]?.changed === true ? `${text}!` : text;
            const error = buffer.add(lineEncoder, sent);
            const tooLong = Buffer.byteLength(sent, to.encoding) > to.maxLength;
            const invalid =
              (to.delimiter === '\n' && sent.endsWith('\r')) || (to.encoding === 'latin1' && /[^\0-\xff]/.test(sent));
            expect(error?.code).toBe(invalid ? 'ERR_FRAME_INVALID' : tooLong ? 'ERR_FRAME_TOO_LONG' : undefined);
            if (error === undefined)
              expected = Buffer.concat([expected, Buffer.from(sent + to.delimiter, to.encoding)]);
          }
        }
        expect(index).toBe(all.length);
        expect(written(buffer).equals(expected)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
