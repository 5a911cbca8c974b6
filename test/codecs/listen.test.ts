import { setImmediate as nextTurn } from 'node:timers/promises';
import { firstValueFrom, Subject } from 'rxjs';
import type { Address, Connection, Server, SocketError } from 'rxjs-sockets';
import {
  type Codec,
  delimited,
  fixedLength,
  jsonLines,
  lengthPrefixed,
  lines,
  mapCodec,
  netstring,
  text,
} from 'rxjs-sockets/codecs';
import { describe, expect, it } from 'vitest';
import '../support/leaks.js';
import { type Place, tcp, unix } from '../support/transport/places.js';
import { serverAt } from '../support/connection/connected-pairs.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { record, type Recording } from '../support/recording/record.js';
import { turns } from '../support/scheduling/event-loop.js';

type Any = Codec<unknown, never>;

/** A server that records everything its clients send. */
interface Host {
  readonly address: Address;
  readonly server: Server<unknown, never>;
  /** Returns the next accepted connection, and a recording of its values. */
  accepted(): Promise<[Connection<unknown, never>, Recording<unknown>]>;
  readonly incidents: SocketError[];
}

async function host(place: Place, codec: Any): Promise<Host> {
  const waiting: [Connection<unknown, never>, Recording<unknown>][] = [];
  const arrived = new Subject<void>();
  const incidents: SocketError[] = [];
  const { server, address } = await serverAt<unknown, never>(
    place,
    (connection) => {
      waiting.push([connection, record(connection.data)]);
      arrived.next();
    },
    { codec },
  );
  server.incidents.subscribe((error) => incidents.push(error));
  return {
    address,
    server,
    incidents,
    accepted: async () => {
      if (waiting.length === 0) await firstValueFrom(arrived);
      return waiting.shift()!;
    },
  };
}

const thrower = (cause: unknown) => (): never => {
  throw cause;
};

/** Values that the functions of a codec throw in the tests, and how an error message names these values. */
const reasons: readonly [cause: unknown, named: string][] = [
  [new RangeError('no date: x'), 'RangeError: no date: x'],
  [new TypeError(''), 'TypeError'],
  [new AggregateError([new Error('a'), new Error('b')]), 'AggregateError: a; b'],
  ['no', '"no"'],
  [undefined, 'undefined'],
  [Object.create(null), '[Object: null prototype] {}'],
];

const max4G = Buffer.of(0xff, 0xff, 0xff, 0xff);
const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);

/**
 * For each codec, a frame that can be decoded, and bytes that fail as soon as they arrive after this frame, before
 * anything is allocated for these bytes.
 */
