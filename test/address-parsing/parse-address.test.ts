import { existsSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assertDialable, parseAddress } from '../../src/address-parsing/parse-address.js';
import { formatAddress } from '../../src/address/format-address.js';
import type { Address, AddressInput } from '../../src/address/address.js';
import { SocketError } from '../../src/errors/socket-error.js';
import * as arbitrary from '../support/address/arbitrary-address.js';

const parse = (input: unknown): Address => parseAddress(input as AddressInput);

function refusal(act: () => unknown): SocketError {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(SocketError);
    return error as SocketError;
  }
  return expect.unreachable('the input was accepted');
}

/** Asserts that `parse` refuses `input`, and that the short error message names `option` and shows `value`. */
function refused(input: unknown, option: string, value: string): void {
  const { code, message } = refusal(() => parse(input));
  expect(code).toBe('ERR_ADDRESS_INVALID');
  expect(message.startsWith(`${option} `), message).toBe(true);
  expect(message).toContain(value);
  expect(message.length).toBeLessThan(300);
}

describe('parseAddress and formatAddress', () => {
  it('A1: formatting a parsed address and parsing the result gives the same address', () => {
    fc.assert(
      fc.property(arbitrary.addressInput(), (input) => {
        const address = parseAddress(input);
        expect(parseAddress(formatAddress(address))).toStrictEqual(address);
      }),
    );
  });

  it('A1: parseAddress accepts an Address object and does not change it', () => {
    fc.assert(
      fc.property(arbitrary.address(), (address) => {
        const parsed = parseAddress(Object.freeze(address));
        expect(parsed).toStrictEqual(address);
        expect(parsed).not.toBe(address);
        expect(parseAddress(formatAddress(address))).toStrictEqual(address);
      }),
    );
  });

  it.each<[AddressInput, Address, string]>([
    ['tcp://localhost:7000', { transport: 'tcp', host: 'localhost', port: 7000 }, 'tcp://localhost:7000'],
    ['tcp://localhost:007/', { transport: 'tcp', host: 'localhost', port: 7 }, 'tcp://localhost:7'],
    ['tls://[::1]:443', { transport: 'tcp', host: '::1', port: 443, tls: true }, 'tls://[::1]:443'],
    ['tcp://[fe80::1%eth0]:80', { transport: 'tcp', host: 'fe80::1%eth0', port: 80 }, 'tcp://[fe80::1%eth0]:80'],
    [new URL('tls://h:1/'), { transport: 'tcp', host: 'h', port: 1, tls: true }, 'tls://h:1'],
    [new URL('tcp://[::1]:80'), { transport: 'tcp', host: '::1', port: 80 }, 'tcp://[::1]:80'],
    [new URL('tcp://münchen:80'), { transport: 'tcp', host: 'münchen', port: 80 }, 'tcp://münchen:80'],
    [{ port: 0, host: '::' }, { transport: 'tcp', host: '::', port: 0 }, 'tcp://[::]:0'],
    [{ port: -0, host: 'h' }, { transport: 'tcp', host: 'h', port: 0 }, 'tcp://h:0'],
    ['unix:/run/a b%20?#', { transport: 'unix', path: '/run/a b%20?#' }, 'unix:/run/a b%20?#'],
    ['unix:app.sock', { transport: 'unix', path: 'app.sock' }, 'unix:app.sock'],
    ['unix:@app', { transport: 'unix', path: '\0app' }, 'unix:@app'],
    [new URL('unix:/run/a%20b'), { transport: 'unix', path: '/run/a b' }, 'unix:/run/a b'],
    [new URL('unix:///run/a'), { transport: 'unix', path: '/run/a' }, 'unix:/run/a'],
    [new URL('unix:@a%20b'), { transport: 'unix', path: '\0a b' }, 'unix:@a b'],
    [new URL('unix:%40app'), { transport: 'unix', path: './@app' }, 'unix:./@app'],
    [{ path: '\0app' }, { transport: 'unix', path: '\0app' }, 'unix:@app'],
    [{ path: '@app' }, { transport: 'unix', path: './@app' }, 'unix:./@app'],
    ['memory:a b', { transport: 'memory', name: 'a b' }, 'memory:a b'],
    [new URL('memory:a%20b'), { transport: 'memory', name: 'a b' }, 'memory:a b'],
    ['fd:3', { transport: 'fd', fd: 3 }, 'fd:3'],
    [{ fd: 0 }, { transport: 'fd', fd: 0 }, 'fd:0'],
  ])('A1: %o is parsed, and formatted in its canonical form', (input, address, text) => {
    expect(parseAddress(input)).toStrictEqual(address);
    expect(formatAddress(address)).toBe(text);
  });

  it('A1: parseAddress treats the host in a string as IPv6 exactly when Node does', () => {
    const hosts = fc.oneof(fc.ipV6(), fc.string({ unit: fc.constantFrom(...'0123abcdf:.'), maxLength: 20 }));
    fc.assert(
      fc.property(hosts, (host) => {
        const takes = (): Address => parseAddress(`tcp://[${host}]:80`);
        if (isIPv6(host)) expect(takes()).toStrictEqual({ transport: 'tcp', host, port: 80 });
        else refusal(takes);
      }),
    );
  });

  it('A1: the address of an unnamed unix socket can be formatted, but is refused by listen and connect (A4)', () => {
    expect(formatAddress({ transport: 'unix', path: '' })).toBe('unix:');
    refused('unix:', 'path', '""');
  });
});

