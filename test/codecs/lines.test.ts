import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ByteSink } from '../../src/codec.js';
import { type LinesOptions, lines } from '../../src/codecs/lines.js';
import type { SocketErrorCode } from '../../src/errors.js';
import { ChunkQueue } from '../../src/io/byte-queue.js';
import { encodeOne } from '../../src/testing/byte-collector.js';
import { CountingQueue } from '../../src/testing/counting-queue.js';
import { verifyCodec } from '../../src/testing/verify-codec.js';
import { chunksOf, chunkSizes } from '../support/arbitraries/chunks.js';
import { latin1Line, line, lineBytes } from '../support/arbitraries/line.js';
import { type Received, receive } from '../support/receive.js';
import { refusal } from '../support/refusal.js';

/** What a whole stream of lines gives, read in the plainest way. */
function model(stream: Buffer, maxLength: number, encoding: 'utf8' | 'latin1'): Received<string> {
  const messages: string[] = [];
  let at = 0;
  const failed = (error: SocketErrorCode): Received<string> => ({ messages, error, left: stream.length - at });
  while (at < stream.length) {
    const newline = stream.indexOf(10, at);
    const stop = newline === -1 ? stream.length : newline;
    const content = stream.subarray(at, newline > at && stream[newline - 1] === 13 ? newline - 1 : stop);
    if (content.length > maxLength) return failed('ERR_FRAME_TOO_LONG');
    if (encoding === 'utf8' && !isUtf8(content)) return failed('ERR_FRAME_INVALID');
    messages.push(content.toString(encoding));
    at = Math.min(stop + 1, stream.length);
  }
  return { messages, error: undefined, left: 0 };
}

const whole = (text: string | Buffer): Buffer[] => [Buffer.from(text as string)];

/** One byte at a time. */
const bytewise = (bytes: Buffer): Buffer[] => chunksOf(bytes, [1]);

/** How many bytes are read where the work is counted. */
const total = 262_144;

