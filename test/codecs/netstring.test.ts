import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ByteQueue } from '../../src/bytes/byte-queue.js';
import { netstring, type NetstringOptions } from '../../src/codecs/netstring.js';
import { SocketError, type SocketErrorCode } from '../../src/errors/socket-error.js';
import { ChunkQueue } from '../../src/bytes/chunk-queue.js';
import { encodeOne } from '../../src/testing/byte-collector.js';
import { CountingQueue } from '../../src/testing/counting-queue.js';
import { verifyCodec } from '../../src/testing/verify-codec.js';
import { allocatedIn } from '../support/bytes/allocated-bytes.js';
import { chunksOf, chunkSizes } from '../support/bytes/arbitrary-chunks.js';
import { message } from '../support/codecs/arbitrary-message.js';
import { type Received, receive } from '../support/codecs/decode-stream.js';
import { refusal } from '../support/errors/refusal.js';

const bufferOf = (value: Uint8Array | string): Buffer => Buffer.from(value as string);

const textsOf = ({ messages, error }: Received<Buffer>): [string[], SocketErrorCode | undefined] => [
  messages.map((message) => message.toString('latin1')),
  error,
];

/** A simple decoder, which is the model in the documentation. The tests compare the codec with this model. */
const model = (maxLength: number) => (queue: ByteQueue) => {
  const [, digits = '', colon] = /^(0|[1-9][0-9]*|)(:?)/.exec(queue.peek(queue.length).toString('latin1')) ?? [];
  const length = Number(digits);
  const end = digits.length + 1 + length;
  if (length > maxLength) throw new SocketError('ERR_FRAME_TOO_LONG', `a message of ${length} bytes or more`);
  if (colon === '' ? digits.length < queue.length : digits === '' || (end < queue.length && queue.at(end) !== 0x2c)) {
    throw new SocketError('ERR_FRAME_INVALID', 'no netstring');
  }
  if (colon === '' || queue.length <= end) return undefined;
  return queue.take(end + 1).subarray(digits.length + 1, end);
};

/** Bytes that are often valid netstrings or almost valid netstrings. */
const nearly = (): fc.Arbitrary<Buffer> =>
  fc
    .array(
      fc.oneof(
        { weight: 4, arbitrary: message(20).map((value) => encodeOne(netstring(), value)) },
        { weight: 1, arbitrary: fc.stringMatching(/^[0-9]{0,3}[:,0a]$/).map((text) => Buffer.from(text)) },
      ),
      { maxLength: 12 },
    )
    .map((pieces) => Buffer.concat(pieces));

