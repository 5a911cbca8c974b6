import net from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Address } from '../../src/address/address.js';
import { trustedPeers } from '../../src/proxy-protocol/trusted-peers.js';
import { canonicalHost, ipV6Groups, ipV6Text } from '../support/proxy-protocol/arbitrary-header.js';
import { refusal } from '../support/errors/refusal.js';

const tcp = (host: string): Address => ({ transport: 'tcp', host, port: 7 });

describe('proxyProtocol.trusted', () => {
  it.each<[string[], string[], string[]]>([
    [['127.0.0.1'], ['127.0.0.1', '::ffff:127.0.0.1', '::FFFF:7f00:1'], ['127.0.0.2', '::1', '::127.0.0.1']],
    [['::1'], ['::1', '0:0::1'], ['::2', '127.0.0.1', '::ffff:0.0.0.1']],
    [['10.0.0.0/8'], ['10.0.0.0', '10.255.255.255', '::ffff:10.1.2.3'], ['11.0.0.0', '9.255.255.255', 'a00::']],
    [['10.1.2.3/8'], ['10.9.9.9'], ['11.1.2.3']],
    [['192.168.4.0/22'], ['192.168.4.0', '192.168.7.255'], ['192.168.3.255', '192.168.8.0']],
    [['192.0.2.7/32'], ['192.0.2.7'], ['192.0.2.6']],
    [['0.0.0.0/0'], ['1.2.3.4', '::ffff:1.2.3.4'], ['::', '::1']],
    [['::/0'], ['::', '2001:db8::1'], ['1.2.3.4', '::ffff:1.2.3.4']],
    [['::/80'], ['::1'], ['1.2.3.4', '::ffff:1.2.3.4']],
    [['2001:db8::/33'], ['2001:db8:7fff::1'], ['2001:db8:8000::', '2001:db9::']],
    [['2001:DB8::5/128'], ['2001:db8:0:0::5'], ['2001:db8::4']],
    [['::ffff:10.0.0.0/104'], ['10.9.9.9', '::ffff:10.9.9.9'], ['11.0.0.0']],
    [['::ffff:10.0.0.1'], ['10.0.0.1'], ['10.0.0.2']],
    [['fe80::/10'], ['fe80::1%eth0', 'fe80::1'], ['fec0::1%eth0']],
    [
      ['10.0.0.1', 'fd00::/8', '10.0.0.3'],
      ['10.0.0.1', '10.0.0.3', 'fd12::1'],
      ['10.0.0.2', 'fe00::'],
    ],
    [[], [], ['127.0.0.1', '::1']],
    [['unix', 'memory'], [], ['127.0.0.1', '::1']],
  ])('%o trusts %o and not %o', (list, trusted, others) => {
    const isTrusted = trustedPeers(list);
    for (const host of trusted) expect(isTrusted(tcp(host)), host).toBe(true);
    for (const host of others) expect(isTrusted(tcp(host)), host).toBe(false);
  });

  it('trusts the peers of a unix socket or of memory only if it contains "unix" or "memory"', () => {
    const peers: Address[] = [
      { transport: 'unix', path: '' },
      { transport: 'unix', path: '/run/unix' },
      { transport: 'memory', name: 'unix' },
      { transport: 'fd', fd: 3 },
    ];
    const judged = (list: string[]): boolean[] => peers.map(trustedPeers(list));
    expect(judged(['0.0.0.0/0', '::/0'])).toStrictEqual([false, false, false, false]);
    expect(judged(['unix'])).toStrictEqual([true, true, false, false]);
    expect(judged(['unix:'])).toStrictEqual([true, true, false, false]);
    expect(judged(['memory', '10.0.0.1'])).toStrictEqual([false, false, true, false]);
  });

  it('trusts no peer whose host is not an IP address', () => {
    const isTrusted = trustedPeers(['0.0.0.0/0', '::/0', 'unix']);
    for (const host of ['localhost', '', 'unix', '1.2.3', '%eth0']) expect(isTrusted(tcp(host)), host).toBe(false);
  });

  it('makes the same decisions as net.BlockList', () => {
    const entry = fc.oneof(
      fc.tuple(fc.ipV4(), fc.nat(32), fc.constant('ipv4' as const)),
      fc.tuple(ipV6Groups().filter(isNative).chain(ipV6Text), fc.nat(128), fc.constant('ipv6' as const)),
    );
    const near = fc.tuple(entry, fc.nat(127)).map(([[address, prefix, family], bit]) => ({
      entry: `${address}/${prefix}`,
      rule: [address, prefix, family] as const,
      peer: flipped(address, bit),
      family,
    }));
    fc.assert(
      fc.property(near, ({ entry, rule, peer, family }) => {
        const list = new net.BlockList();
        list.addSubnet(...rule);
        expect(trustedPeers([entry])(tcp(peer))).toBe(list.check(peer, family));
      }),
      { numRuns: 500 },
    );
  });

  it('is copied, so a later change of the list has no effect', () => {
    const list = ['127.0.0.1'];
    const isTrusted = trustedPeers(list);
    list[0] = '127.0.0.2';
    expect(isTrusted(tcp('127.0.0.1'))).toBe(true);
    expect(isTrusted(tcp('127.0.0.2'))).toBe(false);
  });

  it.each<[unknown]>([
    ['127.0.0.1'],
    [undefined],
    [null],
    [{}],
    [new Set(['127.0.0.1'])],
    [[7]],
    [[undefined]],
    [[['127.0.0.1']]],
    [['']],
    [['localhost']],
    [['UNIX']],
    [['/run/app.sock']],
    [['unix:/run/app.sock']],
    [['unix::']],
    [['*']],
    [['127.0.0.1 ']],
    [['127.0.0.1:80']],
    [['127.1']],
    [['127.0.0.01']],
    [['256.0.0.1']],
    [['10.0.0.0/33']],
    [['10.0.0.0/08']],
    [['10.0.0.0/-1']],
    [['10.0.0.0/8.0']],
    [['10.0.0.0/']],
    [['/8']],
    [['10.0.0.0/8/8']],
    [['10.0.0.0/255.0.0.0']],
    [['::/129']],
    [['[::1]']],
    [['fe80::1%eth0']],
    [['127.0.0.1', '::1', 'proxy.internal']],
  ])('A5: refuses %o at once, and the error names the option', (list) => {
    const error = refusal(() => trustedPeers(list as string[]));
    expect(error.code).toBe('ERR_OPTION_INVALID');
    expect(error.message).toContain('proxyProtocol.trusted');
  });
});

/** False for an IPv4-mapped address, and for a block that contains such addresses. BlockList treats both as IPv6. */
function isNative(groups: readonly number[]): boolean {
  return groups.slice(0, 5).some((group) => group !== 0);
}

/** The address with one bit changed, inside or outside of a prefix. */
function flipped(address: string, bit: number): string {
  if (address.includes(':')) {
    const groups = new net.SocketAddress({ address, family: 'ipv6' }).address;
    const [front = '', back = ''] = groups.split('::');
    const [first, last] = [front, back].map((part) => (part === '' ? [] : part.split(':'))) as [string[], string[]];
    const all = [...first, ...Array<string>(8 - first.length - last.length).fill('0'), ...last];
    return canonicalHost(all.map((text, at) => parseInt(text, 16) ^ (at === bit >> 4 ? 1 << (15 - (bit & 15)) : 0)));
  }
  return address
    .split('.')
    .map((text, at) => Number(text) ^ (at === (bit & 31) >> 3 ? 1 << (7 - (bit & 7)) : 0))
    .join('.');
}
