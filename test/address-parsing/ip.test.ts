import net from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ipBytes, ipText, isIPv4, isIPv6, unmapped } from '../../src/address-parsing/ip.js';
import { canonicalHost, ipV6Groups, ipV6Text } from '../support/proxy-protocol/arbitrary-header.js';

const nearlyIP = (): fc.Arbitrary<string> =>
  fc.oneof(
    fc.ipV4(),
    ipV6Groups().chain(ipV6Text),
    fc.string({ unit: fc.constantFrom(...'0123456789abcdefABCDEF:.::..%/g '), maxLength: 45 }),
    fc
      .tuple(
        fc.oneof(fc.ipV4(), ipV6Groups().chain(ipV6Text)),
        fc.nat(45),
        fc.constantFrom(...':.0a1', '::', '256', ''),
      )
      .map(([text, at, more]) => text.slice(0, at) + more + text.slice(at)),
  );

describe('IP addresses', () => {
  it('are what Node takes for them', () => {
    fc.assert(
      fc.property(nearlyIP(), (text) => {
        fc.pre(!text.includes('%')); // a zone, which Node takes and a header can't have
        expect([isIPv4(text), isIPv6(text)]).toStrictEqual([net.isIPv4(text), net.isIPv6(text)]);
        expect(ipBytes(text)?.length).toBe({ 0: undefined, 4: 4, 6: 16 }[net.isIP(text)]);
      }),
      { numRuns: 2_000 },
    );
  });

  it('have no zone, no brackets, and nothing else around them', () => {
    for (const text of [
      'fe80::1%eth0',
      '[::1]',
      '::1]',
      '::1 ',
      ' ::1',
      '::1\n',
      '127.0.0.1\n',
      '1.2.3.4/8',
      '',
      'localhost',
    ])
      expect(ipBytes(text), text).toBe(undefined);
  });

  it('have one canonical form, however they are written', () => {
    const written = ipV6Groups().chain((groups) => fc.tuple(fc.constant(groups), ipV6Text(groups)));
    fc.assert(
      fc.property(written, ([groups, text]) => {
        const bytes = ipBytes(text)!;
        expect(bytes).toStrictEqual(Buffer.from(groups.flatMap((group) => [group >> 8, group & 0xff])));
        expect(ipText(unmapped(bytes))).toBe(canonicalHost(groups));
      }),
    );
  });

  it('have the canonical form that Node gives to the address of a peer', () => {
    fc.assert(
      fc.property(ipV6Groups(), (groups) => {
        fc.pre(groups.slice(0, 6).some((group) => group !== 0)); // 'IPv4-compatible' ones, which nobody uses any more
        const text = ipText(Buffer.from(groups.flatMap((group) => [group >> 8, group & 0xff])));
        const { address } = new net.SocketAddress({ address: text, family: 'ipv6' });
        expect(ipText(unmapped(ipBytes(text)!))).toBe(address.replace(/^::ffff:(?=.*\.)/, ''));
      }),
    );
    fc.assert(
      fc.property(fc.ipV4(), (text) => {
        expect(ipText(ipBytes(text)!)).toBe(text);
      }),
    );
  });
});
