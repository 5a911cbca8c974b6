import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as codecs from '../../src/codecs/index.js';
import type { Codec, Decoder } from '../../src/codecs/index.js';
import { SocketError } from '../../src/errors/socket-error.js';
import { ChunkQueue } from '../../src/bytes/chunk-queue.js';
import { CountingQueue } from '../../src/testing/counting-queue.js';
import { allocatedIn } from '../support/bytes/allocated-bytes.js';
import { chunksOf, chunkSizes } from '../support/bytes/arbitrary-chunks.js';
import { receive } from '../support/codecs/decode-stream.js';

const { delimited, fixedLength, jsonLines, lengthPrefixed, lines, mapCodec, netstring, text } = codecs;

/** Every codec, with different options. The function returns the least number of bytes that encode a message. */
const all: readonly [string, Codec<unknown, never>, (message: never) => number][] = [
  ['delimited', delimited('\r\n', { maxLength: 40 }), (message: Buffer) => message.length],
  ['delimited, overlapping', delimited('aa', { maxLength: 40 }), (message: Buffer) => message.length],
  ['fixedLength', fixedLength(7), (message: Buffer) => message.length],
  ['jsonLines', jsonLines({ maxLength: 40 }), () => 2],
  ['lengthPrefixed', lengthPrefixed({ maxLength: 40 }), (message: Buffer) => message.length],
  ['lengthPrefixed, all lengths', lengthPrefixed({ bytes: 2, endian: 'little' }), (message: Buffer) => message.length],
  ['lines', lines({ maxLength: 40 }), (message: string) => Buffer.byteLength(message)],
  ['lines, latin1', lines({ maxLength: 40, encoding: 'latin1' }), (message: string) => message.length],
  ['netstring', netstring({ maxLength: 40 }), (message: Buffer) => message.length],
  ['text', text(), (message: string) => Buffer.byteLength(message)],
  ['text, latin1', text('latin1'), (message: string) => message.length],
  ['mapCodec', mapCodec(lines({ maxLength: 40 }), (line) => JSON.parse(line) as unknown, JSON.stringify), () => 1],
];

/** Fragments that some codecs accept, and bytes that no codec accepts. */
const stream = (): fc.Arbitrary<Buffer> =>
  fc
    .array(
      fc.oneof(
        fc.constantFrom('\n', '\r\n', '\r', 'a', 'aa', '{', '}', '[', ']', ':', ',', '"', '\\', '\\u005f', '__proto__'),
        fc.constantFrom('0:,', '1:a,', '3:', '99', '{"a":1}\n', '{"__proto__":1}\n', 'é', '€', '😀', '\ufeff'),
        fc.uint8Array({ maxLength: 4 }).map((bytes) => Buffer.from(bytes)),
        fc
          .constantFrom([0, 0, 0, 2], [0, 0], [1, 0], [255, 255, 255, 255], [0xe2, 0x82])
          .map((bytes) => Buffer.from(bytes)),
      ),
      { maxLength: 60 },
    )
    .map((pieces) => Buffer.concat(pieces.map((piece) => Buffer.from(piece as string))));

const tested = new Set(all.map(([name]) => name.replace(/,.*/, '')));

describe('each codec, given hostile bytes,', () => {
  it('every codec is tested in this file', () => {
    const made = Object.entries(codecs).filter(([, value]) => typeof value === 'function');
    expect(made.map(([name]) => name).sort()).toStrictEqual([...tested].sort());
  });

  it.each(all)('D1: decoding ends in the same way for every split into chunks: %s', (name, codec) => {
    // The `text` codec may emit the same text in different pieces.
    const known = (messages: readonly unknown[]): unknown => (name.startsWith('text') ? messages.join('') : messages);
    fc.assert(
      fc.property(stream(), chunkSizes(), (stream, sizes) => {
        const whole = receive(codec, [stream]);
        for (const each of [sizes, [1]]) {
          const { messages, error } = receive(codec, chunksOf(stream, each));
          expect([known(messages), error]).toStrictEqual([known(whole.messages), whole.error]);
        }
        if (whole.error !== undefined) expect(whole.error).toMatch(/^ERR_FRAME_(TOO_LONG|INVALID|TRUNCATED)$/);
      }),
      { numRuns: 500 },
    );
  });

  it.each(all)('D3: the codec never emits more bytes than it has received: %s', (_, codec, sizeOf) => {
    fc.assert(
      fc.property(stream(), chunkSizes(), (stream, sizes) => {
        const queue = new ChunkQueue();
        const { messages, left } = receive(codec, chunksOf(stream, sizes), queue);
        const given = messages.reduce<number>((sum, message) => sum + sizeOf(message as never), 0);
        expect(given).toBeLessThanOrEqual(queue.position);
        expect(queue.position + left).toBeLessThanOrEqual(stream.length);
      }),
    );
  });

  it.each(all)('D3: the codec never allocates more than a few times the size of its input: %s', (_, codec) => {
    fc.assert(
      fc.property(stream(), chunkSizes(), (stream, sizes) => {
        const chunks = chunksOf(stream, sizes);
        const allocated = allocatedIn(() => void receive(codec, chunks));
        expect(allocated).toBeLessThanOrEqual(4_096 + 8 * stream.length);
      }),
    );
  });

  it.each(all)('D1: the codec examines each byte only a few times, even if bytes arrive singly: %s', (_, codec) => {
    const pieces = fc.array(fc.nat(255), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(pieces, (pattern) => {
        const stream = Buffer.alloc(5_000, Buffer.from(pattern));
        const queue = new CountingQueue();
        receive(codec, chunksOf(stream, [1]), queue);
        expect(queue.examined).toBeLessThan(64 * stream.length);
      }),
      { numRuns: 30 },
    );
  });

  it.each(all)('C13: the codec takes no bytes off the queue while a message is incomplete: %s', (_, codec) => {
    fc.assert(
      fc.property(stream(), (stream) => {
        const decoder: Decoder<unknown> = codec.decoder();
        const queue = new ChunkQueue();
        try {
          for (const byte of stream) {
            queue.push(Buffer.of(byte));
            const before = queue.position;
            if (decoder.decode(queue) === undefined) expect(queue.position).toBe(before);
            else expect(queue.position).toBeGreaterThan(before);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(SocketError);
        }
      }),
    );
  });
});
