import { describe, expect, it } from 'vitest';
import type { Codec } from '../../src/codecs/codec.js';
import type { ByteSink } from '../../src/bytes/byte-sink.js';
import type { ByteQueue } from '../../src/bytes/byte-queue.js';
import { jsonLines } from '../../src/codecs/json-lines.js';
import { lengthPrefixed } from '../../src/codecs/length-prefixed.js';
import { lines } from '../../src/codecs/lines.js';
import { mapCodec } from '../../src/codecs/map-codec.js';
import { SocketError } from '../../src/errors/socket-error.js';
import { encodeOne } from '../../src/testing/byte-collector.js';
import { verifyCodec } from '../../src/testing/verify-codec.js';

/** The example in the documentation of `Codec`. */
const numbers: Codec<number> = {
  decoder: () => ({
    decode(bytes) {
      if (bytes.length < 4) return undefined;
      const value = bytes.uint(0, 4, 'big');
      bytes.skip(4);
      return value;
    },
  }),
  encoder: () => ({ encode: (value, into) => into.uint(value, 4, 'big') }),
};

const encode = (value: string, into: ByteSink): void => {
  if (value.includes('\0')) throw new SocketError('ERR_FRAME_INVALID', 'a message has a NUL in it');
  into.text(`${value}\0`, 'utf8');
};

/** Takes a text that ends with a NUL. The search for the NUL starts at `from`. */
function decode(bytes: ByteQueue, from = 0): string | undefined {
  const end = bytes.indexOf(0, from);
  if (end === -1) return undefined;
  const value = bytes.peek(end).toString();
  bytes.skip(end + 1);
  return value;
}

/** A codec of texts that end with a NUL. Everything in the codec is correct except the members of `wrong`. */
function texts(
  wrong: Partial<ReturnType<Codec<string>['decoder']> & ReturnType<Codec<string>['encoder']>> = {},
): Codec<string> {
  return { decoder: () => ({ decode, ...wrong }), encoder: () => ({ encode, ...wrong }) };
}

const values = ['', 'a', 'b\n', 'é€😀', 'text'.repeat(20)];

