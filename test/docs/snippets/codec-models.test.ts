import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import fc from 'fast-check';
import type { Observer } from 'rxjs';
import { SocketError } from 'rxjs-sockets';
import { type ByteQueue, type Codec, lengthPrefixed, lines } from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import { ChunkQueue } from '../../../src/bytes/chunk-queue.js';
import { WriteBuffer } from '../../../src/io/write-buffer.js';
import { encodeOne, encodeWith } from '../../../src/testing/byte-collector.js';
import { chunkSizes, chunksOf as cut } from '../../support/bytes/arbitrary-chunks.js';
import { line } from '../../support/codecs/arbitrary-line.js';
import { pair } from '../../support/transport/memory/memory-network.js';
import { receive } from '../../support/codecs/decode-stream.js';
import { turns } from '../../support/scheduling/event-loop.js';

const binary = (): fc.Arbitrary<Buffer> => fc.uint8Array({ maxLength: 3_000 }).map((bytes) => Buffer.from(bytes));
const chunked = (): fc.Arbitrary<Buffer[]> =>
  fc.tuple(binary(), chunkSizes()).map(([bytes, sizes]) => cut(bytes, sizes));

describe('the models of ByteQueue', () => {
  it('C13: a queue of chunks behaves like one Buffer', () => {
    fc.assert(
      fc.property(chunked(), fc.array(fc.tuple(fc.nat(200), fc.nat(3))), (chunks, operations) => {
        const queue: ByteQueue = (() => {
          const queue = new ChunkQueue();
          for (const chunk of chunks) queue.push(chunk);
          return queue;
        })();
        let waiting = Buffer.concat(chunks);
        let position = 0;
        const at = (index: number) => waiting[index];
        const indexOf = (needle: number | Uint8Array, from = 0) => waiting.indexOf(needle, from);
        const peek = (count: number) => waiting.subarray(0, count);
        const skip = (count: number) => {
          waiting = waiting.subarray(count);
          position += count;
        };
        for (const [number, byte] of operations) {
          const count = Math.min(number, waiting.length);
          if (count < waiting.length) expect(queue.at(count)).toBe(at(count));
          expect(queue.indexOf(byte, count)).toBe(indexOf(byte, count));
          expect(queue.indexOf(Buffer.from([byte, byte]))).toBe(indexOf(Buffer.from([byte, byte])));
          expect(queue.peek(count)).toEqual(peek(count));
          queue.skip(count);
          skip(count);
          expect([queue.length, queue.position]).toEqual([waiting.length, position]);
        }
      }),
    );
  });

  it('C13: a queue gives the same bytes as one joined Buffer, in whatever order bytes are pushed and taken', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(binary(), fc.nat(2_000))), (steps) => {
        const queue = new ChunkQueue();
        let waiting = Buffer.alloc(0);
        let position = 0;
        const push = (chunk: Buffer) => (waiting = Buffer.concat([waiting, chunk]));
        const peek = (count: number) => waiting.subarray(0, count);
        const skip = (count: number) => {
          waiting = waiting.subarray(count);
          position += count;
        };
        const take = (count: number) => {
          const bytes = peek(count);
          skip(count);
          return bytes;
        };
        for (const step of steps) {
          if (typeof step === 'number') {
            const count = Math.min(step, waiting.length);
            expect(queue.take(count)).toEqual(take(count));
          } else {
            queue.push(step);
            push(step);
          }
          expect([queue.length, queue.position]).toEqual([waiting.length, position]);
        }
      }),
    );
  });
});

describe('the model of ByteSink', () => {
  it('C3: collected bytes are written together', () => {
    const part = fc.oneof(fc.uint8Array({ maxLength: 6_000 }), fc.string({ unit: 'grapheme', maxLength: 50 }));
    fc.assert(
      fc.property(fc.array(part), (parts) => {
        const pieces: Uint8Array[] = [];
        const bytes = (value: Uint8Array) => pieces.push(value);
        const text = (value: string, encoding: 'utf8' | 'latin1') => pieces.push(Buffer.from(value, encoding));
        // at the end of the turn: socket.write(Buffer.concat(pieces))
        const sink = new WriteBuffer();
        for (const value of parts) {
          if (typeof value === 'string') {
            text(value, 'utf8');
            sink.text(value, 'utf8');
          } else {
            bytes(value);
            sink.bytes(value);
          }
        }
        const size = sink.size;
        const written: Uint8Array[] = [];
        sink.writeTo({
          write: (data, encoding) => written.push(typeof data === 'string' ? Buffer.from(data, encoding) : data) > 0,
          writeAll: (all) => written.push(...all) > 0,
        });
        expect(Buffer.concat(written)).toEqual(Buffer.concat(pieces));
        expect(size).toBe(Buffer.concat(pieces).length);
      }),
    );
  });
});