describe('reading lines', () => {
  it.each(['utf8', 'latin1'] as const)('D1: gives the same as the model for every chunking, %s', (encoding) => {
    fc.assert(
      fc.property(lineBytes(), chunkSizes(), fc.constantFrom(5, 20, 1_023, 65_536), (bytes, sizes, maxLength) => {
        const received = receive(lines({ encoding, maxLength }), chunksOf(bytes, sizes));
        const expected = model(bytes, maxLength, encoding);
        expect(received.messages).toStrictEqual(expected.messages);
        expect(received.error).toBe(expected.error);
        // A line that is too long is refused before all of it is there.
        if (expected.error !== 'ERR_FRAME_TOO_LONG') expect(received.left).toBeLessThanOrEqual(expected.left);
      }),
    );
  });

  it('D1: takes both endings off, and no other', () => {
    const stream = 'a\nb\r\n\n\r\nc\rd\r\r\n\u2028\u0085\v\f\n';
    for (const delimiter of ['\n', '\r\n'] as const) {
      const { messages } = receive(lines({ delimiter }), whole(stream));
      expect(messages).toStrictEqual(['a', 'b', '', '', 'c\rd\r', '\u2028\u0085\v\f']);
    }
  });

  it('D1: keeps a byte order mark, in short lines and in long ones', () => {
    for (const rest of ['', 'a', 'é', 'é'.repeat(1_000), 'a'.repeat(1_000)]) {
      expect(receive(lines(), whole(`\ufeff${rest}\n`)).messages).toStrictEqual([`\ufeff${rest}`]);
    }
  });

  it.each([
    ['one long line', 'x'.repeat(total - 1) + '\n'],
    ['one long line that is not ASCII', 'é'.repeat(total / 2 - 1) + '\n'],
    ['short lines', 'some text\n'.repeat(total / 10)],
    ['short lines that are not ASCII', 'some téxt\n'.repeat(total / 11)],
    ['empty lines', '\n'.repeat(total)],
  ])('D1: looks at each byte a few times only: %s', (_, text) => {
    const bytes = Buffer.from(text);
    for (const size of [1, 7, 1_448, 65_536]) {
      const queue = new CountingQueue();
      const { messages, error } = receive(lines({ maxLength: total }), chunksOf(bytes, [size]), queue);
      expect(error).toBe(undefined);
      expect(messages.length).toBe(text.split('\n').length - 1);
      // `head` counts in full, though a block of at most 16 KiB of it is read.
      expect(queue.examined / bytes.length, `chunks of ${size}`).toBeLessThan(size === 65_536 ? 10 : 4);
    }
  });

  it('C13: another view may take over after any line', () => {
    const views = fc.array(fc.constantFrom('first', 'second', 'latin1', 'raw'), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(fc.array(line(), { maxLength: 60 }), chunkSizes(), views, (values, sizes, order) => {
        const stream = Buffer.from(values.map((value) => `${value}\n`).join(''));
        const queue = new ChunkQueue();
        const decoders = {
          first: lines().decoder(),
          second: lines().decoder(),
          latin1: lines({ encoding: 'latin1' }).decoder(),
        };
        const given: string[] = [];
        const next = (): string | undefined => {
          const view = order[given.length % order.length] ?? 'first';
          if (view !== 'raw') {
            const value = decoders[view as 'first'].decode(queue);
            return view === 'latin1' && value !== undefined ? Buffer.from(value, 'latin1').toString() : value;
          }
          const end = queue.indexOf(10);
          return end === -1
            ? undefined
            : queue
                .take(end + 1)
                .toString()
                .slice(0, -1);
        };
        for (const chunk of chunksOf(stream, sizes)) {
          queue.push(chunk);
          for (let value = next(); value !== undefined; value = next()) given.push(value);
        }
        expect(given).toStrictEqual(values);
        expect(queue.length).toBe(0);
      }),
    );
  });

  it('C13: a line takes exactly its own bytes off', () => {
    const queue = new ChunkQueue();
    queue.push(Buffer.from('é\r\nab\nrest'));
    const decoder = lines().decoder();
    expect(decoder.decode(queue)).toBe('é');
    expect(queue.position).toBe(4);
    expect(decoder.decode(queue)).toBe('ab');
    expect(queue.take(4).toString()).toBe('rest');
  });

  it('C13: views that take turns do not decode everything again for each line', () => {
    const queue = new CountingQueue();
    queue.push(Buffer.from('0123456789\n'.repeat(5_000)));
    const views = [lines().decoder(), lines().decoder()];
    let decoded = 0;
    const prototype = Buffer.prototype as Buffer;
    const { toString } = prototype;
    prototype.toString = function (this: Buffer, ...rest: Parameters<Buffer['toString']>) {
      decoded += this.length;
      return toString.apply(this, rest);
    };
    try {
      for (let turn = 0; turn < 5_000; turn++) views[turn % 2]?.decode(queue);
    } finally {
      prototype.toString = toString;
    }
    expect(queue.length).toBe(0);
    expect(decoded / 5_000).toBeLessThanOrEqual(1_024);
  });
});