describe('the netstring codec', () => {
  it('D1: the codec obeys rules D1, D2, D4, D5 and C13', () => {
    const values = [
      '',
      'a',
      Uint8Array.of(),
      '3:abc,',
      Buffer.alloc(200, 7),
      'é€😀',
      Uint8Array.of(58, 44),
      'x'.repeat(999),
    ];
    const refused = [Buffer.alloc(1_001), 'é'.repeat(501), '\ud800', undefined, null, 7, {}, [1], new ArrayBuffer(1)];
    verifyCodec(netstring({ maxLength: 1_000 }), [...values, 'y'.repeat(1_000)], { refused });
  });

  it('D1: the codec decodes as the model does, for every split into chunks', () => {
    fc.assert(
      fc.property(nearly(), chunkSizes(), fc.constantFrom(3, 20, 100_000), (stream, sizes, maxLength) => {
        const decode = model(maxLength);
        const plain = { decoder: () => ({ decode }), encoder: () => ({ encode: () => undefined }) };
        const received = receive(netstring({ maxLength }), chunksOf(stream, sizes));
        expect(textsOf(received)).toStrictEqual(textsOf(receive(plain, [stream])));
      }),
    );
  });

  it('D2: the codec decodes what it has encoded, for every split into chunks', () => {
    fc.assert(
      fc.property(fc.array(message(), { maxLength: 30 }), chunkSizes(), (values, sizes) => {
        const stream = Buffer.concat(values.map((value) => encodeOne(netstring(), value)));
        const received = receive(netstring(), chunksOf(stream, sizes));
        expect(received).toStrictEqual({ messages: values.map(bufferOf), error: undefined, left: 0 });
      }),
    );
  });

  it.each<[string | Uint8Array, string]>([
    ['hello world!', '12:hello world!,'],
    ['', '0:,'],
    ['é', '2:é,'],
    [Uint8Array.of(), '0:,'],
    [Buffer.from('a,b:'), '4:a,b:,'],
  ])('D2: the codec encodes %o as %o', (value, bytes) => {
    expect(encodeOne(netstring(), value).toString()).toBe(bytes);
  });

  it('D1: the codec reads each byte of a 1 MiB message only a few times, even if the message arrives byte by byte', () => {
    const stream = encodeOne(netstring(), Buffer.alloc(1_048_576, 'x'));
    const queue = new CountingQueue();
    const { messages, error } = receive(netstring(), chunksOf(stream, [1]), queue);
    expect([messages.length, messages[0]?.length, error]).toStrictEqual([1, 1_048_576, undefined]);
    expect(queue.examined / stream.length).toBeLessThan(12);
  });

  it('C13: the codec takes exactly the bytes of a message off the queue, and no bytes of an unfinished message', () => {
    const queue = new ChunkQueue();
    const decoder = netstring().decoder();
    queue.push(Buffer.from('1:a,2:b'));
    expect(decoder.decode(queue)?.toString()).toBe('a');
    expect(queue.position).toBe(4);
    expect(decoder.decode(queue)).toBe(undefined);
    expect(queue.position).toBe(4);
    queue.push(Buffer.from('c,rest'));
    expect(decoder.decode(queue)?.toString()).toBe('bc');
    expect(queue.take(4).toString()).toBe('rest');
  });

  it('C3: the codec writes text with its header and comma in one piece', () => {
    const written: unknown[] = [];
    const never = (): never => expect.unreachable('it is text');
    const sink = { bytes: never, uint: never, text: (...piece: unknown[]) => void written.push(piece) };
    netstring().encoder().encode('é', sink);
    expect(written).toStrictEqual([['2:é,', 'utf8']]);
  });
});

