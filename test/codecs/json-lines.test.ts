import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonLines, type JsonLinesOptions } from '../../src/codecs/json-lines.js';
import type { SocketErrorCode } from '../../src/errors/socket-error.js';
import { ChunkQueue } from '../../src/bytes/chunk-queue.js';
import { WriteBuffer } from '../../src/io/write-buffer.js';
import { encodeOne } from '../../src/testing/byte-collector.js';
import { CountingQueue } from '../../src/testing/counting-queue.js';
import { verifyCodec } from '../../src/testing/verify-codec.js';
import { chunksOf, chunkSizes } from '../support/bytes/arbitrary-chunks.js';
import { type Received, receive } from '../support/codecs/decode-stream.js';
import { refusal } from '../support/errors/refusal.js';

const read = (text: string, options?: JsonLinesOptions): Received<unknown> =>
  receive(jsonLines(options), [Buffer.from(text)]);

const nestedText = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);

const nested = (depth: number): unknown => {
  let value: unknown = [];
  for (let level = 1; level < depth; level++) value = level % 2 === 0 ? [value] : { a: value };
  return value;
};

const cycle = (): unknown => {
  const value: { self?: unknown } = {};
  value.self = value;
  return value;
};

const throwing = (): unknown => ({
  toJSON() {
    throw new TypeError('no');
  },
});

const thrownBy = (act: () => unknown): unknown => {
  try {
    act();
    return undefined;
  } catch (error) {
    return error;
  }
};

/** A value that contains an object with an own property `__proto__`, which JSON.parse can make. */
const poisoned = (): unknown => JSON.parse('{"a":[{"__proto__":{"b":1}}]}');

function namesPrototype(json: string): boolean {
  let found = false;
  JSON.parse(json, (key, value: unknown) => {
    found ||= key === '__proto__';
    return value;
  });
  return found;
}

/** JSON values, often with text that looks like the refused name `__proto__`. */
const json = (): fc.Arbitrary<unknown> => {
  const looks = fc.constantFrom('__proto__', '"__proto__":1', '\\"__proto__":', 'x"__proto__', '__proto__"', '\\u005f');
  const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 10 }), looks);
  const name = text.filter((text) => text !== '__proto__');
  return fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.jsonValue({ maxDepth: 1 }).filter((value) => !namesPrototype(JSON.stringify(value))),
      text,
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(name, tie('value'), { maxKeys: 4 }),
    ),
  })).value;
};

