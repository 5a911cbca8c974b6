import { inspect } from 'node:util';
import { firstValueFrom } from 'rxjs';
import { type AddressInput, backoff, connect, listen, nodeTransport, serve } from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { memoryTransport, verifyCodec } from 'rxjs-sockets/testing';
import { describe, expect, it } from 'vitest';
import { connectSettings, listenSettings } from '../../src/options/settings.js';
import type { Transport } from '../../src/transport/transport.js';
import '../support/leaks.js';
import { refusal } from '../support/errors/refusal.js';

const durations = [
  'idleTimeout',
  'halfOpenTimeout',
  'closeTimeout',
  'claimTimeout',
  'keepAlive',
  'handshakeTimeout',
] as const;
const sizes = ['highWaterMark', 'maxBuffered'] as const;
const flags = ['halfOpen', 'noDelay'] as const;
const counts = ['backlog', 'acceptQueue', 'maxConnections'] as const;

const bare: unknown = Object.create(null);
const badDurations = [-1, -0.001, '5', Number.NaN, Infinity, -Infinity, 2 ** 31, 1e100, true, null, {}, 5n, bare];
const badSizes = [0, -1, 1.5, Number.NaN, Infinity, 2 ** 53, '64', true, null, [], Symbol('64')];
const badCounts = [0, -1, 1.5, Number.NaN, Infinity, 2 ** 31, '10', null, {}];
const badFlags = [0, 1, 'true', null, {}];
const badOverflows = ['', 'Error', 'block', true, null, 0, ['error']];
const badChoices = ['', 'Replace', true, null, 0, ['drop']];
const badCodecs = [null, 'lines', lines, {}, { decoder: () => undefined }, { decoder: 1, encoder: 2 }];
const badTransports = [null, 'tcp', {}, memoryTransport, { listen: () => undefined, connect: () => undefined }];

type Case = [option: string, value: unknown];
const cases = (options: readonly string[], values: readonly unknown[]): Case[] =>
  options.flatMap((option) => values.map((value): Case => [option, value]));

const common: Case[] = [
  ...cases(durations, badDurations),
  ...cases(sizes, badSizes),
  ...cases(flags, badFlags),
  ...cases(['overflow'], badOverflows),
  ...cases(['codec'], badCodecs),
  ...cases(['transport'], badTransports),
];
const forListen: Case[] = [
  ...common,
  ...cases(counts, badCounts),
  ...cases(['mode'], [-1, 0o1000, 1.5, Number.NaN, '600', null]),
  ...cases(['stale'], badChoices),
  ...cases(['reusePort'], badFlags),
  ...cases(['tls'], [null, true, 'key', 5, []]),
  ...cases(['proxyProtocol'], [null, true, 'trusted', [], {}, { trusted: '127.0.0.1' }, { trusted: [5] }]),
];
const forConnect: Case[] = [
  ...common,
  ...cases(['connectTimeout'], badDurations),
  ...cases(['tls'], [null, true, 'ca', 5, [], () => ({})]),
  ...cases(['reconnect'], [null, true, 3, 'always', [], { count: -1 }, { count: 1.5 }, { delay: -1 }, { delay: '5' }]),
  ...cases(['whileDisconnected'], badChoices),
  ...cases(['localAddress'], ['', 'localhost', '127.0.0.256', '127.1', '[::1]', '::g', '::1%', 7, null, ['127.0.0.1']]),
  ...cases(['localPort'], [-1, 65_536, 1.5, Number.NaN, Infinity, '80', null, {}]),
  ...cases(['family'], [0, 5, 46, '4', 'IPv4', null, Number.NaN]),
];

/** A transport that must not be called. */
function untouched(): Transport {
  const fail = (): never => {
    throw new Error('something was created');
  };
  return { checkListen: () => undefined, checkConnect: () => undefined, listen: fail, connect: fail };
}

const described = ([option, value]: Case): string => `${option}: ${inspect(value, { depth: 0 })}`;