describe('verifyCodec', () => {
  it('D1: accepts codecs that obey the rules', () => {
    verifyCodec(numbers, [0, 1, 0xffff_ffff]);
    verifyCodec(texts(), values, { refused: ['\0', 'a\0b'] });
    verifyCodec(lines(), ['a', '', 'é'], { lastFrameMayBeOpen: true, refused: ['\n'] });
    verifyCodec(lengthPrefixed({ bytes: 1 }), ['a', Uint8Array.of(1, 2), ''], { refused: ['x'.repeat(256)] });
  });

  it('D1: accepts a long stream, and tries only some of its splits', () => {
    const started = process.cpuUsage().user;
    const large = Array.from({ length: 30 }, (_, index) => Buffer.alloc(10_000 + index, index));
    verifyCodec(lengthPrefixed(), large);
    expect(process.cpuUsage().user - started).toBeLessThan(15e6);
  });

  it('D2: compares values with a given function', () => {
    const rounded: Codec<number> = {
      ...numbers,
      encoder: () => ({ encode: (value, into) => into.uint(Math.round(value), 4, 'big') }),
    };
    expect(() => verifyCodec(rounded, [1.2])).toThrow(
      /^D2: message 0 is 1, not 1\.2; whole; the values are \[ 1\.2 \]$/,
    );
    verifyCodec(rounded, [1.2], { equals: (received, sent) => received === Math.round(sent as number) });
  });

  it('D2: treats an object without a prototype like an object with one', () => {
    const bare = (members: object): object => Object.assign(Object.create(null) as object, members);
    const values = [
      bare({}),
      bare({ a: 1, deep: [bare({ b: null }), { c: bare({}) }] }),
      { within: bare({ d: [[bare({ e: 'é' })]] }) },
    ];
    verifyCodec(jsonLines<unknown>(), values);
    const intoBare = mapCodec(
      jsonLines<unknown>(),
      (value) => ({ value: Object.assign(Object.create(null) as object, value), in: new Map([[1, new Set([value])]]) }),
      ({ value }: { value: object; in: Map<number, Set<unknown>> }) => value,
    );
    verifyCodec(intoBare, [{ value: { a: 1 }, in: new Map([[1, new Set([bare({ a: 1 })])]]) }]);
  });

  it.each<[string, unknown, unknown]>([
    ['an extra member', { a: 1, b: undefined }, { a: 1 }],
    ['a different nested value', { a: [{ b: 1 }] }, { a: [{ b: 2 }] }],
    ['an object of a class', Object.assign(new URL('tcp://h'), { a: 1 }), { a: 1 }],
    ['an error', new SocketError('ERR_CLOSED', 'over'), {}],
    ['an object with a prototype of its own', Object.create({}), {}],
    ['an array without its prototype', Object.setPrototypeOf([1], null), [1]],
    ['a date', new Date(0), {}],
    ['a different date', { at: new Date(0) }, { at: new Date(1) }],
    ['a hole', [, 1], [undefined, 1]], // eslint-disable-line no-sparse-arrays
    ['a different key', new Map([['a', 1]]), new Map([['b', 1]])],
    ['a member called __proto__', JSON.parse('{"__proto__":{}}'), {}],
    ['minus zero', { zero: -0 }, { zero: 0 }],
  ])('D2: distinguishes %s from the value that was sent', (_, received, sent) => {
    const bare = (value: unknown): unknown => ({ [Symbol.for('bare')]: Object.create(null) as object, value });
    const changing: Codec<unknown> = {
      decoder: () => ({
        decode: (bytes) => (numbers.decoder().decode(bytes) === undefined ? undefined : bare(received)),
      }),
      encoder: () => ({ encode: (_value, into) => into.uint(0, 4, 'big') }),
    };
    expect(() => verifyCodec(changing, [bare(sent)])).toThrow(/^D2: message 0 is /);
    verifyCodec(changing, [bare(received)]);
  });

  it('D2: compares objects that contain themselves', () => {
    const circle = (): object => {
      const self: Record<string, unknown> = Object.assign(Object.create(null) as object, { list: [] });
      (self['list'] as unknown[]).push(self, { self });
      return self;
    };
    const circles: Codec<object> = {
      decoder: () => ({ decode: (bytes) => (numbers.decoder().decode(bytes) === undefined ? undefined : circle()) }),
      encoder: () => ({ encode: (_value, into) => into.uint(0, 4, 'big') }),
    };
    verifyCodec(circles, [circle()]);
    const wider = Object.assign(circle(), { more: 1 });
    expect(() => verifyCodec(circles, [wider])).toThrow(/^D2: /);
  });

  it('D1: names the broken rule, the split and the values in the error', () => {
    const brittle = texts({ decode: (bytes) => decode(bytes, bytes.length > 1 && bytes.at(0) === 0x62 ? 2 : 0) });
    expect(() => verifyCodec(brittle, ['b', 'cd'])).toThrow(/^D2: .*; whole; the values are \[ 'b', 'cd' \]$/);
    expect(() => verifyCodec(forgetful(), ['ab', 'cd'])).toThrow(
      /^D1: .*; cut at byte \d; the values are \[ 'ab', 'cd' \]$/,
    );
  });

  it('refuses an empty list of values', () => {
    expect(() => verifyCodec(numbers, [])).toThrow('at least one value');
  });
});

/** Remembers how far it has searched, but ignores that bytes were taken off the queue. */
function forgetful(): Codec<string> {
  return {
    ...texts(),
    decoder: () => {
      let searched = 0;
      return {
        decode(bytes) {
          const value = decode(bytes, searched);
          if (value === undefined) searched = Math.max(searched, bytes.length + 1);
          return value;
        },
      };
    },
  };
}

/** Restarts its search for the NUL at each chunk. */
const quadratic = texts();

