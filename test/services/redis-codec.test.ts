import fc from 'fast-check';
import { SocketError } from 'rxjs-sockets';
import type { Codec } from 'rxjs-sockets/codecs';
import { verifyCodec } from 'rxjs-sockets/testing';
import { describe, expect, it } from 'vitest';
import { requests } from '../../examples/services/redis-server/requests.js';
import { ErrorReply, resp, type Value } from '../../examples/services/redis-server/resp.js';
import { ChunkQueue } from '../../src/bytes/chunk-queue.js';

const limits = { maxLength: 1_048_576, maxValues: 1_024, maxDepth: 8 };

const word = fc.string({ unit: 'binary', maxLength: 40 }).filter((text) => !/[\r\n\p{Surrogate}]/u.test(text));
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const scalar: fc.Arbitrary<Value> = fc.oneof(
  word,
  word.map((text) => new ErrorReply(text)),
  fc.maxSafeInteger().map((value) => value + 0),
  int64.filter((value) => !Number.isSafeInteger(Number(value))),
  fc.uint8Array({ maxLength: 2_000 }).map((bytes) => Buffer.from(bytes)),
  fc.constant(null),
);
const value: fc.Arbitrary<Value> = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof({ maxDepth: 4 }, scalar, fc.array(tie('value'), { maxLength: 5 })),
})).value;

/** Decodes `bytes` in chunks of `size`. Returns the values, then the error, or 'more' if bytes are left. */
function decoded<T>(codec: Codec<T, any>, bytes: Buffer, size = bytes.length): (T | string)[] {
  const queue = new ChunkQueue();
  const decoder = codec.decoder();
  const results: (T | string)[] = [];
  try {
    for (let at = 0; at < bytes.length; at += size) {
      queue.push(bytes.subarray(at, at + size));
      for (let next = decoder.decode(queue); next !== undefined; next = decoder.decode(queue)) results.push(next);
    }
    if (queue.length > 0) results.push('more');
  } catch (error) {
    if (!(error instanceof SocketError)) throw error;
    results.push(`${error.code}: ${error.message}`);
  }
  return results;
}

/** The beginning of an input, for the title of a test. */
function shown(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

describe('the codec of a Redis client', () => {
  it('round-trips every value, for every chunking', () => {
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 8 }), fc.nat(), (values, seed) => {
        verifyCodec(resp(limits), values, { seed });
      }),
      { numRuns: 30 },
    );
  });

  it('decodes long values in linear time, and refuses to encode what it could not decode', () => {
    const deep = (depth: number): Value => (depth === 0 ? 1 : [deep(depth - 1)]);
    const values = [Buffer.alloc(65_536, '\r\n'), 'x'.repeat(65_536), Array<Value>(1_000).fill(7), deep(8), '', []];
    verifyCodec(resp(limits), values, {
      refused: [
        'two\r\nlines',
        'a\nb',
        new ErrorReply('ERR\r'),
        '\ud800',
        1.5,
        2 ** 53,
        NaN,
        2n ** 63n,
        'x'.repeat(65_537),
        Buffer.alloc(1_048_576),
        Array<Value>(1_024).fill(null),
        deep(9),
      ],
    });
  });

  for (const [text, error] of [
    ['?\r\n', "ERR_FRAME_INVALID: unexpected '?'"],
    ['\x00', "ERR_FRAME_INVALID: unexpected '\\x00'"],
    ['$-2\r\n', 'ERR_FRAME_INVALID: invalid bulk length'],
    ['$5x\r\n', 'ERR_FRAME_INVALID: invalid bulk length'],
    ['$\r\n', 'ERR_FRAME_INVALID: invalid bulk length'],
    ['$99999999999999999999\r\n', 'ERR_FRAME_TOO_LONG: invalid bulk length'],
    [`$${'0'.repeat(30)}`, 'ERR_FRAME_INVALID: invalid bulk length'],
    ['$2\r\nabc\r\n', 'ERR_FRAME_INVALID: a bulk string without its end'],
    ['*1025\r\n', 'ERR_FRAME_TOO_LONG: invalid multibulk length'],
    ['*1000\r\n*1000\r\n', 'ERR_FRAME_TOO_LONG: invalid multibulk length'],
    ['*1\r\n'.repeat(9), 'ERR_FRAME_TOO_LONG: too many arrays within each other'],
    ['*-2\r\n', 'ERR_FRAME_INVALID: invalid multibulk length'],
    [':1.5\r\n', 'ERR_FRAME_INVALID: invalid integer'],
    [':9223372036854775808\r\n', 'ERR_FRAME_INVALID: invalid integer'],
    [`:${'1'.repeat(40)}`, 'ERR_FRAME_INVALID: invalid integer'],
    [`+${'x'.repeat(65_600)}`, 'ERR_FRAME_TOO_LONG: a line of more than 65536 bytes'],
    ['+\xff\r\n', 'ERR_FRAME_INVALID: a line that is not UTF-8'],
  ] as const) {
    it(`refuses ${shown(text)}, but first decodes the values before it, for every chunking`, () => {
      const bytes = Buffer.from(`+OK\r\n${text}`, 'latin1');
      for (const size of [1, 3, bytes.length]) expect(decoded(resp(limits), bytes, size)).toEqual(['OK', error]);
    });
  }

  it('reads both forms of null, and an integer with a plus', () => {
    expect(decoded(resp(limits), Buffer.from('$-1\r\n*-1\r\n:+5\r\n:-0\r\n'))).toEqual([null, null, 5, 0]);
  });
});