describe('a bad option', () => {
  it.each(forListen.map((one) => [described(one), ...one] as const))(
    'A5: listen throws at once for %s, and the error names the option',
    (_title, option, value) => {
      const options = { transport: untouched(), [option]: value };
      expect(refusal(() => listen('tcp://localhost:1', options))).toMatchObject({
        code: 'ERR_OPTION_INVALID',
        message: expect.stringMatching(new RegExp(`^${option}(\\.\\w+)? must be `)),
      });
    },
  );

  it.each(forConnect.map((one) => [described(one), ...one] as const))(
    'A5: connect throws at once for %s, and the error names the option',
    (_title, option, value) => {
      const options = { transport: untouched(), [option]: value };
      expect(refusal(() => connect('tcp://localhost:1', options))).toMatchObject({
        code: 'ERR_OPTION_INVALID',
        message: expect.stringMatching(new RegExp(`^${option}(\\.\\w+)? must be `)),
      });
    },
  );

  it.each([null, 'codec', 5, [], () => undefined])('A5: options that are %o are refused', (options) => {
    for (const create of [listen, connect]) {
      expect(refusal(() => create('tcp://localhost:1', options as never))).toMatchObject({
        code: 'ERR_OPTION_INVALID',
        message: expect.stringContaining('options'),
      });
    }
  });

  it.each(['idelTimeout', 'highWatermark', 'maxbuffered', 'transport2'])(
    'A5: %s, which is not an option in this version, is refused, and the error names it',
    (option) => {
      for (const create of [listen, connect]) {
        expect(refusal(() => create('tcp://localhost:1', { transport: untouched(), [option]: {} }))).toMatchObject({
          code: 'ERR_OPTION_INVALID',
          message: expect.stringContaining(option),
        });
      }
    },
  );

  it('A5: one object can have the options of listen and of connect', () => {
    const both = { transport: memoryTransport(), backlog: 1, connectTimeout: 1, mode: 0o600 };
    expect(listen('memory:both', both).connections.size).toBe(0);
    expect(connect('memory:both', both).data.closed).toBe(false);
  });

  it.each(badDurations)('A5: shutdown refuses a deadline of %o, and the server continues', async (deadline) => {
    const server = listen('memory:deadline', { transport: memoryTransport() });
    const subscription = server.subscribe();
    await firstValueFrom(server.listening);
    await expect(server.shutdown({ deadline: deadline as number })).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
      message: expect.stringContaining('deadline'),
    });
    expect(subscription.closed).toBe(false);
    await server.shutdown({ deadline: 5 });
    expect(subscription.closed).toBe(true);
  });

  it('A5: shutdown refuses an unknown option, and the server continues', async () => {
    const server = listen('memory:misspelt', { transport: memoryTransport() });
    const subscription = server.subscribe();
    await firstValueFrom(server.listening);
    await expect(server.shutdown({ deadlien: 1 } as never)).rejects.toMatchObject({
      code: 'ERR_OPTION_INVALID',
      message: 'deadlien is not an option of shutdown',
    });
    expect(subscription.closed).toBe(false);
    await server.shutdown({ deadline: undefined });
    expect(subscription.closed).toBe(true);
  });

  it('A5: nodeTransport refuses an unknown option', () => {
    expect(() => nodeTransport({ internal: false } as never)).toThrow(
      expect.objectContaining({
        code: 'ERR_OPTION_INVALID',
        message: 'internal is not an option of nodeTransport',
      }),
    );
    expect(nodeTransport({ internals: undefined })).toBe(nodeTransport());
  });

  it.each([
    ['127.0.0.1', 6],
    ['::1', 4],
    ['::ffff:127.0.0.1', 4],
    ['fe80::1%eth0', 4],
  ] as const)('K20: connect refuses the local address %s with the family %i', (localAddress, family) => {
    const options = { transport: untouched(), localAddress, family };
    expect(refusal(() => connect('tcp://localhost:1', options))).toMatchObject({
      code: 'ERR_OPTION_INVALID',
      message: expect.stringMatching(new RegExp(`^localAddress must be an IPv${family} address`)),
    });
  });

  it.each([
    ['unix:/run/app.sock', { localAddress: '127.0.0.1' }, 'localAddress'],
    ['unix:@app', { localPort: 7_000 }, 'localPort'],
    ['unix:/run/app.sock', { family: 4 }, 'family'],
    ['memory:app', { localAddress: '::1', transport: memoryTransport() }, 'localAddress'],
    ['tcp://localhost:7000', { localPort: 7_000, transport: memoryTransport() }, 'localPort'],
    ['tcp://localhost:7000', { family: 6, transport: memoryTransport() }, 'family'],
    ['tcp://127.0.0.1:7000', { family: 6 }, 'family'],
    ['tls://[::1]:7000', { family: 4 }, 'family'],
    ['tcp://[fe80::1%eth0]:7000', { family: 4 }, 'family'],
    ['tcp://127.0.0.1:7000', { localAddress: '::1' }, 'localAddress'],
    ['tcp://[::1]:7000', { localAddress: '127.0.0.2' }, 'localAddress'],
  ] as const)('K20: a client of %s refuses %o, and the error names the option', (address, options, named) => {
    expect(refusal(() => connect(address, options))).toMatchObject({
      code: 'ERR_OPTION_INVALID',
      message: expect.stringMatching(new RegExp(`^${named}: `)),
    });
  });

  it('K20: connect accepts options at their bounds, and local addresses of either family', () => {
    for (const options of [
      { localPort: 0 },
      { localPort: 1 },
      { localPort: 65_535 },
      { family: 4, localAddress: '127.0.0.1' },
      { family: 6, localAddress: '::1' },
      { localAddress: 'fe80::1%eth0' },
      { localAddress: '::ffff:127.0.0.1', family: 6 },
    ] as const) {
      expect(connect('tcp://localhost:1', options).data.closed).toBe(false);
      expect(connectSettings(options)).toMatchObject(options);
    }
    expect(connect('unix:/run/app.sock', { localPort: 0 }).data.closed).toBe(false);
    // These are options of `connect`, so `listen` accepts and ignores them.
    expect(listen('unix:/run/app.sock', { localPort: 7, family: 4 } as object).connections.size).toBe(0);
  });

  it('A5: is reported in a short message, whatever its value', () => {
    const long = 'x'.repeat(100_000);
    const { message } = refusal(() => listen('tcp://localhost:1', { overflow: long as 'drop' }));
    expect(message.length).toBeLessThan(300);
  });
});

