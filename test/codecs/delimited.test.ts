import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { delimited, type DelimitedOptions } from '../../src/codecs/delimited.js';
import { isWellFormed } from '../../src/bytes/utf8.js';
import type { SocketErrorCode } from '../../src/errors/socket-error.js';
import { ChunkQueue } from '../../src/bytes/chunk-queue.js';
import { encodeOne } from '../../src/testing/byte-collector.js';
import { CountingQueue } from '../../src/testing/counting-queue.js';
import { verifyCodec } from '../../src/testing/verify-codec.js';
import { allocatedIn } from '../support/bytes/allocated-bytes.js';
import { chunksOf, chunkSizes } from '../support/bytes/arbitrary-chunks.js';
import { type Received, receive } from '../support/codecs/decode-stream.js';
import { refusal } from '../support/errors/refusal.js';

/** A simple decoder for a complete stream. The tests compare the codec with this model. */
function model(stream: Buffer, delimiter: Buffer, maxLength: number): [Buffer[], SocketErrorCode | undefined] {
  const messages: Buffer[] = [];
  let rest = stream;
  for (let end = rest.indexOf(delimiter); end !== -1; end = rest.indexOf(delimiter)) {
    if (end > maxLength) return [messages, 'ERR_FRAME_TOO_LONG'];
    messages.push(rest.subarray(0, end));
    rest = rest.subarray(end + delimiter.length);
  }
  // The rest can end with a part of the delimiter. `shortest` is the least length of the unfinished message.
  let shortest = Math.max(0, rest.length - delimiter.length + 1);
  while (!delimiter.subarray(0, rest.length - shortest).equals(rest.subarray(shortest))) shortest++;
  if (shortest > maxLength) return [messages, 'ERR_FRAME_TOO_LONG'];
  return [messages, rest.length === 0 ? undefined : 'ERR_FRAME_TRUNCATED'];
}

const outcome = ({ messages, error }: Received<Buffer>): [string[], SocketErrorCode | undefined] => [
  messages.map((message) => message.toString('latin1')),
  error,
];

/** Generates bytes with few different values, so that the delimiter and its parts are frequent. */
const dense = (minLength: number, maxLength: number): fc.Arbitrary<Buffer> =>
  fc.array(fc.constantFrom(97, 97, 98, 0xc3), { minLength, maxLength }).map((bytes) => Buffer.from(bytes));

const denseText = (minLength: number, maxLength: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom('a', 'a', 'b', 'é', '😀'), minLength, maxLength });

const overlapping = ['aa', 'aaa', 'abab', 'aba', 'abcab', '\n\n', 'éé', '😀😀', '\r\n\r\n'];