/** Reuses the memory of a message for the next message. */
function reusing(): Codec<Buffer, Uint8Array | string> {
  const memory = Buffer.alloc(256);
  const right = lengthPrefixed();
  return {
    ...right,
    decoder: () => {
      const inner = right.decoder();
      return {
        decode(bytes) {
          const value = inner.decode(bytes);
          return value && memory.subarray(0, value.copy(memory));
        },
      };
    },
  };
}

/** Remembers how far it has searched, but in one variable for all streams. Each new stream resets this variable. */
function shared(): Codec<string> {
  let searched = 0;
  return {
    ...texts(),
    decoder: () => {
      searched = 0;
      return {
        decode(bytes) {
          const value = decode(bytes, Math.max(0, searched - bytes.position));
          searched = value === undefined ? bytes.position + bytes.length : bytes.position;
          return value;
        },
      };
    },
  };
}

/** Puts a count of the values into each frame. Wrongly, a refused value also counts. */
function counting(): Codec<string> {
  return {
    decoder: () => ({ decode: (bytes) => decode(bytes)?.slice(1) }),
    encoder: () => {
      let count = 0;
      return { encode: (value, into) => encode(`${count++ % 10}${value}`, into) };
    },
  };
}

const takeAll = (bytes: ByteQueue): string | undefined =>
  bytes.length > 0 ? bytes.take(bytes.length).toString() : undefined;

function dropAll(bytes: ByteQueue): undefined {
  bytes.skip(bytes.length);
}

const whereOpen =
  (end: () => string) =>
  (bytes: ByteQueue): string | undefined =>
    bytes.length > 0 ? end() : undefined;

const fail = (error: Error) => (): never => {
  throw error;
};

/** Takes the open frame, then returns `value` again and again. */
function severalOf(value: string): (bytes: ByteQueue) => string | undefined {
  let given = false;
  return (bytes) => {
    given ||= bytes.length > 0;
    bytes.skip(bytes.length);
    return given ? value : undefined;
  };
}