describe('valid options', () => {
  it('A5: have the documented defaults if they are omitted', () => {
    const both = {
      highWaterMark: 65_536,
      maxBuffered: 1_048_576,
      overflow: 'error',
      idleTimeout: 0,
      receiveTimeout: 0,
      endsNodeStreamsAfterPeer: false,
      halfOpenTimeout: 60_000,
      closeTimeout: 5_000,
      claimTimeout: 30_000,
      noDelay: true,
      keepAlive: 60_000,
      handshakeTimeout: 10_000,
    };
    expect(listenSettings({})).toEqual({
      ...both,
      codec: expect.anything(),
      halfOpen: true,
      backlog: 4_096,
      acceptQueue: 128,
      maxConnections: 10_000,
      mode: 0o600,
      stale: 'replace',
      reusePort: false,
      tls: undefined,
      proxyProtocol: undefined,
    });
    expect(connectSettings({})).toEqual({
      ...both,
      codec: expect.anything(),
      halfOpen: false,
      connectTimeout: 10_000,
      localAddress: undefined,
      localPort: 0,
      family: undefined,
      tls: undefined,
      reconnect: undefined,
      whileDisconnected: 'buffer',
    });
  });

  it('A5: an undefined option has its default', () => {
    const names = [...Object.keys(listenSettings({})), ...Object.keys(connectSettings({})), 'transport'];
    const absent = Object.fromEntries(names.map((name) => [name, undefined]));
    expect(listenSettings(absent)).toEqual(listenSettings({}));
    expect(connectSettings(absent)).toEqual(connectSettings({}));
    expect(listen({ port: 0, host: undefined }, absent).connections.size).toBe(0);
    expect(connect({ port: 1, host: undefined }, absent).data.closed).toBe(false);
  });

  it('A7: an undefined option counts as omitted, in every function with options', () => {
    const absent = { initial: undefined, jitter: undefined, concurrent: undefined, seed: undefined, other: undefined };
    expect(backoff(absent)).toMatchObject({ stableAfter: 5_000 });
    expect(serve(() => undefined, absent)).toBeTypeOf('function');
    verifyCodec(lines({ maxLength: undefined, delimiter: undefined }), ['a'], { ...absent, lastFrameMayBeOpen: true });
    expect(listenSettings({ proxyProtocol: { trusted: [], ...absent } }).proxyProtocol).toEqual({ trusted: [] });
  });

  it('A5: the smallest and the largest permitted values are valid', () => {
    for (const value of [0, 0.5, 1, 2 ** 31 - 1]) {
      const all = Object.fromEntries([...durations, 'connectTimeout'].map((name) => [name, value]));
      expect(connectSettings(all)).toMatchObject(all);
      expect(listenSettings(all)).toMatchObject({ idleTimeout: value });
    }
    for (const value of [1, 2 ** 31 - 1]) {
      const all = Object.fromEntries([...sizes, ...counts].map((name) => [name, value]));
      expect(listenSettings(all)).toMatchObject(all);
    }
    expect(listenSettings({ maxBuffered: 2 ** 53 - 1, highWaterMark: 2 ** 53 - 1 }).highWaterMark).toBe(2 ** 53 - 1);
  });

  it('C21: a `highWaterMark` over `maxBuffered` counts as `maxBuffered`', () => {
    expect(listenSettings({ maxBuffered: 1_000 }).highWaterMark).toBe(1_000);
    expect(connectSettings({ maxBuffered: 1_000, highWaterMark: 2_000 }).highWaterMark).toBe(1_000);
    expect(connectSettings({ maxBuffered: 1_000, highWaterMark: 500 }).highWaterMark).toBe(500);
  });

  it("A5: the caller's objects are not changed, and can be frozen", async () => {
    const address = Object.freeze({ port: 0 });
    const options = { codec: lines(), idleTimeout: 5 };
    const before = { ...options };
    const server = listen(address, Object.freeze(options));
    void connect(Object.freeze({ port: 1 }), Object.freeze({ ...options }));
    expect(options).toEqual(before);
    expect(server.connections.size).toBe(0);
  });
});