describe('the delimited codec', () => {
  const values = ['', 'a', 'a\nb', Uint8Array.of(), Buffer.alloc(200, 7), 'é€😀', '\r', 'x'.repeat(1_999), '\ufeff'];
  const refused = ['y'.repeat(2_001), Buffer.alloc(2_001), '\ud800', undefined, null, 7, {}, [1], new ArrayBuffer(1)];

  it.each<[string | Uint8Array, readonly unknown[]]>([
    ['\0', ['\0', 'a\0b', Uint8Array.of(0), Buffer.of(1, 0)]],
    ['\r\n', ['\r\n', 'a\r\nb', Buffer.from('\r\n')]],
    ['--boundary', ['x--boundary', '--boundary--']],
    [Uint8Array.of(0xff, 0xfe), [Uint8Array.of(1, 0xff, 0xfe)]],
    ['€', ['€uro', Buffer.from('a€')]],
    [Uint8Array.of(0xe2), ['€', Uint8Array.of(0xe2)]],
  ])('D1: the codec obeys rules D1, D2, D4, D5 and C13 with the delimiter %o', (delimiter, more) => {
    const carried = values.filter((value) => !Buffer.from(value as string).includes(Buffer.from(delimiter as string)));
    verifyCodec(delimited(delimiter, { maxLength: 2_000 }), carried, { refused: [...refused, ...more] });
  });

  it.each(overlapping)('D1: `verifyCodec` accepts a delimiter that overlaps itself: %o', (delimiter) => {
    const half = delimiter.slice(0, delimiter.length / 2);
    const values = ['', 'x', `${half}x`, Buffer.from('xyz'), 'x'.repeat(1_500)];
    // No message may end with one of these prefixes of the delimiter, because the decoder would then find the delimiter
    // too early.
    const early = Array.from({ length: delimiter.length }, (_, index) => delimiter.slice(0, index + 1)).filter(
      (begun) => (begun + delimiter).indexOf(delimiter) < begun.length && isWellFormed(begun),
    );
    expect(early.length).toBeGreaterThan(1);
    const bad = early.flatMap((begun) => [begun, `x${begun}`, Buffer.from(`x${begun}`)]);
    verifyCodec(delimited(delimiter), values, { refused: bad });
  });

  it('D1: the codec decodes as the model does, for every delimiter and every split into chunks', () => {
    const maxLength = fc.constantFrom(1, 2, 3, 8, 65_536);
    fc.assert(
      fc.property(dense(0, 80), dense(1, 5), chunkSizes(), maxLength, (stream, delimiter, sizes, maxLength) => {
        const [messages, error] = model(stream, delimiter, maxLength);
        const codec = delimited(delimiter, { maxLength });
        for (const each of [sizes, [1], [stream.length + 1]]) {
          const received = receive(codec, chunksOf(stream, each));
          expect(outcome(received)).toStrictEqual([messages.map((message) => message.toString('latin1')), error]);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('D2: the codec decodes what it has encoded, for every delimiter and every split into chunks', () => {
    const either = (text: fc.Arbitrary<string>, bytes: fc.Arbitrary<Buffer>): fc.Arbitrary<string | Buffer> =>
      fc.oneof(text, bytes);
    fc.assert(
      fc.property(
        either(denseText(1, 4), dense(1, 4)),
        fc.array(either(denseText(0, 12), dense(0, 12)), { maxLength: 20 }),
        chunkSizes(),
        (delimiter, values, sizes) => {
          const codec = delimited(delimiter);
          const bytes = Buffer.from(delimiter as string);
          const frames = values.flatMap((value) => {
            const message = Buffer.from(value as string);
            const endsInTime = Buffer.concat([message, bytes]).indexOf(bytes) === message.length;
            if (endsInTime) return [{ message, frame: encodeOne(codec, value) }];
            expect(refusal(() => encodeOne(codec, value)).code).toBe('ERR_FRAME_INVALID');
            return [];
          });
          const stream = Buffer.concat(frames.map(({ frame }) => frame));
          const received = receive(codec, chunksOf(stream, sizes));
          expect(received).toStrictEqual({ messages: frames.map(({ message }) => message), error: undefined, left: 0 });
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('D2: the codec copies the delimiter, so changing the given bytes afterwards has no effect', () => {
    const delimiter = Uint8Array.of(10);
    const codec = delimited(delimiter);
    delimiter[0] = 97;
    expect(encodeOne(codec, 'a').toString()).toBe('a\n');
    expect(outcome(receive(codec, [Buffer.from('a\n')]))).toStrictEqual([['a'], undefined]);
  });

  it.each([
    ['one byte', '\n'],
    ['four bytes', '\r\n\r\n'],
    ['a hundred bytes', `${'a'.repeat(99)}b`],
    ['255 equal bytes', 'a'.repeat(255)],
  ])('D1: with a delimiter of n bytes, the codec examines each byte at most n + 4 times: %s', (_, delimiter) => {
    const codec = delimited(delimiter, { maxLength: 100_000 });
    // The worst case is a message with many partial delimiters.
    const begun = 'a'.repeat(Math.max(1, delimiter.length - 1));
    const message = Buffer.from(`${begun}-`.repeat(Math.floor(100_000 / (begun.length + 1))));
    const stream = encodeOne(codec, message);
    for (const size of [1, 1_448]) {
      const queue = new CountingQueue();
      const { messages } = receive(codec, chunksOf(stream, [size]), queue);
      expect(messages[0]?.equals(message)).toBe(true);
      expect(queue.examined / stream.length).toBeLessThan(size === 1 ? delimiter.length + 4 : 4);
    }
  });

  it('C13: the codec takes exactly the bytes of a message off the queue, so that another view can continue after the message', () => {
    const queue = new ChunkQueue();
    const first = delimited('--').decoder();
    const second = delimited('|').decoder();
    queue.push(Buffer.from('a--bc-'));
    expect(first.decode(queue)?.toString()).toBe('a');
    expect(queue.position).toBe(3);
    expect(first.decode(queue)).toBe(undefined);
    expect(second.decode(queue)).toBe(undefined);
    expect(queue.position).toBe(3);
    queue.push(Buffer.from('|d|--e--'));
    expect(second.decode(queue)?.toString()).toBe('bc-');
    expect(first.decode(queue)?.toString()).toBe('d|');
    expect(first.decode(queue)?.toString()).toBe('e');
    expect(queue.length).toBe(0);
  });

  it('C13: when views with different delimiters take turns, each view decodes correctly', () => {
    const turns = fc.array(fc.nat(2), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(dense(0, 60), dense(1, 3), dense(1, 3), chunkSizes(), turns, (stream, one, other, sizes, turns) => {
        const queue = new ChunkQueue();
        const views = [delimited(one).decoder(), delimited(other).decoder()];
        let turn = 0;
        for (const chunk of chunksOf(stream, sizes)) {
          queue.push(chunk);
          for (let round = 0; round < 10; round++) {
            const at = queue.position;
            const rest = stream.subarray(at, at + queue.length);
            const view = turns[turn++ % turns.length] ?? 2;
            if (view === 2) queue.skip(Math.min(1, queue.length));
            else {
              const delimiter = view === 0 ? one : other;
              const end = rest.indexOf(delimiter);
              const message = views[view]?.decode(queue);
              expect(message).toStrictEqual(end === -1 ? undefined : Buffer.from(rest.subarray(0, end)));
              expect(queue.position).toBe(end === -1 ? at : at + end + delimiter.length);
            }
          }
        }
      }),
    );
  });

  it('C3: the codec writes text and its delimiter in one piece', () => {
    const written: unknown[] = [];
    const never = (): never => expect.unreachable('it is text');
    const sink = { bytes: never, uint: never, text: (...piece: unknown[]) => void written.push(piece) };
    delimited('\0').encoder().encode('é', sink);
    expect(written).toStrictEqual([['é\0', 'utf8']]);
  });
});

describe('the limits of the delimited codec', () => {
  it.each<[string, string, string]>([
    ['', 'xxxx', '|'],
    ['', 'xxxx|', '|'],
    ['ok|', 'xxxx', '|'],
    ['', 'xxxx', '\r\n'],
    ['', 'xxxx\r', '\r\n'],
    ['', 'xxx\r\r', '\r\n'],
    ['ok\r\n', 'xxxxx\r\n', '\r\n'],
    ['', 'abxx', 'ab\0'],
  ])('D3: after %o, %o with the delimiter %o fails as soon as it is certainly too long', (before, bad, delimiter) => {
    const codec = delimited(delimiter, { maxLength: 3 });
    const expected = [before === '' ? [] : ['ok'], 'ERR_FRAME_TOO_LONG'];
    for (const size of [1, 2, 3, 100]) {
      expect(outcome(receive(codec, chunksOf(Buffer.from(before + bad), [size])))).toStrictEqual(expected);
    }
  });

  it.each(['xxx|', 'xxx\r\n', 'xxxab\0', 'xxxaab', 'xxxaaa'])(
    'D3: a frame of maxLength bytes is accepted, however the frame is split: %o',
    (stream) => {
      const delimiter = stream.slice(3);
      for (let size = 1; size <= stream.length; size++) {
        const received = receive(delimited(delimiter, { maxLength: 3 }), chunksOf(Buffer.from(stream), [size]));
        expect(outcome(received)).toStrictEqual([['xxx'], undefined]);
      }
    },
  );

  it('D3: maxLength is 65,536 by default', () => {
    const stream = Buffer.concat([Buffer.alloc(65_536, 'x'), Buffer.from('\0')]);
    expect(receive(delimited('\0'), [stream]).messages[0]?.length).toBe(65_536);
    expect(receive(delimited('\0'), [Buffer.alloc(65_537, 'x')]).error).toBe('ERR_FRAME_TOO_LONG');
    expect(refusal(() => encodeOne(delimited('\0'), 'x'.repeat(65_537))).code).toBe('ERR_FRAME_TOO_LONG');
  });

  it('D3: an endless message fails when one byte more than maxLength is buffered', () => {
    const queue = new ChunkQueue();
    const decoder = delimited('\r\n', { maxLength: 1_000 }).decoder();
    const allocated = allocatedIn(() => {
      const error = refusal(() => {
        for (;;) {
          queue.push(Buffer.from('x'));
          decoder.decode(queue);
        }
      });
      expect(error.code).toBe('ERR_FRAME_TOO_LONG');
    });
    expect(queue.length).toBe(1_001);
    expect(allocated).toBeLessThan(10_000);
  });

  it('D4: a stream that ends before or inside a delimiter fails with ERR_FRAME_TRUNCATED', () => {
    for (const stream of ['a', 'a\r', '\r', 'a\r\nb']) {
      expect(receive(delimited('\r\n'), [Buffer.from(stream)]).error, stream).toBe('ERR_FRAME_TRUNCATED');
    }
    expect(receive(delimited('\r\n'), [Buffer.from('a\r\n')]).error).toBe(undefined);
  });

  it.each<[string, string | Uint8Array, unknown, SocketErrorCode]>([
    ['the delimiter in its text', '|', 'a|b', 'ERR_FRAME_INVALID'],
    ['the delimiter in its bytes', '|', Buffer.from('a|b'), 'ERR_FRAME_INVALID'],
    ['the delimiter in the UTF-8 of its text', Uint8Array.of(0xa9), 'é', 'ERR_FRAME_INVALID'],
    ['an end that is the beginning of the delimiter', 'aa', 'xa', 'ERR_FRAME_INVALID'],
    ['a lone surrogate', '|', '\ud83d', 'ERR_FRAME_INVALID'],
    ['a type that is neither bytes nor text', '|', 7, 'ERR_FRAME_INVALID'],
    ['text of more than maxLength bytes', '|', 'ééé', 'ERR_FRAME_TOO_LONG'],
    ['more than maxLength bytes', '|', Buffer.alloc(6), 'ERR_FRAME_TOO_LONG'],
  ])('D5: a value with %s is refused, and no part of the value is written', (_, delimiter, value, code) => {
    const never = (): never => expect.unreachable('something was written');
    const encoder = delimited(delimiter, { maxLength: 5 }).encoder();
    expect(refusal(() => encoder.encode(value as string, { bytes: never, text: never, uint: never })).code).toBe(code);
  });

  it.each<[string, unknown, unknown]>([
    ['delimiter', '', {}],
    ['delimiter', Uint8Array.of(), {}],
    ['delimiter', '\ud800', {}],
    ['delimiter', 'a'.repeat(256), {}],
    ['delimiter', 'é'.repeat(128), {}],
    ['delimiter', undefined, {}],
    ['delimiter', null, {}],
    ['delimiter', 10, {}],
    ['delimiter', [10], {}],
    ['delimiter', /\n/, {}],
    ['delimiter', { delimiter: '\n' }, {}],
    ['maxLength', '|', { maxLength: 0 }],
    ['maxLength', '|', { maxLength: Infinity }],
    ['maxLength', '|', { maxLength: 2 ** 31 }],
    ['maxLength', '|', { maxLength: '10' }],
    ['options', '|', null],
    ['options', '|', 4],
    ['options', '|', []],
  ])('A5: a bad %s is refused immediately, and the error names it: %o, %o', (name, delimiter, options) => {
    const error = refusal(() => delimited(delimiter as string, options as DelimitedOptions));
    expect(error.code).toBe('ERR_OPTION_INVALID');
    expect(error.message).toContain(name);
  });
});