const faults: readonly [string, Any, before: string, bad: string | Buffer, code: string][] = [
  ['a line without end', lines(), 'ok\n', 'x'.repeat(65_538), 'ERR_FRAME_TOO_LONG'],
  ['a line without end, over a small maximum', lines({ maxLength: 4 }), 'ok\n', '123456', 'ERR_FRAME_TOO_LONG'],
  ['a line of invalid UTF-8', lines(), 'ok\n', Buffer.of(0xc0, 0xaf, 10), 'ERR_FRAME_INVALID'],
  ['half a character in a line', lines(), 'ok\n', Buffer.of(0xe2, 0x82, 10), 'ERR_FRAME_INVALID'],
  ['a delimiter that never comes', delimited('\r\n\r\n'), 'ok\r\n\r\n', 'x'.repeat(65_541), 'ERR_FRAME_TOO_LONG'],
  ['a delimiter that overlaps itself', delimited('aa', { maxLength: 4 }), 'okaa', 'bababa', 'ERR_FRAME_TOO_LONG'],
  ['a length of 4 GiB', lengthPrefixed(), '\0\0\0\x02ok', max4G, 'ERR_FRAME_TOO_LONG'],
  [
    'a length of 4 GiB, little-endian',
    lengthPrefixed({ endian: 'little' }),
    '\x02\0\0\0ok',
    max4G,
    'ERR_FRAME_TOO_LONG',
  ],
  ['a length over the default', lengthPrefixed(), '\0\0\0\x02ok', Buffer.of(0, 0x10, 0, 1), 'ERR_FRAME_TOO_LONG'],
  ['a length over a maximum', lengthPrefixed({ bytes: 2, maxLength: 4 }), '\0\x02ok', '\0\x05', 'ERR_FRAME_TOO_LONG'],
  [
    'a one-byte length field whose value is over a maximum',
    lengthPrefixed({ bytes: 1, maxLength: 4 }),
    '\x02ok',
    '\x05',
    'ERR_FRAME_TOO_LONG',
  ],
  ['a netstring over the default', netstring(), '2:ok,', '1048577:', 'ERR_FRAME_TOO_LONG'],
  ['a netstring of very many digits', netstring(), '2:ok,', '9'.repeat(400), 'ERR_FRAME_TOO_LONG'],
  ['a netstring with a leading zero', netstring(), '2:ok,', '01:a,', 'ERR_FRAME_INVALID'],
  ['a netstring with two zeros', netstring(), '2:ok,', '00:,', 'ERR_FRAME_INVALID'],
  ['a netstring with a negative length', netstring(), '2:ok,', '-1:', 'ERR_FRAME_INVALID'],
  ['a netstring without a length', netstring(), '2:ok,', ':,', 'ERR_FRAME_INVALID'],
  ['a netstring with a space', netstring(), '2:ok,', ' 1:a,', 'ERR_FRAME_INVALID'],
  ['a netstring without its comma', netstring(), '2:ok,', '1:a;', 'ERR_FRAME_INVALID'],
  ['a name that sets a prototype', jsonLines(), '"ok"\n', '{"__proto__":{"a":1}}\n', 'ERR_FRAME_INVALID'],
  ['a name that sets a prototype, nested', jsonLines(), '"ok"\n', '[{"a":{"__proto__":1}}]\n', 'ERR_FRAME_INVALID'],
  [
    'a name that sets a prototype, escaped',
    jsonLines(),
    '"ok"\n',
    '{"\\u005f_pr\\u006Fto__":1}\n',
    'ERR_FRAME_INVALID',
  ],
  ['JSON that is nested 20,000 deep', jsonLines(), '"ok"\n', `${nested(20_000)}\n`, 'ERR_FRAME_INVALID'],
  [
    'objects that are nested deep',
    jsonLines(),
    '"ok"\n',
    `${'{"":'.repeat(9_000)}1${'}'.repeat(9_000)}\n`,
    'ERR_FRAME_INVALID',
  ],
  ['a line that is not JSON', jsonLines(), '"ok"\n', 'ok\n', 'ERR_FRAME_INVALID'],
  ['JSON of invalid UTF-8', jsonLines(), '"ok"\n', Buffer.of(0x22, 0xff, 0x22, 10), 'ERR_FRAME_INVALID'],
  ['JSON without end', jsonLines(), '"ok"\n', `"${'x'.repeat(65_538)}`, 'ERR_FRAME_TOO_LONG'],
  ['text of invalid UTF-8', text(), 'ok', Buffer.of(0xff), 'ERR_FRAME_INVALID'],
  ['a frame that mapCodec refuses', mapCodec(lines(), JSON.parse, String), '"ok"\n', '{\n', 'ERR_FRAME_INVALID'],
];