describe('a bad address', () => {
  const bad: [what: string, address: unknown, named: string][] = [
    ['port -1', { port: -1 }, 'port'],
    ['port 65536', { port: 65_536 }, 'port'],
    ["port '80x'", { port: '80x' }, 'port'],
    ['port 1.5', { port: 1.5 }, 'port'],
    ['port NaN', { port: Number.NaN }, 'port'],
    ['port null', { port: null }, 'port'],
    ['port undefined', { port: undefined }, 'port'],
    ['port and path', { port: 80, path: '/tmp/x' }, 'path'],
    ['an empty object', {}, 'port'],
    ["host ''", { port: 80, host: '' }, 'host'],
    ['host []', { port: 80, host: [] }, 'host'],
    ["host 'a b'", { port: 80, host: 'a b' }, 'host'],
    ['an unknown service', { service: 'no-such-service' }, 'service'],
    ['a path of 108 bytes', { path: `/${'x'.repeat(107)}` }, 'path'],
    ['a path of 36 characters with 3 bytes each', { path: '€'.repeat(36) }, 'path'],
    ['a path with NUL', { path: '/tmp/a\0b' }, 'path'],
    ["path ''", { path: '' }, 'path'],
    ["path ' '", { path: ' ' }, 'path'],
    ['an abstract name of 108 bytes', `unix:@${'x'.repeat(108)}`, 'path'],
    ['null', null, 'address'],
    ['undefined', undefined, 'address'],
    ['an array', [80], 'address'],
    ['http', 'http://localhost', 'address'],
  ];

  it.each(bad)('A5: listen and connect throw at once for %s, naming the bad part', (_what, address, named) => {
    for (const create of [listen, connect]) {
      const error = refusal(() => create(address as AddressInput, { transport: untouched() }));
      expect(error.code).toBe('ERR_ADDRESS_INVALID');
      expect(error.message).toContain(named);
    }
  });

  it.each<[string, AddressInput]>([
    ['port 0', { port: 0 }],
    ['port 0 in a string', 'tcp://localhost:0'],
    ['a descriptor', { fd: 3 }],
    ['an unnamed socket', { transport: 'unix', path: '' }],
  ])('A5: connect refuses %s', (_what, address) => {
    expect(refusal(() => connect(address, { transport: untouched() })).code).toBe('ERR_ADDRESS_INVALID');
  });

  it('A5: the default transport refuses a memory address', () => {
    for (const create of [listen, connect]) {
      expect(refusal(() => create('memory:somewhere'))).toMatchObject({
        code: 'ERR_ADDRESS_INVALID',
        message: expect.stringContaining('memory'),
      });
    }
  });

  it('A5: a server at a tls: address needs the option tls', () => {
    expect(refusal(() => listen('tls://localhost:443'))).toMatchObject({
      code: 'ERR_OPTION_INVALID',
      message: expect.stringMatching(/^tls: /),
    });
  });

  it('A5: the memory transport refuses TLS and descriptors', () => {
    const transport = memoryTransport();
    expect(refusal(() => listen('tls://localhost:443', { transport })).code).toBe('ERR_ADDRESS_INVALID');
    expect(refusal(() => connect('tls://localhost:443', { transport })).code).toBe('ERR_ADDRESS_INVALID');
    expect(refusal(() => listen('fd:3', { transport })).code).toBe('ERR_ADDRESS_INVALID');
  });
});