describe('the jsonLines codec', () => {
  it('D1: the codec obeys rules D1, D2, D4, D5 and C13', () => {
    const values = [
      null,
      true,
      0,
      -1.5e300,
      '',
      'é€😀\n\r\u2028\0"\\',
      '\ud800',
      '__proto__',
      [],
      [null, [], {}],
      {},
      { '': 1, a: { b: ['__proto__'] } },
      { constructor: { prototype: 1 } },
      'x'.repeat(1_500),
      nested(1_000),
    ];
    const refused = [
      undefined,
      () => 1,
      Symbol('s'),
      1n,
      { a: 1n },
      cycle(),
      throwing(),
      poisoned(),
      nested(1_001),
      nested(20_000),
      'x'.repeat(10_000),
      { toJSON: () => undefined },
    ];
    verifyCodec(jsonLines({ maxLength: 10_000 }), values, { refused });
  });

  it('D2: the codec decodes what it has encoded, for every value and every split into chunks', () => {
    fc.assert(
      fc.property(fc.array(json(), { maxLength: 10 }), chunkSizes(), (values, sizes) => {
        const stream = Buffer.concat(values.map((value) => encodeOne(jsonLines(), value)));
        const { messages, error } = receive(jsonLines(), chunksOf(stream, sizes));
        expect(error).toBe(undefined);
        expect(messages).toEqual(values.map((value) => JSON.parse(JSON.stringify(value)) as unknown));
      }),
    );
  });

  it('D1: the codec decodes each line as JSON.parse does, for every split into chunks', () => {
    const line = fc.oneof(
      { weight: 6, arbitrary: json().map((value) => JSON.stringify(value)) },
      { weight: 2, arbitrary: json().map((value) => ` ${JSON.stringify(value)}\t\r`) },
      { weight: 1, arbitrary: fc.constantFrom('', '{', '1 2', '\ufeff1', 'NaN', "'a'", '[1,]', '"\t"', '\\u005f') },
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 10 }), chunkSizes(), (texts, sizes) => {
        const expected: unknown[] = [];
        let error: SocketErrorCode | undefined;
        for (const text of texts) {
          try {
            if (error === undefined) expected.push(JSON.parse(text));
          } catch {
            error = 'ERR_FRAME_INVALID';
          }
        }
        const stream = Buffer.from(texts.map((text) => `${text}\n`).join(''));
        expect(receive(jsonLines(), chunksOf(stream, sizes))).toMatchObject({ messages: expected, error });
      }),
    );
  });

  it('D2: the codec encodes a value as JSON that contains no line end, and adds a line end', () => {
    expect(encodeOne(jsonLines(), { a: 'é\n', b: [1, null] }).toString()).toBe('{"a":"é\\n","b":[1,null]}\n');
    expect(read('{"a":1}\n[2]\r\n"3"\n').messages).toStrictEqual([{ a: 1 }, [2], '3']);
  });

  it('D2: the codec encodes a value as JSON.stringify does', () => {
    const value = { when: new Date(0), no: undefined, nan: Number.NaN, act: () => 1, map: new Map([[1, 2]]), zero: -0 };
    expect(encodeOne(jsonLines(), value).toString()).toBe(`${JSON.stringify(value)}\n`);
  });

  it('D1: the codec reads each byte of a long line only a few times, even if the line arrives byte by byte', () => {
    const stream = encodeOne(jsonLines(), ['x'.repeat(60_000)]);
    const queue = new CountingQueue();
    expect(receive(jsonLines(), chunksOf(stream, [1]), queue).messages).toHaveLength(1);
    expect(queue.examined / stream.length).toBeLessThan(4);
  });

  it('C13: the codec takes exactly the bytes of a line off the queue', () => {
    const queue = new ChunkQueue();
    queue.push(Buffer.from('{"a":1}\n[2]\nrest'));
    const decoder = jsonLines().decoder();
    expect(decoder.decode(queue)).toStrictEqual({ a: 1 });
    expect(queue.position).toBe(8);
    expect(decoder.decode(queue)).toStrictEqual([2]);
    expect(queue.take(4).toString()).toBe('rest');
  });
});

