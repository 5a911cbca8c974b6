import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalIp, ipFamily } from '../../src/address-parsing/ip.js';
import { canonicalHost, ipV6Groups, ipV6Text } from '../support/proxy-protocol/arbitrary-header.js';

describe('ipFamily', () => {
  it.each<[string, 4 | 6]>([
    ['127.0.0.1', 4],
    ['0.0.0.0', 4],
    ['::', 6],
    ['::1', 6],
    ['::ffff:127.0.0.1', 6],
    ['FE80::1', 6],
    ['fe80::1%eth0', 6],
    ['fe80::1%7', 6],
  ])('of %s is %i', (text, family) => {
    expect(ipFamily(text)).toBe(family);
  });

  it.each([
    '',
    'localhost',
    '127.1',
    '127.0.0.01',
    '256.0.0.1',
    '1.2.3.4/8',
    '127.0.0.1%eth0',
    '127.0.0.1\n',
    '::1\n',
    '::1 ',
    ' ::1',
    '::g',
    '1:::2',
    '[::1]',
    '::1]',
    '::1%',
    '::1%a b',
    '::1%a%b',
    '%eth0',
  ])('refuses %j', (text) => {
    expect(ipFamily(text)).toBe(undefined);
  });
});

describe('canonicalIp', () => {
  it('writes an IPv6 address in canonical form, and an IPv4-mapped address as IPv4', () => {
    const written = ipV6Groups().chain((groups) => fc.tuple(fc.constant(groups), ipV6Text(groups)));
    fc.assert(
      fc.property(written, ([groups, text]) => {
        expect(canonicalIp(text)).toBe(canonicalHost(groups));
      }),
    );
  });

  it('returns an IPv4 address unchanged', () => {
    fc.assert(
      fc.property(fc.ipV4(), (text) => {
        expect(canonicalIp(text)).toBe(text);
      }),
    );
  });

  it.each(['', 'localhost', '127.1', '1.2.3.4/8', '[::1]', 'fe80::1%eth0', '::1\n'])('refuses %j', (text) => {
    expect(canonicalIp(text)).toBe(undefined);
  });
});