describe('the models of the codecs', () => {
  it('D1: a channel receives as the model of Decoder does', async () => {
    const shortLine = fc.string({ unit: fc.constantFrom('a', 'é', '😀', '\r'), maxLength: 10 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(shortLine, { maxLength: 10 }),
        fc.boolean(),
        chunkSizes(),
        async (values, ended, sizes) => {
          const text = values.join('\n') + (ended ? '\n' : '');
          const chunks = cut(Buffer.from(text), sizes);
          const messages: string[] = [];
          const observer: Observer<string> = {
            next: (value) => messages.push(value),
            error: (error: SocketError) => messages.push(`! ${error.code}`),
            complete: () => messages.push('|'),
          };
          const decoder = lines().decoder();
          const queue = new ChunkQueue();
          const socket = new EventEmitter<{ data: [Buffer]; end: [] }>();
          socket.on('data', (chunk) => {
            queue.push(chunk);
            for (let value = decoder.decode(queue); value !== undefined; value = decoder.decode(queue))
              observer.next(value);
          });
          socket.on('end', () => {
            for (let value = decoder.end?.(queue); value !== undefined; value = decoder.end?.(queue))
              observer.next(value);
            if (queue.length === 0) observer.complete();
            else observer.error(new SocketError('ERR_FRAME_TRUNCATED', 'the stream has ended inside a frame'));
          });
          for (const chunk of chunks) socket.emit('data', chunk);
          socket.emit('end');

          const { connection, peer } = await pair();
          const received: string[] = [];
          const over = new Promise<void>((resolve) => {
            connection.data.subscribe({
              next: (value) => received.push(value),
              error: (error: unknown) => {
                received.push(`! ${(error as SocketError).code}`);
                resolve();
              },
              complete: () => {
                received.push('|');
                resolve();
              },
            });
          });
          for (const chunk of chunks) {
            peer.bytes.next(chunk);
            await turns(1);
          }
          peer.bytes.complete();
          await over;
          expect(received).toEqual(messages);
        },
      ),
      { numRuns: 25 },
    );
  });

  it('D2: a connection transmits as in the model of Codec', () => {
    fc.assert(
      fc.property(fc.array(line()), chunkSizes(), (values, sizes) => {
        const codec: Codec<string> = lines();
        const received: string[] = [];
        const queue = new ChunkQueue();
        const sink = new WriteBuffer();
        const chunksOf = (sink: WriteBuffer): Buffer[] => {
          const written: Uint8Array[] = [];
          sink.writeTo({
            write: (data, encoding) => written.push(typeof data === 'string' ? Buffer.from(data, encoding) : data) > 0,
            writeAll: (all) => written.push(...all) > 0,
          });
          return cut(Buffer.concat(written), sizes);
        };
        const encoder = codec.encoder(); // at one end
        for (const value of values) encoder.encode(value, sink);
        const decoder = codec.decoder(); // at the other end
        for (const chunk of chunksOf(sink)) {
          queue.push(chunk);
          for (let value = decoder.decode(queue); value !== undefined; value = decoder.decode(queue))
            received.push(value);
        }
        expect(received).toEqual(values);
      }),
    );
  });

  it('D1: lines are decoded as by their model', () => {
    const maxLength = 20;
    const encoding = 'latin1';
    function decode(bytes: ByteQueue): string | undefined {
      const end = bytes.indexOf(10);
      if ((end === -1 ? bytes.length : end) > maxLength) throw new SocketError('ERR_FRAME_TOO_LONG', 'a long line');
      if (end === -1) return undefined;
      return bytes
        .take(end + 1)
        .toString(encoding)
        .replace(/\r?\n$/, '');
    }
    const model: Codec<string> = { decoder: () => ({ decode }), encoder: () => lines().encoder() };
    // The bytes contain no '\r'. If '\r\n' ends a line, the model counts the '\r' as a part of the line, and the codec
    // does not. So the model refuses some lines that the codec accepts.
    const bytes = fc.string({ unit: fc.constantFrom('a', '\n', 'é'), maxLength: 100 });
    fc.assert(
      fc.property(bytes, chunkSizes(), (text, sizes) => {
        const chunks = cut(Buffer.from(`${text}\n`, 'latin1'), sizes);
        expect(receive(lines({ maxLength, encoding }), chunks)).toEqual(receive(model, chunks));
      }),
    );
  });

  it('D1: messages with a length are decoded as by their model', () => {
    const { header, endian, maxLength } = { header: 2, endian: 'little', maxLength: 300 } as const;
    function decode(queue: ByteQueue): Buffer | undefined {
      if (queue.length < header) return undefined;
      const length = queue.uint(0, header, endian);
      if (length > maxLength) throw new SocketError('ERR_FRAME_TOO_LONG', `a message of ${length} bytes`);
      if (queue.length < header + length) return undefined;
      return queue.take(header + length).subarray(header);
    }
    const codec = lengthPrefixed({ bytes: header, endian, maxLength });
    const model: Codec<Buffer, never> = { decoder: () => ({ decode }), encoder: () => codec.encoder() };
    const frames = fc.array(
      fc.oneof(
        fc.uint8Array({ maxLength }).map((bytes) => encodeOne(codec, bytes)),
        binary(),
      ),
    );
    fc.assert(
      fc.property(frames, chunkSizes(), (frames, sizes) => {
        const chunks = cut(Buffer.concat(frames), sizes);
        expect(receive(codec, chunks)).toEqual(receive(model, chunks));
      }),
    );
  });

  it('D1: verifyCodec does what its model does', () => {
    const values = ['', 'a', 'é€😀'];
    const encoder = lines().encoder();
    const frames = values.map((value) => encodeWith(encoder, value));
    const ends = frames.map((_, index) => Buffer.concat(frames.slice(0, index + 1)).length);
    const chunks = cut(Buffer.concat(frames), [1]);
    const decoder = lines().decoder();
    const queue = new ChunkQueue();
    let given = 0;
    for (const chunk of chunks) {
      queue.push(chunk);
      for (let value = decoder.decode(queue); value !== undefined; value = decoder.decode(queue)) {
        assert.deepEqual(value, values[given]); // D1, D2
        assert.equal(queue.position, ends[given++]); // C13: exactly its own frame was taken off
      }
    }
    expect(given).toBe(values.length);
  });
});
