import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ByteSink } from '../../src/bytes/byte-sink.js';
import { type LinesOptions, lines } from '../../src/codecs/lines.js';
import type { SocketErrorCode } from '../../src/errors/socket-error.js';
import { encodeOne } from '../../src/testing/byte-collector.js';
import { verifyCodec } from '../../src/testing/verify-codec.js';
import { chunksOf, chunkSizes } from '../support/bytes/arbitrary-chunks.js';
import { latin1Line, line } from '../support/codecs/arbitrary-line.js';
import { receive } from '../support/codecs/decode-stream.js';
import { refusal } from '../support/errors/refusal.js';

describe('the encoder of the lines codec', () => {
  const values = ['', 'a', 'é', '€\r😀', '\ufeffx', 'b\rc', ' \t', 'x'.repeat(1_500), 'ж'.repeat(700), '\u2028'];
  const refused = [
    'a\nb',
    '\n',
    'a\r\nb',
    'x'.repeat(1_501),
    '\ud800',
    'a\udc00b',
    undefined,
    null,
    7,
    {},
    Buffer.from('a'),
  ];

  it.each<[LinesOptions, readonly string[], readonly unknown[]]>([
    [{}, values, ['a\r', '\r']],
    [{ delimiter: '\r\n' }, [...values, 'a\r', '\r'], []],
    [{ encoding: 'latin1' }, ['', 'a', 'é\xff', 'b\rc', 'x'.repeat(1_500)], ['€', 'aĀ', 'a\r']],
  ])('D1: the codec obeys rules D1, D2, D4, D5 and C13 with %o', (options, values, more) => {
    verifyCodec(lines({ ...options, maxLength: 1_500 }), values, {
      lastFrameMayBeOpen: true,
      refused: [...refused, ...more],
    });
  });

  it('D2: encoded lines decode to the same text, for every text and every split into chunks', () => {
    const codec = lines({ maxLength: 100_000 });
    fc.assert(
      fc.property(fc.array(line(), { maxLength: 40 }), chunkSizes(), (values, sizes) => {
        const stream = Buffer.concat(values.map((value) => encodeOne(codec, value)));
        expect(receive(codec, chunksOf(stream, sizes)).messages).toStrictEqual(values);
      }),
    );
  });

  it('D2: lines that are encoded in latin1 decode to the same text', () => {
    const codec = lines({ encoding: 'latin1' });
    fc.assert(
      fc.property(fc.array(latin1Line(), { maxLength: 40 }), chunkSizes(), (values, sizes) => {
        const stream = Buffer.concat(values.map((value) => encodeOne(codec, value)));
        expect(receive(codec, chunksOf(stream, sizes)).messages).toStrictEqual(values);
      }),
    );
  });

  it('C3: the encoder writes a line and its ending in one piece', () => {
    const written: unknown[] = [];
    const never = (): never => expect.unreachable('lines are text');
    const sink: ByteSink = { bytes: never, uint: never, text: (...piece) => void written.push(piece) };
    lines({ delimiter: '\r\n', encoding: 'latin1' }).encoder().encode('é', sink);
    expect(written).toStrictEqual([['é\r\n', 'latin1']]);
  });

  it.each<[string, LinesOptions, unknown, SocketErrorCode]>([
    ['a line end in its text', {}, 'a\nb', 'ERR_FRAME_INVALID'],
    ["a '\\r' that would be taken for an ending", {}, 'a\r', 'ERR_FRAME_INVALID'],
    ['a lone surrogate', {}, '\ud83d', 'ERR_FRAME_INVALID'],
    ['a character that latin1 lacks', { encoding: 'latin1' }, '€', 'ERR_FRAME_INVALID'],
    ['a type other than string', {}, 7, 'ERR_FRAME_INVALID'],
    ['more bytes than maxLength', { maxLength: 3 }, 'éé', 'ERR_FRAME_TOO_LONG'],
    ['more bytes than maxLength in latin1', { maxLength: 3, encoding: 'latin1' }, 'éééé', 'ERR_FRAME_TOO_LONG'],
    ['more bytes than the default maximum', {}, 'x'.repeat(65_537), 'ERR_FRAME_TOO_LONG'],
  ])('D5: the encoder refuses a value with %s, and writes no part of the value', (_, options, value, code) => {
    const never = (): never => expect.unreachable('something was written');
    const encoder = lines(options).encoder();
    const error = refusal(() => encoder.encode(value as string, { bytes: never, text: never, uint: never }));
    expect(error.code).toBe(code);
  });

  it('D5: the encoder accepts text of any length up to maxLength', () => {
    expect(encodeOne(lines({ maxLength: 4 }), 'éé').length).toBe(5);
    expect(encodeOne(lines({ maxLength: 4, encoding: 'latin1' }), 'éééé').length).toBe(5);
    expect(encodeOne(lines(), 'x'.repeat(65_536)).length).toBe(65_537);
  });
});

describe('the options of the lines codec', () => {
  it.each<[string, unknown]>([
    ['maxLength', { maxLength: 0 }],
    ['maxLength', { maxLength: -1 }],
    ['maxLength', { maxLength: 1.5 }],
    ['maxLength', { maxLength: Number.NaN }],
    ['maxLength', { maxLength: Infinity }],
    ['maxLength', { maxLength: 2 ** 31 }],
    ['maxLength', { maxLength: '10' }],
    ['maxLength', { maxLength: null }],
    ['delimiter', { delimiter: '\r' }],
    ['delimiter', { delimiter: '' }],
    ['delimiter', { delimiter: null }],
    ['encoding', { encoding: 'utf-8' }],
    ['encoding', { encoding: 'ascii' }],
    ['options', null],
    ['options', '\n'],
    ['options', 10],
    ['options', []],
    ['options', () => '\n'],
  ])('A5: a bad %s is refused immediately, and the error names it: %o', (name, options) => {
    const error = refusal(() => lines(options as LinesOptions));
    expect(error.code).toBe('ERR_OPTION_INVALID');
    expect(error.message).toContain(name);
  });

  it('A5: every valid value is accepted, and the options object stays unchanged', () => {
    const options = Object.freeze({ delimiter: '\r\n', encoding: 'latin1', maxLength: 2 ** 31 - 1 } as const);
    expect(encodeOne(lines(options), 'é').toString('latin1')).toBe('é\r\n');
    expect(encodeOne(lines({ maxLength: 1 }), 'a').length).toBe(2);
    expect(encodeOne(lines({}), 'é').length).toBe(3);
  });
});