describe('the limits of the netstring codec', () => {
  it.each<[string, string, SocketErrorCode]>([
    ['a leading zero', '01:a,', 'ERR_FRAME_INVALID'],
    ['only zeros', '00:,', 'ERR_FRAME_INVALID'],
    ['a leading zero before a length that is too long', '099999999:', 'ERR_FRAME_INVALID'],
    ['no digits', ':a,', 'ERR_FRAME_INVALID'],
    ['a sign', '+1:a,', 'ERR_FRAME_INVALID'],
    ['a negative length', '-1:a,', 'ERR_FRAME_INVALID'],
    ['a space', ' 1:a,', 'ERR_FRAME_INVALID'],
    ['a space before the colon', '1 :a,', 'ERR_FRAME_INVALID'],
    ['hexadecimal digits', '0x1:a,', 'ERR_FRAME_INVALID'],
    ['an exponent', '1e1:aaaaaaaaaa,', 'ERR_FRAME_INVALID'],
    ['a fraction', '1.0:a,', 'ERR_FRAME_INVALID'],
    ['digits that are not ASCII', '١:a,', 'ERR_FRAME_INVALID'],
    ['another character instead of its colon', '1;a,', 'ERR_FRAME_INVALID'],
    ['another character instead of its comma', '1:a;', 'ERR_FRAME_INVALID'],
    ['a line end before its length', '\n1:b,', 'ERR_FRAME_INVALID'],
    ['fewer bytes than it announces', '3:ab,1:c,', 'ERR_FRAME_INVALID'],
    ['more bytes than it announces', '1:ab,', 'ERR_FRAME_INVALID'],
    ['a length one byte over the default maximum', '1048577:', 'ERR_FRAME_TOO_LONG'],
    ['a length of 4 GiB', '4294967295:', 'ERR_FRAME_TOO_LONG'],
    ['a length of 400 digits', '9'.repeat(400), 'ERR_FRAME_TOO_LONG'],
    ['endless digits that begin with an allowed length', '1'.repeat(70_000), 'ERR_FRAME_TOO_LONG'],
    ['bytes that are not a netstring', 'GET / HTTP/1.1\r\n', 'ERR_FRAME_INVALID'],
  ])('D3: the messages before a frame with %s are emitted, then decoding fails, for every split', (_, bad, code) => {
    const stream = Buffer.from(`2:ok,${bad}`);
    for (const size of [1, 2, 3, 5, 7, 100_000]) {
      expect(textsOf(receive(netstring(), chunksOf(stream, [size])))).toStrictEqual([['ok'], code]);
    }
  });

  it('D3: a frame fails at its first wrong byte, before the rest of the frame arrives', () => {
    for (const [bad, code] of [
      ['01', 'ERR_FRAME_INVALID'],
      ['x', 'ERR_FRAME_INVALID'],
      ['1:ab', 'ERR_FRAME_INVALID'],
      ['11', 'ERR_FRAME_TOO_LONG'],
      ['9x', 'ERR_FRAME_INVALID'],
    ] as const) {
      const queue = new ChunkQueue();
      const decoder = netstring({ maxLength: 10 }).decoder();
      for (const byte of bad.slice(0, -1)) {
        queue.push(Buffer.from(byte));
        expect(decoder.decode(queue)).toBe(undefined);
      }
      queue.push(Buffer.from(bad.slice(-1)));
      expect(refusal(() => decoder.decode(queue)).code).toBe(code);
    }
  });

  it('D3: nothing is allocated for the length that a header announces', () => {
    const decoder = netstring({ maxLength: 2 ** 31 - 1 }).decoder();
    const queue = new ChunkQueue();
    const allocated = allocatedIn(() => {
      for (const byte of '2147483647:abc') {
        queue.push(Buffer.from(byte));
        expect(decoder.decode(queue)).toBe(undefined);
      }
    });
    expect(allocated).toBeLessThan(4_096);
    const refused = netstring().decoder();
    queue.clear();
    queue.push(Buffer.from('2147483647:abc'));
    expect(allocatedIn(() => refusal(() => refused.decode(queue)))).toBe(0);
  });

  it('D3: maxLength counts the bytes between the header and the comma', () => {
    const codec = netstring({ maxLength: 10 });
    expect(receive(codec, [encodeOne(codec, 'x'.repeat(10))]).messages[0]?.length).toBe(10);
    expect(receive(codec, [Buffer.from('11:xxxxxxxxxxx,')]).error).toBe('ERR_FRAME_TOO_LONG');
    expect(encodeOne(netstring(), Buffer.alloc(1_048_576)).length).toBe(1_048_585);
    expect(refusal(() => encodeOne(netstring(), Buffer.alloc(1_048_577))).code).toBe('ERR_FRAME_TOO_LONG');
  });

  it('D4: a stream that ends inside a header, inside a message or before a comma fails with ERR_FRAME_TRUNCATED', () => {
    const stream = encodeOne(netstring(), 'hello world');
    for (let cut = 1; cut < stream.length; cut++) {
      expect(receive(netstring(), [stream.subarray(0, cut)]).error, `cut at ${cut}`).toBe('ERR_FRAME_TRUNCATED');
    }
    expect(receive(netstring(), [stream]).error).toBe(undefined);
  });

  it.each<[string, unknown, SocketErrorCode]>([
    ['that is too long', Buffer.alloc(11), 'ERR_FRAME_TOO_LONG'],
    ['whose text is too long in UTF-8', 'éééééé', 'ERR_FRAME_TOO_LONG'],
    ['with a lone surrogate', 'a\udc00', 'ERR_FRAME_INVALID'],
    ['that is neither bytes nor text', 7, 'ERR_FRAME_INVALID'],
  ])('D5: a value %s is refused, and no part of the value is written', (_, value, code) => {
    const never = (): never => expect.unreachable('something was written');
    const encoder = netstring({ maxLength: 10 }).encoder();
    expect(refusal(() => encoder.encode(value as string, { bytes: never, text: never, uint: never })).code).toBe(code);
  });

  it.each<[string, unknown]>([
    ['maxLength', { maxLength: 0 }],
    ['maxLength', { maxLength: Infinity }],
    ['maxLength', { maxLength: 2 ** 31 }],
    ['maxLength', { maxLength: '10' }],
    ['maxLength', { maxLength: null }],
    ['options', null],
    ['options', 4],
    ['options', []],
  ])('A5: a bad %s is refused immediately, and the error names it: %o', (name, options) => {
    const error = refusal(() => netstring(options as NetstringOptions));
    expect(error.code).toBe('ERR_OPTION_INVALID');
    expect(error.message).toContain(name);
  });
});
