import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type LengthPrefixedOptions, lengthPrefixed } from '../../src/codecs/length-prefixed.js';
import type { SocketErrorCode } from '../../src/errors/socket-error.js';
import { ChunkQueue } from '../../src/bytes/chunk-queue.js';
import { encodeOne } from '../../src/testing/byte-collector.js';
import { CountingQueue } from '../../src/testing/counting-queue.js';
import { verifyCodec } from '../../src/testing/verify-codec.js';
import { chunksOf, chunkSizes } from '../support/bytes/arbitrary-chunks.js';
import { message } from '../support/codecs/arbitrary-message.js';
import { receive } from '../support/codecs/decode-stream.js';
import { refusal } from '../support/errors/refusal.js';

const layouts = [1, 2, 4].flatMap((bytes) =>
  (['big', 'little'] as const).map((endian) => ({ bytes: bytes as 1 | 2 | 4, endian })),
);

const bufferOf = (value: Uint8Array | string): Buffer =>
  typeof value === 'string' ? Buffer.from(value) : Buffer.from(value);

const mebibyte = 1_048_576;

describe('the lengthPrefixed codec', () => {
  it.each(layouts)('D1: the codec obeys rules D1, D2, D4, D5 and C13 with %o', (layout) => {
    const values = ['', 'a', Uint8Array.of(), Buffer.alloc(200, 7), 'é€😀', Uint8Array.of(0, 0, 0, 1), 'x'.repeat(255)];
    const refused = [Buffer.alloc(256), 'é'.repeat(128), '\ud800', undefined, null, 7, {}, [1], new ArrayBuffer(1)];
    verifyCodec(lengthPrefixed({ ...layout, maxLength: 255 }), values, { refused });
  });

  it('D2: the codec decodes what it has encoded, for every layout and every split into chunks', () => {
    const values = fc.array(message(255), { maxLength: 30 });
    fc.assert(
      fc.property(values, chunkSizes(), fc.constantFrom(...layouts), (values, sizes, layout) => {
        const codec = lengthPrefixed(layout);
        const stream = Buffer.concat(values.map((value) => encodeOne(codec, value)));
        const received = receive(codec, chunksOf(stream, sizes));
        expect(received).toStrictEqual({ messages: values.map(bufferOf), error: undefined, left: 0 });
      }),
    );
  });

  it.each<[LengthPrefixedOptions, number[]]>([
    [{}, [0, 0, 0, 2, 97, 98]],
    [{ endian: 'little' }, [2, 0, 0, 0, 97, 98]],
    [{ bytes: 2 }, [0, 2, 97, 98]],
    [{ bytes: 2, endian: 'little' }, [2, 0, 97, 98]],
    [{ bytes: 1 }, [2, 97, 98]],
  ])('D2: the codec encodes a message in the layout %o', (options, bytes) => {
    expect([...encodeOne(lengthPrefixed(options), 'ab')]).toStrictEqual(bytes);
  });

  it('D1: the codec reads each byte of a 1 MiB message only a few times, even if the message arrives byte by byte', () => {
    const codec = lengthPrefixed();
    const sent = Buffer.alloc(mebibyte, 'x');
    const stream = encodeOne(codec, sent);
    for (const size of [1, 7, 65_536]) {
      const queue = new CountingQueue();
      const { messages } = receive(codec, chunksOf(stream, [size]), queue);
      expect(messages.length).toBe(1);
      expect(messages[0]?.equals(sent)).toBe(true);
      expect(queue.examined / stream.length).toBeLessThan(6);
    }
  });

  it('D1: the codec returns a message as a view of its chunk, and copies only a message that spans several chunks', () => {
    const codec = lengthPrefixed({ bytes: 1 });
    const frames = [encodeOne(codec, 'abc'), encodeOne(codec, Buffer.alloc(100, 'y'))];
    const chunk = Buffer.from(new Uint8Array(Buffer.concat(frames)).buffer); // not in Node's shared pool
    const { messages } = receive(codec, [chunk.subarray(0, 10), chunk.subarray(10)]);
    expect(messages.map(String)).toStrictEqual(['abc', 'y'.repeat(100)]);
    expect(messages[0]?.buffer).toBe(chunk.buffer);
    expect(messages[1]?.buffer).not.toBe(chunk.buffer);
  });

  it('C13: the codec takes exactly the bytes of a message off the queue, and no bytes of an unfinished message', () => {
    const queue = new ChunkQueue();
    const decoder = lengthPrefixed({ bytes: 2 }).decoder();
    queue.push(Buffer.from([0, 1, 97, 0]));
    expect(decoder.decode(queue)?.toString()).toBe('a');
    expect(queue.position).toBe(3);
    expect(decoder.decode(queue)).toBe(undefined);
    queue.push(Buffer.from([2, 98]));
    expect(decoder.decode(queue)).toBe(undefined);
    expect(queue.position).toBe(3);
  });
});

