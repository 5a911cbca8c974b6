import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lines } from '../../src/codecs/lines.js';
import type { SocketErrorCode } from '../../src/errors/socket-error.js';
import { ChunkQueue } from '../../src/bytes/chunk-queue.js';
import { CountingQueue } from '../../src/testing/counting-queue.js';
import { chunksOf, chunkSizes } from '../support/bytes/arbitrary-chunks.js';
import { line, lineBytes } from '../support/codecs/arbitrary-line.js';
import { type Received, receive } from '../support/codecs/decode-stream.js';
import { refusal } from '../support/errors/refusal.js';

/** A simple decoder for a complete stream. The tests compare the codec with this model. */
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

const bytewise = (bytes: Buffer): Buffer[] => chunksOf(bytes, [1]);

/** The size of the input in the tests that count the decoder's work. */
const total = 262_144;

describe('the decoder of the lines codec', () => {
  it.each(['utf8', 'latin1'] as const)('D1: in %s, decoder and model agree, however bytes are split', (encoding) => {
    fc.assert(
      fc.property(lineBytes(), chunkSizes(), fc.constantFrom(5, 20, 1_023, 65_536), (bytes, sizes, maxLength) => {
        const received = receive(lines({ encoding, maxLength }), chunksOf(bytes, sizes));
        const expected = model(bytes, maxLength, encoding);
        expect(received.messages).toStrictEqual(expected.messages);
        expect(received.error).toBe(expected.error);
        // A line that is too long fails before it has arrived completely.
        if (expected.error !== 'ERR_FRAME_TOO_LONG') expect(received.left).toBeLessThanOrEqual(expected.left);
      }),
    );
  });

  it('D1: the decoder removes line ends with and without a carriage return, and nothing else', () => {
    const stream = 'a\nb\r\n\n\r\nc\rd\r\r\n\u2028\u0085\v\f\n';
    for (const delimiter of ['\n', '\r\n'] as const) {
      const { messages } = receive(lines({ delimiter }), whole(stream));
      expect(messages).toStrictEqual(['a', 'b', '', '', 'c\rd\r', '\u2028\u0085\v\f']);
    }
  });

  it('D1: the decoder keeps a byte order mark, in short and in long lines', () => {
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
  ])('D1: the decoder reads each byte only a few times: %s', (_, text) => {
    const bytes = Buffer.from(text);
    for (const size of [1, 7, 1_448, 65_536]) {
      const queue = new CountingQueue();
      const { messages, error } = receive(lines({ maxLength: total }), chunksOf(bytes, [size]), queue);
      expect(error).toBe(undefined);
      expect(messages.length).toBe(text.split('\n').length - 1);
      // The queue counts each use of `head` in full, although the decoder reads at most 16 KiB of it.
      expect(queue.examined / bytes.length, `chunks of ${size}`).toBeLessThan(size === 65_536 ? 10 : 4);
    }
  });

  it('D1: the decoder emits a line as soon as the line end has arrived, even if the length of the line is near the size of a decoded block', () => {
    for (const length of [1_022, 1_023, 1_024, 1_025, 2_047, 2_048, 2_049, 16_383, 16_384, 16_385]) {
      const queue = new ChunkQueue();
      const decoder = lines().decoder();
      for (let round = 0; round < 3; round++) {
        queue.push(Buffer.from(`${'x'.repeat(length)}\n`));
        expect(decoder.decode(queue)?.length).toBe(length);
        expect(decoder.decode(queue)).toBe(undefined);
      }
    }
  });

  it('C13: another view can continue after any line', () => {
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

  it('C13: the decoder takes exactly the bytes of a line off the queue', () => {
    const queue = new ChunkQueue();
    queue.push(Buffer.from('é\r\nab\nrest'));
    const decoder = lines().decoder();
    expect(decoder.decode(queue)).toBe('é');
    expect(queue.position).toBe(4);
    expect(decoder.decode(queue)).toBe('ab');
    expect(queue.take(4).toString()).toBe('rest');
  });

  it('C13: when views take turns, each decoder decodes at most 1,024 bytes at a time', () => {
    const queue = new ChunkQueue();
    queue.push(Buffer.from('0123456789\n'.repeat(5_000)));
    const views = [lines().decoder(), lines().decoder()];
    const decoded = decodedIn(() => {
      for (let turn = 0; turn < 5_000; turn++) views[turn % 2]?.decode(queue);
    });
    expect(queue.length).toBe(0);
    expect(Math.max(...decoded)).toBeLessThanOrEqual(1_024);
  });

  it('C13: the decoder decodes at most 16 KiB ahead, so a program that keeps one line retains at most 16 KiB of memory', () => {
    const decoded = decodedIn(() => receive(lines(), whole('0123456789\n'.repeat(20_000))));
    expect(Math.max(...decoded)).toBeLessThanOrEqual(16_384);
    expect(decoded.length).toBeLessThan(20);
  });
});

/** Returns how many bytes each call of `toString` decoded while `act` ran. */
function decodedIn(act: () => void): readonly number[] {
  const prototype = Buffer.prototype as Buffer;
  const { toString } = prototype;
  const decoded: number[] = [];
  prototype.toString = function (this: Buffer, ...rest: Parameters<Buffer['toString']>) {
    decoded.push(this.length);
    return toString.apply(this, rest);
  };
  try {
    act();
  } finally {
    prototype.toString = toString;
  }
  return decoded;
}

describe('the limits of the lines codec', () => {
  it('D3: maxLength counts the bytes before the line ending', () => {
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

  it('D3: a line without a line end fails as soon as the line is certainly too long', () => {
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

  it('D3: maxLength is 65,536 bytes by default', () => {
    const fits = 'x'.repeat(65_536);
    expect(receive(lines(), whole(`${fits}\n`)).messages).toStrictEqual([fits]);
    expect(receive(lines(), whole(`${fits}x`)).error).toBe('ERR_FRAME_TOO_LONG');
  });

  it('D3: the bytes of a line that is too long are neither joined nor decoded', () => {
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
    ['a byte that begins no character', [0xff]],
    ['a lone continuation', [0x80]],
    ['an unfinished character', [0xe2, 0x82]],
    ['an overlong newline', [0xc0, 0x8a]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['a character beyond Unicode', [0xf4, 0x90, 0x80, 0x80]],
  ])('D3: the lines before invalid UTF-8 are emitted, then decoding fails, for every split: %s', (_, bad) => {
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

  it('D3: a line that is both invalid and too long fails in the same way for every split into chunks', () => {
    const stream = Buffer.concat([Buffer.from('ok\n'), Buffer.alloc(20, 0xff), Buffer.from('\n')]);
    for (let size = 1; size <= stream.length; size++) {
      const received = receive(lines({ maxLength: 19 }), chunksOf(stream, [size]));
      expect(received).toMatchObject({ messages: ['ok'], error: 'ERR_FRAME_TOO_LONG' });
    }
  });
});

describe('the end of a stream of lines', () => {
  it('D4: the last line of a stream needs no newline', () => {
    expect(receive(lines(), whole('a\nb')).messages).toStrictEqual(['a', 'b']);
    expect(receive(lines(), whole('a\n')).messages).toStrictEqual(['a']);
    expect(receive(lines(), whole('é')).messages).toStrictEqual(['é']);
    expect(receive(lines(), []).messages).toStrictEqual([]);
  });

  it("D4: a '\\r' at the very end of a stream is not a line ending", () => {
    expect(receive(lines(), whole('a\r')).messages).toStrictEqual(['a\r']);
    expect(receive(lines({ delimiter: '\r\n' }), whole('\r')).messages).toStrictEqual(['\r']);
  });
});