describe('the limits of the jsonLines codec', () => {
  it.each<[string, string | Buffer, SocketErrorCode]>([
    ['text that is not JSON', '{"a":}', 'ERR_FRAME_INVALID'],
    ['an empty line', '', 'ERR_FRAME_INVALID'],
    ['an empty line with a carriage return', '\r', 'ERR_FRAME_INVALID'],
    ['a line of spaces', '  ', 'ERR_FRAME_INVALID'],
    ['two values in one line', '{}{}', 'ERR_FRAME_INVALID'],
    ['a byte order mark', '\ufeff{}', 'ERR_FRAME_INVALID'],
    ['undefined', 'undefined', 'ERR_FRAME_INVALID'],
    ['NaN', 'NaN', 'ERR_FRAME_INVALID'],
    ['a bigint', '1n', 'ERR_FRAME_INVALID'],
    ['a comment', '{}//', 'ERR_FRAME_INVALID'],
    ['a raw control character', '"\x01"', 'ERR_FRAME_INVALID'],
    ['invalid UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'ERR_FRAME_INVALID'],
    ['a surrogate in UTF-8', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), 'ERR_FRAME_INVALID'],
    ['half a character', Buffer.from([0x22, 0xe2, 0x82, 0x22]), 'ERR_FRAME_INVALID'],
    ['a line one byte over the default maximum', `"${'x'.repeat(65_535)}"`, 'ERR_FRAME_TOO_LONG'],
    ['JSON nested 1,001 deep', nestedText(1_001), 'ERR_FRAME_INVALID'],
    ['JSON nested 20,000 deep', nestedText(20_000), 'ERR_FRAME_INVALID'],
    ['JSON nested 20,000 deep and never closed', '['.repeat(20_000), 'ERR_FRAME_INVALID'],
    ['objects nested 10,000 deep', `${'{"":'.repeat(10_000)}1${'}'.repeat(10_000)}`, 'ERR_FRAME_INVALID'],
  ])('D3: the lines before %s are emitted, then decoding fails, for every split into chunks', (_, bad, code) => {
    const stream = Buffer.concat([Buffer.from('1\n"ok"\n'), Buffer.from(bad as string), Buffer.from('\n2\n')]);
    for (const size of [1, 2, 5, 1_448, 100_000]) {
      const received = receive(jsonLines(), chunksOf(stream, [size]));
      expect(received).toMatchObject({ messages: [1, 'ok'], error: code });
    }
  });

  it('D3: the error message says why a line is not JSON', () => {
    const queue = new ChunkQueue();
    queue.push(Buffer.from('{"a":}\n'));
    const error = refusal(() => jsonLines().decoder().decode(queue));
    expect(error.message).toBe(`a line cannot be read as JSON: ${String(error.cause)}`);
    expect(error.cause).toBeInstanceOf(SyntaxError);
  });

  it('D3: JSON may be nested 1,000 deep; brackets in text, or side by side, do not add to the depth', () => {
    const flat = Array.from({ length: 1_100 }, () => [{}]);
    const texts = ['["{['.repeat(1_000), '\\'.repeat(3_001) + '"[', '[\\"'.repeat(900), ['\\', '['.repeat(1_500), '"']];
    for (const value of [JSON.parse(nestedText(1_000)), flat, ...texts, [flat, texts, { '[{"\\': flat }]]) {
      const frame = encodeOne(jsonLines(), value);
      expect(receive(jsonLines(), [frame]).messages).toStrictEqual([value]);
    }
    const deep = `${'['.repeat(999)}{"]}\\"":["{"]}${']'.repeat(999)}`;
    expect(read(`${deep}\n`).error).toBe('ERR_FRAME_INVALID');
    expect(read(`${deep.slice(1, -1)}\n`).error).toBe(undefined);
  });

  it('D3: values that are nested 200,000 deep or deeper cause no stack overflow', () => {
    const options = { maxLength: 2 ** 24 };
    expect(read(`${nestedText(500_000)}\n`, options).error).toBe('ERR_FRAME_INVALID');
    expect(refusal(() => encodeOne(jsonLines(options), nested(200_000))).code).toBe('ERR_FRAME_INVALID');
  });

  it('D4: a last line without a line end fails with ERR_FRAME_TRUNCATED, even if it is valid JSON', () => {
    for (const text of ['{"a":1}', '12', 'null', '"a"', '{', ' ', '\r', 'nonsense', '{"__proto__":1}']) {
      expect(read(text), text).toMatchObject({ messages: [], error: 'ERR_FRAME_TRUNCATED' });
    }
    expect(read('1\n2')).toMatchObject({ messages: [1], error: 'ERR_FRAME_TRUNCATED' });
    expect(read('1\n').error).toBe(undefined);
    expect(read('').error).toBe(undefined);
  });

  it.each<[string, unknown, SocketErrorCode]>([
    ['undefined', undefined, 'ERR_FRAME_INVALID'],
    ['a function', () => 1, 'ERR_FRAME_INVALID'],
    ['a symbol', Symbol('s'), 'ERR_FRAME_INVALID'],
    ['a bigint', 1n, 'ERR_FRAME_INVALID'],
    ['an object that contains a bigint', { a: [1n] }, 'ERR_FRAME_INVALID'],
    ['an object that contains itself', cycle(), 'ERR_FRAME_INVALID'],
    ['an object whose toJSON throws', throwing(), 'ERR_FRAME_INVALID'],
    ['an object with the name __proto__ in it', poisoned(), 'ERR_FRAME_INVALID'],
    ['nested 20,000 deep', nested(20_000), 'ERR_FRAME_INVALID'],
    ['longer than maxLength', 'ééééé', 'ERR_FRAME_TOO_LONG'],
    ['longer than maxLength because of its quotes', 'x'.repeat(9), 'ERR_FRAME_TOO_LONG'],
  ])('D5: nothing is written if the value is %s', (_, value, code) => {
    const never = (): never => expect.unreachable('something was written');
    const encoder = jsonLines({ maxLength: 10 }).encoder();
    expect(refusal(() => encoder.encode(value, { bytes: never, text: never, uint: never })).code).toBe(code);
  });

  it("D5: if JSON.stringify throws, the cause of the codec's error is the thrown error", () => {
    expect(refusal(() => encodeOne(jsonLines(), 1n)).cause).toBeInstanceOf(TypeError);
    expect(refusal(() => encodeOne(jsonLines(), throwing())).cause).toMatchObject({ message: 'no' });
    // Since Node 26, JSON.stringify does not overflow the stack for this value. On these versions, the codec refuses
    // the depth, and its error has no cause.
    const overflow = thrownBy(() => JSON.stringify(nested(20_000)));
    expect(refusal(() => encodeOne(jsonLines(), nested(20_000))).cause).toEqual(overflow);
  });

  it('D5: a refused value does not change the values that are sent before or after the refused value', () => {
    const buffer = new WriteBuffer();
    const encoder = jsonLines({ maxLength: 100 }).encoder();
    for (const value of [1, cycle(), [2], undefined, 'x'.repeat(101), poisoned(), { three: 3 }]) {
      buffer.add(encoder, value);
    }
    expect(Buffer.from(buffer.takeAll()).toString()).toBe('1\n[2]\n{"three":3}\n');
  });

  it.each<[string, unknown]>([
    ['maxLength', { maxLength: 0 }],
    ['maxLength', { maxLength: Infinity }],
    ['maxLength', { maxLength: 2 ** 31 }],
    ['maxLength', { maxLength: '10' }],
    ['options', null],
    ['options', 4],
    ['options', []],
  ])('A5: a bad %s is refused immediately, and the error names it: %o', (name, options) => {
    const error = refusal(() => jsonLines(options as JsonLinesOptions));
    expect(error.code).toBe('ERR_OPTION_INVALID');
    expect(error.message).toContain(name);
  });
});