describe('the host and the service of an address', () => {
  it.each([{ port: 7000 }, { port: 7000, host: undefined }, 'tcp://:7000', { transport: 'tcp', port: 7000 }])(
    'A2: an omitted host means loopback: %o',
    (input) => {
      expect(parse(input)).toStrictEqual({ transport: 'tcp', host: '127.0.0.1', port: 7000 });
    },
  );

  it.skipIf(!existsSync('/etc/services'))('A3: a service name is replaced by its port, even without a host', () => {
    expect(parseAddress({ service: 'http' })).toStrictEqual({ transport: 'tcp', host: '127.0.0.1', port: 80 });
    expect(parseAddress({ service: 'ftp', host: 'h' })).toStrictEqual({ transport: 'tcp', host: 'h', port: 21 });
    expect(parseAddress({ service: 'login' })).toStrictEqual({ transport: 'tcp', host: '127.0.0.1', port: 513 });
  });

  it.each([[''], ['no-such-service'], ['80'], [80], [null], [['http']]])('A3: the service %o is refused', (service) => {
    refused({ service }, 'service', typeof service === 'string' ? JSON.stringify(service) : String(service));
  });
});

describe('the path of a unix socket', () => {
  const wide = 'é'.repeat(53); // 106 bytes

  it.each([`${wide}a`, 'a'.repeat(107), `@${'a'.repeat(104)}`, `\0${'a'.repeat(107)}`, `\0${wide}a`])(
    'A4: is accepted if it has at most 107 bytes: %o',
    (path) => {
      expect(parse({ path })).toMatchObject({ transport: 'unix' });
    },
  );

  it.each([`${wide}aa`, 'a'.repeat(108), `@${'a'.repeat(105)}`, `\0${'a'.repeat(108)}`, `\0${wide}é`])(
    'A4: is refused if it has more than 107 bytes: %o',
    (path) => {
      refused({ path }, 'path', '107 bytes');
      refused({ transport: 'unix', path }, 'path', '107 bytes');
    },
  );

  it.each(['', ' ', '\t\n', '\0', '\0 ', 'a\0', '/a\0b', '\0a\0', '\0\0a', 'a\ud800'])(
    'A4: is refused if it is empty, blank, ill-formed or contains a NUL: %o',
    (path) => {
      refused({ path }, 'path', JSON.stringify(path));
      refused(path.startsWith('\0') ? `unix:@${path.slice(1)}` : `unix:${path}`, 'path', JSON.stringify(path));
    },
  );
});