describe('the limits of the lengthPrefixed codec', () => {
  it('D3: a header with a length of 4 GiB fails as soon as the header has arrived, and nothing is allocated for the message', () => {
    const { allocUnsafe, allocUnsafeSlow, alloc } = Buffer;
    const decoder = lengthPrefixed().decoder();
    const queue = new ChunkQueue();
    for (const byte of [0xff, 0xff, 0xff]) {
      queue.push(Buffer.of(byte));
      expect(decoder.decode(queue)).toBe(undefined);
    }
    queue.push(Buffer.of(0xff));
    const never = (): never => expect.unreachable('a Buffer was made');
    const before = process.memoryUsage().arrayBuffers;
    Buffer.alloc = Buffer.allocUnsafe = Buffer.allocUnsafeSlow = never;
    try {
      expect(refusal(() => decoder.decode(queue)).code).toBe('ERR_FRAME_TOO_LONG');
    } finally {
      Object.assign(Buffer, { alloc, allocUnsafe, allocUnsafeSlow });
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(mebibyte);
  });

  it.each<[string, LengthPrefixedOptions, number[]]>([
    ['one more than maxLength', { maxLength: 10 }, [0, 0, 0, 11]],
    ['one more than the default', {}, [0, 0x10, 0, 1]],
    ['a length that would be negative as a signed number', {}, [0x80, 0, 0, 0]],
    ['little-endian', { endian: 'little', maxLength: 255 }, [0, 1, 0, 0]],
    ['in two bytes', { bytes: 2, maxLength: 0xfffe }, [0xff, 0xff]],
    ['in one byte', { bytes: 1, maxLength: 1 }, [2]],
  ])('D3: the messages before a length above maxLength are emitted, then decoding fails: %s', (_, options, header) => {
    const codec = lengthPrefixed(options);
    const stream = Buffer.concat([encodeOne(codec, 'a'), Buffer.from(header)]);
    for (const size of [1, 2, 100]) {
      const { messages, error } = receive(codec, chunksOf(stream, [size]));
      expect(messages.map(String)).toStrictEqual(['a']);
      expect(error).toBe('ERR_FRAME_TOO_LONG');
    }
  });

  it('D3: maxLength counts the bytes after the header, and is at most what the header can express', () => {
    const full = { 1: 255, 2: 65_535, 4: mebibyte } as const;
    for (const bytes of [1, 2, 4] as const) {
      const codec = lengthPrefixed({ bytes });
      const stream = encodeOne(codec, Buffer.alloc(full[bytes]));
      expect(stream.length).toBe(full[bytes] + bytes);
      expect(receive(codec, [stream]).messages[0]?.length).toBe(full[bytes]);
      expect(refusal(() => encodeOne(codec, Buffer.alloc(full[bytes] + 1))).code).toBe('ERR_FRAME_TOO_LONG');
    }
    expect(encodeOne(lengthPrefixed({ bytes: 1, maxLength: 1_000 }), Buffer.alloc(255)).length).toBe(256);
    expect(refusal(() => encodeOne(lengthPrefixed({ bytes: 1, maxLength: 1_000 }), Buffer.alloc(256))).code).toBe(
      'ERR_FRAME_TOO_LONG',
    );
  });

  it('D4: a stream that ends inside a message or its header fails with ERR_FRAME_TRUNCATED', () => {
    const stream = encodeOne(lengthPrefixed(), 'abc');
    for (let cut = 1; cut < stream.length; cut++) {
      expect(receive(lengthPrefixed(), [stream.subarray(0, cut)]).error, `cut at ${cut}`).toBe('ERR_FRAME_TRUNCATED');
    }
    expect(receive(lengthPrefixed(), [stream]).error).toBe(undefined);
  });

  it.each<[string, unknown, SocketErrorCode]>([
    ['that is too long', Buffer.alloc(11), 'ERR_FRAME_TOO_LONG'],
    ['whose text is too long in UTF-8', 'éééééé', 'ERR_FRAME_TOO_LONG'],
    ['with a lone surrogate', 'a\udc00', 'ERR_FRAME_INVALID'],
    ['that is neither bytes nor text', 7, 'ERR_FRAME_INVALID'],
    ['that is an array of numbers', [1, 2], 'ERR_FRAME_INVALID'],
  ])('D5: a value %s is refused, and no part of the value is written', (_, value, code) => {
    const never = (): never => expect.unreachable('something was written');
    const encoder = lengthPrefixed({ maxLength: 10 }).encoder();
    expect(refusal(() => encoder.encode(value as string, { bytes: never, text: never, uint: never })).code).toBe(code);
  });

  it.each<[string, unknown]>([
    ['maxLength', { maxLength: 0 }],
    ['maxLength', { maxLength: Infinity }],
    ['maxLength', { maxLength: 2 ** 31 }],
    ['maxLength', { maxLength: '10' }],
    ['bytes', { bytes: 3 }],
    ['bytes', { bytes: 8 }],
    ['bytes', { bytes: '4' }],
    ['endian', { endian: 'BE' }],
    ['endian', { endian: null }],
    ['options', null],
    ['options', 4],
    ['options', []],
  ])('A5: a bad %s is refused immediately, and the error names it: %o', (name, options) => {
    const error = refusal(() => lengthPrefixed(options as LengthPrefixedOptions));
    expect(error.code).toBe('ERR_OPTION_INVALID');
    expect(error.message).toContain(name);
  });
});