describe('a name that could change a prototype, in jsonLines,', () => {
  it.each([
    '{"__proto__":{"a":1}}',
    '{"__proto__":null}',
    '{"a":1,"__proto__":2}',
    '{"a":{"b":[{"__proto__":[]}]}}',
    '{ "__proto__" : 1 }',
    '{\t"__proto__"\t:1}',
    '{"\\u005f_proto__":1}',
    '{"_\\u005Fproto__":1}',
    '{"__\\u0070roto__":1}',
    '{"__p\\u0072oto__":1}',
    '{"__pr\\u006fto__":1}',
    '{"__pro\\u0074o__":1}',
    '{"__prot\\u006Fo__":1,"__prot\\u006F__":1}',
    '{"__proto_\\u005f":1}',
    '{"\\u005f\\u005f\\u0070\\u0072\\u006f\\u0074\\u006f\\u005f\\u005f":1}',
    '{"__proto__":1,"__proto__":2}',
    '{"a":{"__proto__":1},"a":2}',
    '["\\\\",{"__proto__":1}]',
    '{"\\\\":1,"__proto__":1}',
  ])('D6: a name that could change a prototype is refused: %s', (text) => {
    expect(() => JSON.parse(text) as unknown).not.toThrow();
    for (const size of [1, 3, 100]) {
      const { messages, error } = receive(jsonLines(), chunksOf(Buffer.from(`1\n${text}\n2\n`), [size]));
      expect([messages, error]).toStrictEqual([[1], 'ERR_FRAME_INVALID']);
    }
  });

  it.each([
    '"__proto__"',
    '["__proto__"]',
    '{"a":"__proto__"}',
    '{"a":"__proto__","b":1}',
    '{"a":"\\"__proto__\\":1"}',
    '{"\\"__proto__":1}',
    '{"\\\\\\"__proto__":1}',
    '{"__proto__\\"":1}',
    '{"__proto__ ":1}',
    '{" __proto__":1}',
    '{"__PROTO__":1}',
    '{"_proto_":1,"__proto":2,"proto__":3}',
    '{"__proto__\\u0000":1}',
    '{"\\\\u005f_proto__":1}',
    '"{\\"\\\\u005f_proto__\\":1}"',
    '{"constructor":{"prototype":{"a":1}}}',
    '{"toString":1,"hasOwnProperty":2}',
  ])('D6: harmless JSON is not refused: %s', (text) => {
    const { messages, error } = read(`${text}\n`);
    expect([messages, error]).toEqual([[JSON.parse(text)], undefined]);
    expect(encodeOne(jsonLines(), JSON.parse(text)).toString()).toBe(`${JSON.stringify(JSON.parse(text))}\n`);
  });

  it('D6: the name `__proto__` is refused in every place and spelling, and nothing else is refused', () => {
    const spelled = fc
      .tuple(...Array.from('__proto__', (character) => fc.constantFrom(character, character, escaped(character))))
      .map((characters) => `"${characters.join('')}"`);
    const name = fc.oneof(
      {
        weight: 3,
        arbitrary: fc.constantFrom('"a"', '"\\\\"', '"\\""', '"\\u005f"', '"x\\"__proto__"', '"__proto__\\\\"'),
      },
      { weight: 1, arbitrary: spelled },
    );
    const space = fc.constantFrom('', '', ' ', '\t ');
    const value = fc.letrec<{ value: string }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom('1', 'null'),
        name,
        fc.array(tie('value'), { maxLength: 3 }).map((items) => `[${items.join(',')}]`),
        fc
          .array(fc.tuple(space, name, space, tie('value')), { maxLength: 3 })
          .map((entries) => uniqueNames(entries))
          .map((entries) => `{${entries.map(([a, name, b, value]) => `${a}${name}${b}:${value}`).join(',')}}`),
      ),
    })).value;
    let refused = 0;
    fc.assert(
      fc.property(value, (text) => {
        const bad = namesPrototype(text);
        if (bad) refused++;
        expect(read(`${text}\n`).error).toBe(bad ? 'ERR_FRAME_INVALID' : undefined);
        if (bad) expect(refusal(() => encodeOne(jsonLines(), JSON.parse(text))).code).toBe('ERR_FRAME_INVALID');
        else expect(encodeOne(jsonLines(), JSON.parse(text)).length).toBeGreaterThan(1);
      }),
      { numRuns: 2_000, seed: 1 },
    );
    expect(refused).toBeGreaterThan(100);
  });

  it('D6: decoding never changes a prototype, and decoded objects have the usual prototype', () => {
    const [value] = read('{"constructor":{"prototype":{"polluted":1}}}\n').messages as [object];
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect('polluted' in {}).toBe(false);
  });
});

const escaped = (character: string): string => {
  const code = character.charCodeAt(0).toString(16).padStart(4, '0');
  return `\\u${code}`;
};

/** Keeps only the last of the entries with the same name, as JSON.parse does. */
function uniqueNames(entries: [string, string, string, string][]): [string, string, string, string][] {
  return [...new Map(entries.map((entry) => [JSON.parse(entry[1]) as string, entry])).values()];
}