describe('the limits of lines', () => {
  it('D3: maxLength counts the bytes without the ending', () => {
    const codec = lines({ maxLength: 4 });
    for (const good of ['abcd\n', 'abcd\r\n', 'éé\n', '€a\r\n', '😀\n', '😀', 'abc\r']) {
      for (const split of [whole(good), bytewise(Buffer.from(good))]) {
        expect(receive(codec, split), good).toMatchObject({ error: undefined, left: 0 });
      }
    }
    for (const long of ['abcde\n', 'abcde\r\n', 'abcd\r\r\n', 'ééa\n', '€€\r\n', '😀a\n', 'abcde', 'abcd\r']) {
      for (const split of [whole(`ok\n${long}`), bytewise(Buffer.from(`ok\n${long}`))]) {
        expect(receive(codec, split), long).toMatchObject({ messages: ['ok'], error: 'ERR_FRAME_TOO_LONG' });
      }
    }
  });

  it('D3: a line without an end fails as soon as it is certain to be too long', () => {
    const feed = (text: string): (() => unknown) => {
      const decoder = lines({ maxLength: 10 }).decoder();
      const queue = new ChunkQueue();
      for (const chunk of bytewise(Buffer.from(text))) {
        expect(decoder.decode(queue)).toBe(undefined);
        queue.push(chunk);
      }
      return () => decoder.decode(queue);
    };
    expect(feed('x'.repeat(10))()).toBe(undefined);
    expect(feed(`${'x'.repeat(10)}\r`)()).toBe(undefined);
    expect(refusal(feed('x'.repeat(11))).code).toBe('ERR_FRAME_TOO_LONG');
    expect(refusal(feed(`${'x'.repeat(10)}\rx`)).code).toBe('ERR_FRAME_TOO_LONG');
  });

  it('D3: is 65,536 bytes by default', () => {
    const fits = 'x'.repeat(65_536);
    expect(receive(lines(), whole(`${fits}\n`)).messages).toStrictEqual([fits]);
    expect(receive(lines(), whole(`${fits}x`)).error).toBe('ERR_FRAME_TOO_LONG');
  });

  it('D3: of a line that is too long nothing is joined or decoded', () => {
    const queue = new CountingQueue();
    queue.push(Buffer.from('ok\n'));
    for (let count = 0; count < 10; count++) queue.push(Buffer.alloc(100_000, 'x'));
    queue.push(Buffer.from('\n'));
    const decoder = lines().decoder();
    expect(decoder.decode(queue)).toBe('ok');
    queue.peek = queue.take = () => expect.unreachable('bytes of the line were joined');
    expect(refusal(() => decoder.decode(queue)).code).toBe('ERR_FRAME_TOO_LONG');
  });

  it.each([
    ['a byte that no character begins with', [0xff]],
    ['a lone continuation', [0x80]],
    ['an unfinished character', [0xe2, 0x82]],
    ['an overlong newline', [0xc0, 0x8a]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['a character beyond Unicode', [0xf4, 0x90, 0x80, 0x80]],
  ])('D3: invalid UTF-8 fails after the lines before it, at every split: %s', (_, bad) => {
    const before = ['a', 'é€😀', 'x'.repeat(30)];
    const good = Buffer.from(before.map((value) => `${value}\n`).join(''));
    const stream = Buffer.concat([good, Buffer.from('y'), Buffer.from(bad), Buffer.from('\nafter\n')]);
    const expected = { messages: before, error: 'ERR_FRAME_INVALID' };
    expect(receive(lines(), whole(stream))).toMatchObject(expected);
    expect(receive(lines(), bytewise(stream))).toMatchObject(expected);
    for (let cut = 1; cut < stream.length; cut++) {
      expect(receive(lines(), [stream.subarray(0, cut), stream.subarray(cut)]), `cut at ${cut}`).toMatchObject(
        expected,
      );
    }
    expect(receive(lines(), whole(stream.subarray(0, -7))), 'at the end').toMatchObject(expected);
    expect(receive(lines({ encoding: 'latin1' }), whole(stream)).error).toBe(undefined);
  });

  it('D3: is the same failure for every chunking where a line is both invalid and too long', () => {
    const stream = Buffer.concat([Buffer.from('ok\n'), Buffer.alloc(20, 0xff), Buffer.from('\n')]);
    for (let size = 1; size <= stream.length; size++) {
      const received = receive(lines({ maxLength: 19 }), chunksOf(stream, [size]));
      expect(received).toMatchObject({ messages: ['ok'], error: 'ERR_FRAME_TOO_LONG' });
    }
  });
});

describe('the end of a stream of lines', () => {
  it('D4: the last line needs no newline', () => {
    expect(receive(lines(), whole('a\nb')).messages).toStrictEqual(['a', 'b']);
    expect(receive(lines(), whole('a\n')).messages).toStrictEqual(['a']);
    expect(receive(lines(), whole('é')).messages).toStrictEqual(['é']);
    expect(receive(lines(), []).messages).toStrictEqual([]);
  });

  it("D4: a '\\r' at the very end is no ending", () => {
    expect(receive(lines(), whole('a\r')).messages).toStrictEqual(['a\r']);
    expect(receive(lines({ delimiter: '\r\n' }), whole('\r')).messages).toStrictEqual(['\r']);
  });
});

describe('writing lines', () => {
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
  ])('D1: keeps the rules of a codec, D2, D4, D5 and C13 too, with %o', (options, values, more) => {
    verifyCodec(lines({ ...options, maxLength: 1_500 }), values, {
      lastFrameMayBeOpen: true,
      refused: [...refused, ...more],
    });
  });

  it('D2: what was sent is what is received, for every text and every chunking', () => {
    const codec = lines({ maxLength: 100_000 });
    fc.assert(
      fc.property(fc.array(line(), { maxLength: 40 }), chunkSizes(), (values, sizes) => {
        const stream = Buffer.concat(values.map((value) => encodeOne(codec, value)));
        expect(receive(codec, chunksOf(stream, sizes)).messages).toStrictEqual(values);
      }),
    );
  });

  it('D2: as well in latin1', () => {
    const codec = lines({ encoding: 'latin1' });
    fc.assert(
      fc.property(fc.array(latin1Line(), { maxLength: 40 }), chunkSizes(), (values, sizes) => {
        const stream = Buffer.concat(values.map((value) => encodeOne(codec, value)));
        expect(receive(codec, chunksOf(stream, sizes)).messages).toStrictEqual(values);
      }),
    );
  });

  it('C3: writes a line and its ending in one piece', () => {
    const written: unknown[] = [];
    const never = (): never => expect.unreachable('lines are text');
    const sink: ByteSink = { bytes: never, uint: never, text: (...piece) => void written.push(piece) };
    lines({ delimiter: '\r\n', encoding: 'latin1' }).encoder().encode('é', sink);
    expect(written).toStrictEqual([['é\r\n', 'latin1']]);
  });

  it.each<[string, LinesOptions, unknown, SocketErrorCode]>([
    ['a line end in it', {}, 'a\nb', 'ERR_FRAME_INVALID'],
    ["a '\\r' that would be taken for an ending", {}, 'a\r', 'ERR_FRAME_INVALID'],
    ['a lone surrogate', {}, '\ud83d', 'ERR_FRAME_INVALID'],
    ['a character that latin1 lacks', { encoding: 'latin1' }, '€', 'ERR_FRAME_INVALID'],
    ['no string', {}, 7, 'ERR_FRAME_INVALID'],
    ['more bytes than maxLength', { maxLength: 3 }, 'éé', 'ERR_FRAME_TOO_LONG'],
    ['more bytes than maxLength in latin1', { maxLength: 3, encoding: 'latin1' }, 'éééé', 'ERR_FRAME_TOO_LONG'],
    ['more than the default', {}, 'x'.repeat(65_537), 'ERR_FRAME_TOO_LONG'],
  ])('D5: writes nothing of a value with %s', (_, options, value, code) => {
    const never = (): never => expect.unreachable('something was written');
    const encoder = lines(options).encoder();
    const error = refusal(() => encoder.encode(value as string, { bytes: never, text: never, uint: never }));
    expect(error.code).toBe(code);
  });

  it('D5: takes all that fits', () => {
    expect(encodeOne(lines({ maxLength: 4 }), 'éé').length).toBe(5);
    expect(encodeOne(lines({ maxLength: 4, encoding: 'latin1' }), 'éééé').length).toBe(5);
    expect(encodeOne(lines(), 'x'.repeat(65_536)).length).toBe(65_537);
  });
});

describe('the options of lines', () => {
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
  ])('A5: a bad %s is refused at once and named: %o', (name, options) => {
    const error = refusal(() => lines(options as LinesOptions));
    expect(error.code).toBe('ERR_OPTION_INVALID');
    expect(error.message).toContain(name);
  });

  it('A5: every good one is taken, and the options object stays as it is', () => {
    const options = Object.freeze({ delimiter: '\r\n', encoding: 'latin1', maxLength: 2 ** 31 - 1 } as const);
    expect(encodeOne(lines(options), 'é').toString('latin1')).toBe('é\r\n');
    expect(encodeOne(lines({ maxLength: 1 }), 'a').length).toBe(2);
    expect(encodeOne(lines({}), 'é').length).toBe(3);
  });
});