describe.each([tcp, unix])('a server with hostile clients over $name', (place) => {
  it.each(faults)('D3: only the connection that has received %s ends', async (_, codec, before, bad, code) => {
    const whole = Buffer.concat([Buffer.from(before), Buffer.from(bad as string)]);
    const single = Array.from(whole, (byte) => Buffer.of(byte));
    for (const slices of [
      [whole],
      whole.length < 1_000 ? single : [whole.subarray(0, 10_000), whole.subarray(10_000)],
    ]) {
      const { address, server, accepted, incidents } = await host(place, codec);
      const bystander = await rawClient(address);
      const [, other] = await accepted();
      const raw = await rawClient(address);
      const [connection, mine] = await accepted();
      for (const slice of slices) {
        raw.write(slice);
        await nextTurn();
      }
      expect(await mine.end()).toMatchObject({ code });
      expect(mine.values.map(String).join('')).toBe('ok');
      raw.end();
      expect(await firstValueFrom(connection.closed)).toMatchObject({ reason: 'failed', error: { code } });
      expect(incidents.map((error) => error.code)).toEqual([code]);
      // The server still serves `bystander` and new clients.
      bystander.write(before);
      await other.count(1);
      const next = await rawClient(address);
      const [, last] = await accepted();
      next.write(before);
      await last.count(1);
      expect([other.values, last.values].map((values) => String(values[0]))).toEqual(['ok', 'ok']);
      expect(server.connections.size).toBe(2);
    }
  });

  /** A codec of lines whose functions throw `cause`, and how its error messages begin. */
  const throwing: readonly [string, (cause: unknown) => Codec<string>, decoding: string, encoding: string][] = [
    [
      'mapCodec',
      (cause) => mapCodec(lines(), thrower(cause), thrower(cause)),
      'decode, passed to mapCodec, threw',
      'encode, passed to mapCodec, threw',
    ],
    [
      'a custom codec',
      (cause) => ({ decoder: () => ({ decode: thrower(cause) }), encoder: () => ({ encode: thrower(cause) }) }),
      "the frame can't be decoded:",
      "the value can't be encoded:",
    ],
  ];

  it.each(throwing)('D3: the error names an exception that is thrown inside %s', async (_, codecOf, begins) => {
    for (const [cause, named] of reasons) {
      const { address, accepted, incidents } = await host(place, codecOf(cause));
      const raw = await rawClient(address);
      const [connection, received] = await accepted();
      raw.write('x\n');
      expect(await received.end()).toMatchObject({ code: 'ERR_FRAME_INVALID', message: `${begins} ${named}`, cause });
      raw.end();
      const { error } = await firstValueFrom(connection.closed);
      expect(error).toMatchObject({ code: 'ERR_FRAME_INVALID', message: `${begins} ${named}`, cause });
      expect(incidents.map(({ message }) => message)).toEqual([`${begins} ${named}`]);
    }
  });

  it.each(throwing)(
    'D5: the error names an exception that is thrown inside %s while a value is sent',
    async (_, codecOf, _decoding, begins) => {
      for (const [cause, named] of reasons) {
        const { address, accepted } = await host(place, codecOf(cause));
        const raw = await rawClient(address);
        const connection = (await accepted())[0] as unknown as Connection<string, string>;
        const failure = { code: 'ERR_FRAME_INVALID', message: `${begins} ${named}`, cause };
        await expect(connection.data.send('x')).rejects.toMatchObject(failure);
        expect(connection.data.closed).toBe(false);
        connection.data.next('x');
        expect((await firstValueFrom(connection.closed)).error).toMatchObject(failure);
        raw.destroy();
      }
    },
  );

  /** A stream of frames, and whether its first `at` bytes end between two frames. */
  const streams: readonly [string, Any, string, (at: number) => boolean][] = [
    ['delimited', delimited('\r\n'), 'abc\r\n\r\n', (at) => [0, 5, 7].includes(at)],
    ['fixedLength', fixedLength(3), 'abcdef', (at) => at % 3 === 0],
    ['lengthPrefixed', lengthPrefixed(), '\0\0\0\x03abc\0\0\0\0', (at) => [0, 7, 11].includes(at)],
    ['netstring', netstring(), '3:abc,0:,', (at) => [0, 6, 9].includes(at)],
    ['jsonLines', jsonLines(), '{"a":1}\n12\n', (at) => [0, 8, 11].includes(at)],
    ['text', text(), 'a€b', (at) => [0, 1, 4, 5].includes(at)],
    ['lines', lines(), 'ab\r\ncd', () => true],
    ['mapCodec of lines', mapCodec(lines(), String, String), 'ab\r\ncd', () => true],
    ['mapCodec of netstring', mapCodec(netstring(), String, String), '3:abc,0:,', (at) => [0, 6, 9].includes(at)],
  ];

  it.each(streams)('D4: a stream ends cleanly only between frames: %s', async (_, codec, stream, isInOrder) => {
    const bytes = Buffer.from(stream);
    const { address, accepted } = await host(place, codec);
    for (let at = 0; at <= bytes.length; at++) {
      const raw = await rawClient(address);
      const [connection, recording] = await accepted();
      raw.end(bytes.subarray(0, at));
      if (isInOrder(at)) expect(await recording.end(), `after ${at} bytes`).toBe('complete');
      else expect(await recording.end(), `after ${at} bytes`).toMatchObject({ code: 'ERR_FRAME_TRUNCATED' });
      connection.destroy();
    }
  });
});

it.each<[string, Any, string | Buffer]>([
  ['4 GiB', lengthPrefixed(), max4G],
  ['the default maximum', lengthPrefixed(), Buffer.of(0, 0x10, 0, 0)],
  ['2 GiB, which is allowed', lengthPrefixed({ maxLength: 2 ** 31 - 1 }), Buffer.of(0x7f, 0xff, 0xff, 0xff)],
  ['the default maximum in digits', netstring(), '1048576:'],
  ['a fixed length', fixedLength(2 ** 31 - 1), 'a'],
])('D3: nothing is allocated for a large length: %s', async (_, codec, header) => {
  const { address, accepted } = await host(tcp, codec);
  const sockets = await Promise.all(Array.from({ length: 200 }, () => rawClient(address)));
  const connections: Connection<unknown, never>[] = [];
  while (connections.length < sockets.length) connections.push((await accepted())[0]);
  await turns();
  globalThis.gc?.();
  const before = process.memoryUsage().arrayBuffers;
  for (const socket of sockets) socket.write(header);
  await expect.poll(() => connections.every(({ stats }) => stats.bytesRead > 0)).toBe(true);
  globalThis.gc?.();
  // The headers announce at least 200 MiB in all. But each open connection holds only one chunk of a few bytes.
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2_000_000);
});

it('D6: JSON from a hostile client changes no prototype', async () => {
  const { address, accepted } = await host(tcp, jsonLines());
  const raw = await rawClient(address);
  const [, recording] = await accepted();
  raw.write('{"constructor":{"prototype":{"polluted":1}}}\n{"__proto__":{"polluted":1}}\n');
  expect(await recording.end()).toMatchObject({ code: 'ERR_FRAME_INVALID' });
  expect(recording.values).toHaveLength(1);
  expect(Object.getPrototypeOf(recording.values[0])).toBe(Object.prototype);
  expect('polluted' in {}).toBe(false);
});