describe('the codec of a Redis server', () => {
  const codec = requests({ maxLength: 1_048_576, maxValues: 1_024 });
  const read = (text: string, size?: number): unknown[] =>
    decoded(codec, Buffer.from(text, 'latin1'), size).map((item) =>
      typeof item === 'string' ? item : item.map((part) => part.toString('latin1')),
    );

  it('round-trips every request, for every chunking', () => {
    const bytes = fc.uint8Array({ maxLength: 3_000 }).map((part) => Buffer.from(part));
    fc.assert(
      fc.property(
        fc.array(fc.array(bytes, { maxLength: 6 }), { minLength: 1, maxLength: 6 }),
        fc.nat(),
        (all, seed) => {
          verifyCodec(codec, all, { seed });
        },
      ),
      { numRuns: 30 },
    );
  });

  for (const [text, expected] of [
    ['PING\r\n', [['PING']]],
    ['PING\n', [['PING']]],
    ['  set  a\tb  \r\n\r\n', [['set', 'a', 'b'], []]],
    ['set "a b" \'c d\'\r\n', [['set', 'a b', 'c d']]],
    [String.raw`set "\x00\xfF\n\"\\" 'it\'s'` + '\r\n', [['set', '\x00\xff\n"\\', "it's"]]],
    ['set "" \'\'\r\n', [['set', '', '']]],
    ['*2\r\n$3\r\nGET\r\n$1\r\na\r\nGET b\r\n*0\r\n*-1\r\n', [['GET', 'a'], ['GET', 'b'], [], []]],
    ['set "a\r\n', ['ERR_FRAME_INVALID: unbalanced quotes in request']],
    ['set "a"b\r\n', ['ERR_FRAME_INVALID: unbalanced quotes in request']],
    ["set '\r\n", ['ERR_FRAME_INVALID: unbalanced quotes in request']],
    ['POST / HTTP/1.1\r\n', ['ERR_FRAME_INVALID: this is not a web server']],
    ['x'.repeat(65_600), ['ERR_FRAME_TOO_LONG: too big inline request']],
    [`${'x'.repeat(65_536)}\n`, [['x'.repeat(65_536)]]],
    ['*1\r\n+OK\r\n', ["ERR_FRAME_INVALID: expected '$', got '+'"]],
    ['*1\r\n*1\r\n', ["ERR_FRAME_INVALID: expected '$', got '*'"]],
    ['*1\r\n\r\n', ["ERR_FRAME_INVALID: expected '$', got '\\x0d'"]],
    ['*1\r\n$-1\r\n', ['ERR_FRAME_INVALID: invalid bulk length']],
    ['*1\r\n$1048577\r\n', ['ERR_FRAME_TOO_LONG: invalid bulk length']],
    ['*1048576\r\n', ['ERR_FRAME_TOO_LONG: invalid multibulk length']],
    ['*-5\r\n', ['ERR_FRAME_INVALID: invalid multibulk length']],
    ['*x\r\n', ['ERR_FRAME_INVALID: invalid multibulk length']],
    ['*1\r\n$4\r\nPI', ['more']],
  ] as const) {
    it(`decodes or refuses ${shown(text)} in the same way for every chunking`, () => {
      for (const size of [1, 2, 1_000, text.length]) expect(read(text, size)).toEqual(expected);
    });
  }

  it('reads a line in linear time, whatever it contains', () => {
    const start = performance.now();
    for (const part of [' ', '" "', '\\"', '"" ', 'a', "'"]) {
      for (const [first, last] of ['""', 'ab', '"a'] as const) {
        read(`${first}${part.repeat(60_000 / part.length)}${last}\n`);
      }
    }
    expect(performance.now() - start).toBeLessThan(1_000);
  });

  it('decodes any bytes, or fails with its own errors', () => {
    const piece = fc.oneof(
      fc.constantFrom('*', '$', ':', '\r\n', '\n', '"', "'", '\\', '-1', '0', '3', '99999999999', ' ', 'GET'),
      fc.string({ unit: 'binary', maxLength: 5 }),
    );
    const text = fc
      .array(piece, { minLength: 1, maxLength: 30 })
      .map((pieces) => Buffer.from(pieces.join(''), 'latin1'));
    fc.assert(
      fc.property(text, fc.integer({ min: 1, max: 7 }), (bytes, size) => {
        expect(decoded(codec, bytes, size)).toEqual(decoded(codec, bytes));
        expect(decoded(resp(limits), bytes, size)).toEqual(decoded(resp(limits), bytes));
      }),
      { numRuns: 2_000 },
    );
  });
});