describe('verifyCodec finds', () => {
  it.each<[string, Codec<string>]>([
    ['a value that arrives changed', texts({ encode: (value, into) => encode(value.trim(), into) })],
    [
      'values that are joined',
      texts({ encode: (value, into) => into.text(value === 'a' ? 'a' : `${value}\0`, 'utf8') }),
    ],
    ['an extra message', texts({ decode: (bytes) => decode(bytes) ?? '' })],
    [
      'an encoder that throws',
      texts({
        encode: () => {
          throw new TypeError('no');
        },
      }),
    ],
    [
      'a decoder that throws',
      texts({
        decode: () => {
          throw new TypeError('no');
        },
      }),
    ],
  ])('D2: %s', (_, codec) => {
    expect(() => verifyCodec(codec, values)).toThrow(/^D2: /);
  });

  it('D1: a decoder that depends on how the stream is cut', () => {
    expect(() => verifyCodec(forgetful(), values)).toThrow(/^D1: .* cut at byte/);
  });

  it('D1: a decoder that emits a message only when the next message begins', () => {
    const late = texts({ decode: (bytes) => (bytes.indexOf(0) < bytes.length - 1 ? decode(bytes) : undefined) });
    expect(() => verifyCodec(late, values)).toThrow(/^D[12]: message \d is complete, and decode did not give it/);
  });

  it('D1: a decoder that emits something before a message is complete', () => {
    const early = texts({ decode: (bytes) => decode(bytes) ?? (bytes.length > 0 ? '' : undefined) });
    expect(() => verifyCodec(early, values)).toThrow(/^D1: decode gave '' where no message was complete/);
  });

  it('D1: a decoder that starts again at each chunk', () => {
    verifyCodec(quadratic, ['x'.repeat(300)]);
    expect(() => verifyCodec(quadratic, ['x'.repeat(1_024)])).toThrow(/^D1: the time is not linear/);
  });

  it('D1: decoders that share state', () => {
    expect(() => verifyCodec(shared(), values)).toThrow(/^D1: .*(one byte at a time|beside another stream);/);
  });

  it('D2: a decoder that reuses the memory of its messages', () => {
    expect(() => verifyCodec(reusing(), ['abc', 'def'])).toThrow(/^D2: message 0 has changed after it was given/);
  });

  it('C13: a decoder that consumes more than its frame', () => {
    const greedy = texts({
      decode(bytes) {
        const value = decode(bytes);
        if (value !== undefined && bytes.length > 0 && bytes.at(0) === 0) bytes.skip(1);
        return value;
      },
    });
    expect(() => verifyCodec(greedy, ['a', '', 'b'])).toThrow(/^C13: message 0 ends at byte 2/);
  });

  it('C13: a decoder that consumes bytes and emits nothing', () => {
    let partial = '';
    const hoarding = texts({
      decode(bytes) {
        const value = decode(bytes);
        if (value !== undefined) return partial + value;
        partial += bytes.take(bytes.length).toString();
        return undefined;
      },
    });
    expect(() => verifyCodec(hoarding, ['ab'])).toThrow(/^C13: decode took \d bytes off and gave nothing/);
  });

  it.each<[string, (bytes: ByteQueue) => string | undefined, string]>([
    ['returns the incomplete frame', takeAll, "end gave 'a' for a frame that was cut off"],
    ['drops the incomplete frame', dropAll, 'end dropped a frame that was cut off'],
    ['returns a value from nothing', () => 'x', "end gave 'x' though no frame was open"],
    ['throws something other than a SocketError', fail(new TypeError('no')), 'end threw no SocketError: no'],
    ['throws an error with another code', whereOpen(fail(new SocketError('ERR_FRAME_INVALID', 'no'))), 'end threw: no'],
    [
      'throws although nothing is open',
      fail(new SocketError('ERR_FRAME_TRUNCATED', 'no')),
      'end threw: no; ending after byte 0 ',
    ],
  ])('D4: an `end` that %s', (_, end, message) => {
    expect(() => verifyCodec(texts({ end }), values)).toThrow(`D4: ${message}`);
  });

  it.each<[string, (bytes: ByteQueue) => string | undefined, string]>([
    ['leaves bytes of the returned frame', whereOpen(() => 'x'), "end gave 'x' and left 1 bytes of it"],
    ['returns several messages', severalOf('x'), 'end gave more than one message for one frame'],
    ['returns a value from nothing', () => 'x', "end gave 'x' though no frame was open"],
    ['drops the open frame', dropAll, 'end dropped a frame that was cut off'],
    [
      'throws although nothing is open',
      fail(new SocketError('ERR_FRAME_TRUNCATED', 'no')),
      'end threw: no; ending after byte 0 ',
    ],
    ['throws an error without a frame code', whereOpen(fail(new SocketError('ERR_CLOSED', 'no'))), 'end threw: no'],
  ])('D4: an `end` that %s, if the last frame may be open', (_, end, message) => {
    expect(() => verifyCodec(texts({ end }), values, { lastFrameMayBeOpen: true })).toThrow(`D4: ${message}`);
  });

  it('D4: no fault in an `end` that returns the open frame if allowed, or fails because of the open frame', () => {
    verifyCodec(texts({ end: takeAll }), values, { lastFrameMayBeOpen: true });
    verifyCodec(texts(), values, { lastFrameMayBeOpen: true });
    const truncated = texts({
      end(bytes) {
        if (bytes.length > 0) throw new SocketError('ERR_FRAME_TRUNCATED', 'a message was cut off');
        return undefined;
      },
    });
    verifyCodec(truncated, values);
  });

  it('D5: a value that is not refused, or is refused without a SocketError', () => {
    expect(() => verifyCodec(texts(), values, { refused: ['fine'] })).toThrow(/^D5: encode did not refuse 'fine'/);
    expect(() => verifyCodec(texts(), values, { refused: [7] })).toThrow(/^D5: encode threw no SocketError on 7/);
  });

  it('D5: a refusal that changes later values', () => {
    verifyCodec(counting(), values);
    expect(() => verifyCodec(counting(), values, { refused: ['\0'] })).toThrow(
      /^D5: the values are encoded in another way/,
    );
  });

  it('D5: no fault if encode writes a part and then throws, because that part is dropped', () => {
    const hasty = texts({
      encode(value, into) {
        into.text(value.replaceAll('\0', '?'), 'utf8');
        if (value.includes('\0')) throw new SocketError('ERR_FRAME_INVALID', 'a message has a NUL in it');
        into.uint(0, 1, 'big');
      },
    });
    verifyCodec(hasty, values, { refused: ['a\0'] });
    expect(encodeOne(hasty, 'a').toString()).toBe('a\0');
  });
});