describe('parseAddress', () => {
  it.each([[-1], [65_536], ['80x'], ['80'], [1.5], [NaN], [Infinity], [null], [[80]], [{}], [80n]])(
    'A5: refuses the port %o',
    (port) => {
      const value = typeof port === 'string' ? JSON.stringify(port) : '';
      refused({ port }, 'port', value);
      refused({ transport: 'tcp', host: 'h', port }, 'port', value);
    },
  );

  it.each(['', ' ', 'a b', 'a\tb', 'a\nb', 'a\0b', 'a/b', 'a\\b', '[::1]', '::g', 'h:80', 'u@h', 'a%b', '::1%', '*?#'])(
    'A5: refuses the host %o',
    (host) => {
      refused({ port: 80, host }, 'host', JSON.stringify(host));
      refused({ service: 'http', host }, existsSync('/etc/services') ? 'host' : 'service', '');
    },
  );

  it.each([[null], [7], [['a']], [{}]])('A5: refuses a host that is not a string: %o', (host) => {
    refused({ port: 80, host }, 'host', '');
  });

  it.each<[string, string]>([
    ['tcp://h', 'port'],
    ['tcp://h:', 'port'],
    ['tcp://', 'port'],
    ['tcp://h:80x', 'port'],
    ['tcp://h:-1', 'port'],
    ['tcp://h:1.5', 'port'],
    ['tcp://h:http', 'port'],
    ['tcp://h:65536', 'port'],
    ['tcp://h: 80', 'port'],
    ['tcp://a b:80', 'host'],
    ['tcp://[]:80', 'host'],
    ['tcp://[h]:80', 'host'],
    ['tcp://::1:80', 'host'],
    ['tcp://[::1]x:80', 'host'],
    ['tcp://u:p@h:80', 'address'],
    ['tcp://h:80/path', 'address'],
    ['tcp://h:80//', 'address'],
    ['tcp://h:80?q', 'address'],
    ['tcp://h:80#f', 'address'],
    ['tcp:h:80', 'address'],
    ['http://h:80', 'address'],
    ['localhost:80', 'address'],
    ['/run/app.sock', 'address'],
    [' tcp://h:80', 'address'],
    ['', 'address'],
    ['memory:', 'name'],
    ['fd:', 'fd'],
    ['fd:x', 'fd'],
    ['fd:-1', 'fd'],
    ['fd:99999999999', 'fd'],
  ])('A5: refuses %o, and the error names its %s', (input, option) => {
    refused(input, option, '');
  });

  it.each<[string, string]>([
    ['tcp://h', 'port'],
    ['tcp://u:p@h:80', 'address'],
    ['tcp://h:80/path', 'address'],
    ['tcp://h:80?q', 'address'],
    ['tcp://h:80#f', 'address'],
    ['tcp://a%20b:80', 'host'],
    ['tcp://a%2Fb:80', 'host'],
    ['tcp:h:80', 'address'],
    ['unix://host/a', 'address'],
    ['unix:/a?b', 'address'],
    ['unix:/a%ff', 'address'],
    ['unix:/a%00', 'path'],
    ['file:///a', 'address'],
    ['http://h:80', 'address'],
  ])('A5: refuses the URL %o, and the error names its %s', (input, option) => {
    refused(new URL(input), option, '');
  });

  it.each([[null], [undefined], [80], [true], [Symbol('a')], [() => 80], [['tcp://h:80']], [{}], [{ host: 'h' }]])(
    'A5: refuses a value that is not an address: %o',
    (input) => {
      refused(input, 'address', '');
    },
  );

  it.each([
    [{ port: 80, path: '/a' }],
    [{ port: 80, service: 'http' }],
    [{ path: '/a', fd: 3 }],
    [{ path: '/a', host: 'h' }],
    [{ port: undefined }],
    [{ address: '::', family: 'IPv6', port: 80 }],
    [{ port: 80, hots: '0.0.0.0' }],
    [{ port: 80, tls: true }],
    [{ transport: 'unix', path: '/a', port: 80 }],
    [new String('tcp://h:80')],
  ])('A5: refuses unknown or conflicting members: %o', (input) => {
    refused(input, 'address', '');
  });

  it.each<[object, string]>([
    [{ transport: 'udp', port: 80 }, 'transport'],
    [{ transport: null, port: 80 }, 'transport'],
    [{ transport: 'tcp', host: '', port: 80 }, 'host'],
    [{ transport: 'tcp', host: 'h', port: 80, tls: false }, 'tls'],
    [{ transport: 'unix', path: '' }, 'path'],
    [{ transport: 'unix' }, 'path'],
    [{ transport: 'memory', name: '' }, 'name'],
    [{ transport: 'memory', name: 7 }, 'name'],
    [{ transport: 'fd', fd: '3' }, 'fd'],
    [{ fd: -1 }, 'fd'],
    [{ fd: 1.5 }, 'fd'],
    [{ path: 7 }, 'path'],
    [{ path: ['/a'] }, 'path'],
  ])('A5: refuses the object %o, and the error names its %s', (input, option) => {
    refused(input, option, '');
  });

  it('A5: truncates a long value in the error message, and escapes control characters', () => {
    refused({ path: '/a'.repeat(10_000) }, 'path', '…');
    refused({ port: Array.from({ length: 10_000 }, () => 'x'.repeat(1000)) }, 'port', '…');
    expect(refusal(() => parse({ port: 1, host: 'a\u001b[31m' })).message).not.toContain('\u001b');
  });

  it('A5: turns any input into an address, or fails with ERR_ADDRESS_INVALID', () => {
    const members = {
      port: fc.anything(),
      host: fc.anything(),
      path: fc.anything(),
      transport: fc.constantFrom('tcp', 'unix'),
    };
    const anything = fc.oneof(fc.anything(), fc.record(members, { requiredKeys: [] }), fc.webUrl());
    fc.assert(
      fc.property(anything, (input) => {
        try {
          const address = parse(input);
          expect(parseAddress(formatAddress(address))).toStrictEqual(address);
        } catch (error) {
          expect(error).toMatchObject({ name: 'SocketError', code: 'ERR_ADDRESS_INVALID' });
        }
      }),
    );
  });

  it.each<[Address, string]>([
    [{ transport: 'tcp', host: 'h', port: 0 }, 'port'],
    [{ transport: 'fd', fd: 3 }, 'fd'],
    [{ transport: 'unix', path: '' }, 'path'],
  ])('A5: connect refuses the address %o', (address, option) => {
    const { code, message } = refusal(() => {
      assertDialable(address);
    });
    expect(code).toBe('ERR_ADDRESS_INVALID');
    expect(message.startsWith(`${option} `)).toBe(true);
  });

  it.each(['tcp://h:1', 'unix:/a', 'unix:@a', 'memory:a'])('A5: connect accepts the address %s', (input) => {
    assertDialable(parseAddress(input));
  });
});