/** Texts in groups. An empty text ends a group. The argument of `end` says whether a group is open. */
function grouped(end: (isOpen: boolean) => string | undefined): Codec<string> {
  return {
    ...texts(),
    decoder: () => {
      let isOpen = false;
      return {
        decode(bytes) {
          const value = decode(bytes);
          if (value !== undefined) isOpen = value !== '';
          return value;
        },
        end: () => end(isOpen),
      };
    },
  };
}

describe('verifyCodec, with a decoder that knows where a group of messages ends,', () => {
  const truncated = (): never => {
    throw new SocketError('ERR_FRAME_TRUNCATED', 'inside a group');
  };

  it('D4: accepts an `end` that fails between two messages of a group', () => {
    verifyCodec(
      grouped((isOpen) => (isOpen ? truncated() : undefined)),
      ['a', 'b', '', '', 'c', ''],
    );
  });

  it.each<[string, (isOpen: boolean) => string | undefined, string[]]>([
    ['after all messages', (isOpen) => (isOpen ? truncated() : undefined), ['a', '', 'b']],
    ['before the first message', () => truncated(), ['a', '']],
  ])('D4: finds an `end` that fails %s', (_, end, messages) => {
    expect(() => verifyCodec(grouped(end), messages)).toThrow(/^D4: end threw: inside a group; ending after byte/);
  });

  it('D4: finds an `end` that fails with a wrong code between two messages', () => {
    const invalid = (isOpen: boolean): undefined => {
      if (isOpen) throw new SocketError('ERR_FRAME_INVALID', 'inside a group');
    };
    for (const lastFrameMayBeOpen of [false, true]) {
      expect(() => verifyCodec(grouped(invalid), ['a', ''], { lastFrameMayBeOpen })).toThrow(
        /^D4: end threw: inside a group; ending after byte/,
      );
    }
  });

  it('D4: finds an `end` that returns a value between two messages', () => {
    const invented = (isOpen: boolean): string | undefined => (isOpen ? '' : undefined);
    expect(() => verifyCodec(grouped(invented), ['a', ''])).toThrow(/^D4: end gave '' though no frame was open/);
  });

  it('D4: finds an `end` that depends on how the bytes arrived', () => {
    const counting: Codec<string> = {
      ...texts(),
      decoder: () => {
        let chunks = 0;
        return {
          decode(bytes) {
            const value = decode(bytes);
            if (value === undefined) chunks++;
            return value;
          },
          end: () => (chunks > 2 ? truncated() : undefined),
        };
      },
    };
    expect(() => verifyCodec(counting, ['abc', 'def'])).toThrow(/^D4: end threw: .* in chunks of [\d, ]+ bytes;/);
  });

  it('A5: refuses bad and unknown options', () => {
    const verify = (options: object) => (): void => verifyCodec(lines(), ['a'], options);
    expect(verify({ lastFrameMayBeopen: true })).toThrow('lastFrameMayBeopen is not an option of verifyCodec');
    expect(verify({ refused: '\n' })).toThrow('refused must be an array');
    expect(verify({ lastFrameMayBeOpen: 1 })).toThrow('lastFrameMayBeOpen must be true or false');
    expect(verify({ equals: true })).toThrow('equals must be a function');
    expect(verify({ seed: NaN })).toThrow('seed must be a number');
  });
});
