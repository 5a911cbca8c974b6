import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Address } from '../../src/address/address.js';
import { ChunkQueue } from '../../src/bytes/chunk-queue.js';
import { parseProxyHeader } from '../../src/proxy-protocol/parse-proxy-header.js';
import {
  namedVersion2,
  signature,
  someAddresses,
  someRemote,
  triple,
  type Version2,
  version2,
} from '../support/proxy-protocol/arbitrary-header.js';
import { outcomeOf, refusedAt, singles } from '../support/proxy-protocol/parse-outcome.js';

const nothing = Buffer.alloc(0);
const text = (value: string): Buffer => Buffer.from(value);
const unixPair = (source: Uint8Array, destination: Uint8Array = nothing): Buffer => {
  const addresses = Buffer.alloc(216);
  addresses.set(source, 0);
  addresses.set(destination, 108);
  return addresses;
};
const unix = (path: string): Address => ({ transport: 'unix', path });
const ipV6Pair = Buffer.from(`20010db8${'00'.repeat(11)}07${'00'.repeat(15)}01c35001bb`, 'hex');
const mappedPair = Buffer.from(`${'00'.repeat(10)}ffffc0000207${'00'.repeat(10)}ffffc6336401c35001bb`, 'hex');

/** `bytes` with one bit of the last byte changed. */
const broken = (bytes: Buffer): Buffer => Buffer.concat([bytes.subarray(0, -1), Buffer.of((bytes.at(-1) ?? 0) ^ 1)]);

describe('a PROXY header of version 2', () => {
  it.each<[string, Version2, Address | undefined]>([
    ['TCP over IPv4', {}, someRemote],
    ['TCP over IPv6', { kind: 0x21, addresses: ipV6Pair }, { transport: 'tcp', host: '2001:db8::7', port: 50_000 }],
    ['TCP over IPv6, an IPv4-mapped address', { kind: 0x21, addresses: mappedPair }, someRemote],
    ['unix', { kind: 0x31, addresses: unixPair(text('/run/a b')) }, unix('/run/a b')],
    ['unix, UTF-8', { kind: 0x31, addresses: unixPair(text('/é€😀')) }, unix('/é€😀')],
    ['unix, the longest path', { kind: 0x31, addresses: unixPair(Buffer.alloc(107, 'x')) }, unix('x'.repeat(107))],
    ['unix, unnamed', { kind: 0x31, addresses: unixPair(nothing) }, unix('')],
    ['unix, a NUL first', { kind: 0x31, addresses: unixPair(text('\0abstract')) }, unix('')],
    ['unix, garbage after the NUL', { kind: 0x31, addresses: unixPair(text('/a\0garbage')) }, unix('/a')],
    ['unix, a path that looks abstract', { kind: 0x31, addresses: unixPair(text('@a')) }, unix('./@a')],
    ['unix, any destination', { kind: 0x31, addresses: unixPair(text('/a'), Buffer.alloc(108, 0xff)) }, unix('/a')],
    ['triples of unknown types', { triples: [triple(0xee, text('x')), triple(0x04, nothing)] }, someRemote],
    ['a checksum', { checksum: true }, someRemote],
    ['a checksum among triples', { triples: [triple(0x05, text('id'))], checksum: true }, someRemote],
    ['4,096 bytes', { triples: [triple(0x04, Buffer.alloc(4_096 - 16 - 12 - 3))] }, someRemote],
    ['LOCAL', { command: 0x20, kind: 0, addresses: nothing }, undefined],
    ['LOCAL with addresses', { command: 0x20 }, undefined],
    ['LOCAL with fewer bytes than its family has', { command: 0x20, addresses: nothing }, undefined],
    ['LOCAL with an unknown family', { command: 0x20, kind: 0xff, addresses: text('whatever') }, undefined],
    ['LOCAL with malformed triples', { command: 0x20, kind: 0, addresses: Buffer.of(1, 0, 200, 1) }, undefined],
    ['LOCAL with a checksum', { command: 0x20, kind: 0, addresses: nothing, checksum: true }, undefined],
    ['datagrams over IPv4', { kind: 0x12 }, undefined],
    ['datagrams over IPv6', { kind: 0x22, addresses: ipV6Pair }, undefined],
    ['datagrams over unix', { kind: 0x32, addresses: unixPair(text('/a')) }, undefined],
    ['an unspecified family', { kind: 0x00, addresses: nothing }, undefined],
    ['an unspecified family with addresses', { kind: 0x00, addresses: Buffer.alloc(20, 1) }, undefined],
    ['an unspecified family with a checksum', { kind: 0x00, addresses: nothing, checksum: true }, undefined],
  ])('S2: names its client: %s', (_, parts, remote) => {
    const bytes = version2(parts);
    const expected = { remote, length: bytes.length };
    expect(outcomeOf([bytes])).toStrictEqual(expected);
    expect(outcomeOf(singles(bytes))).toStrictEqual(expected);
    expect(outcomeOf([Buffer.concat([bytes, bytes])])).toStrictEqual(expected);
  });

  // The number says after how many bytes the header is refused.
  it.each<[string, Buffer, number]>([
    ['a wrong signature', Buffer.concat([signature.subarray(0, 11), text('X'), version2().subarray(12)]), 12],
    ['a signature that is wrong early', text('\r\n\r\n\r'), 5],
    ['a line end and no signature', text('\r\nPROXY'), 3],
    ['version 0', version2({ command: 0x01 }), 13],
    ['version 1', version2({ command: 0x11 }), 13],
    ['version 3', version2({ command: 0x31 }), 13],
    ['version 1 and LOCAL', version2({ command: 0x10 }), 13],
    ['command 2', version2({ command: 0x22 }), 13],
    ['command 15', version2({ command: 0x2f }), 13],
    ['family 4', version2({ kind: 0x41 }), 14],
    ['family 15', version2({ kind: 0xf1 }), 14],
    ['an unspecified family with the stream protocol', version2({ kind: 0x01, addresses: nothing }), 14],
    ['an unspecified protocol over IPv4', version2({ kind: 0x10 }), 14],
    ['protocol 3', version2({ kind: 0x13 }), 14],
    ['an unspecified family with protocol 15', version2({ kind: 0x0f }), 14],
    ['a length of 0 over IPv4', version2({ addresses: nothing }), 16],
    ['a length too short for IPv4', version2({ addresses: someAddresses.subarray(1) }), 16],
    ['a length too short for IPv6', version2({ kind: 0x21, addresses: ipV6Pair.subarray(1) }), 16],
    ['a length too short for datagrams over IPv6', version2({ kind: 0x22 }), 16],
    ['a length too short for unix', version2({ kind: 0x31, addresses: Buffer.alloc(215) }), 16],
    ['the length of IPv4 addresses, over IPv6', version2({ kind: 0x21 }), 16],
    ['4,097 bytes', version2({ triples: [triple(0x04, Buffer.alloc(4_097 - 16 - 12 - 3))] }), 16],
    ['65,551 bytes', version2({ length: 65_535 }), 16],
    ['LOCAL with 65,551 bytes', version2({ command: 0x20, length: 65_535 }), 16],
    ['a triple beyond the end', version2({ triples: [triple(0x02, text('host'), 5)] }), 35],
    ['a triple far beyond the end', version2({ triples: [triple(0x02, text('host'), 65_535)] }), 35],
    ['a second triple beyond the end', version2({ triples: [triple(4, nothing), triple(4, nothing, 1)] }), 34],
    ['a checksum after a triple beyond the end', version2({ triples: [triple(4, nothing, 8)], checksum: true }), 38],
    ['datagrams with a triple beyond the end', version2({ kind: 0x12, triples: [Buffer.of(1, 0, 1)] }), 31],
    ['one byte after the addresses', version2({ triples: [Buffer.of(4)] }), 29],
    ['two bytes after the triples', version2({ triples: [triple(4, nothing), Buffer.of(4, 0)] }), 33],
    [
      'a triple beyond the end, over IPv6',
      version2({ kind: 0x21, addresses: ipV6Pair, triples: [Buffer.of(1, 0, 1)] }),
      55,
    ],
    ['a bad checksum', broken(version2({ checksum: true })), 35],
    ['a checksum of 0', version2({ triples: [triple(0x03, Buffer.alloc(4))] }), 35],
    [
      'a LOCAL header with a bad checksum',
      broken(version2({ command: 0x20, kind: 0, addresses: nothing, checksum: true })),
      23,
    ],
    ['no family and a bad checksum', broken(version2({ kind: 0, addresses: nothing, checksum: true })), 23],
    ['a checksum of 3 bytes', version2({ triples: [triple(0x03, Buffer.alloc(3))] }), 34],
    ['a checksum of 8 bytes', version2({ triples: [triple(0x03, Buffer.alloc(8))] }), 39],
    ['two checksums', version2({ triples: [triple(0x03, Buffer.alloc(4))], checksum: true }), 42],
    ['a unix path without NUL', version2({ kind: 0x31, addresses: unixPair(Buffer.alloc(108, 'x')) }), 232],
    ['a unix path that is not UTF-8', version2({ kind: 0x31, addresses: unixPair(Buffer.of(0x2f, 0xff)) }), 232],
    ['a unix path that is blank', version2({ kind: 0x31, addresses: unixPair(text(' ')) }), 232],
  ])('S2: is refused: %s', (_, bytes, length) => {
    expect(refusedAt(bytes)).toBe(length);
    expect(outcomeOf([bytes])).toBe('ERR_PROXY_HEADER');
    expect(outcomeOf([bytes.subarray(0, length - 1)])).toBe('more');
  });

  it('S2: with a checksum, never names a different client after a change of one bit', () => {
    fc.assert(
      fc.property(namedVersion2({ checksum: true }), fc.nat(), ({ bytes, remote }, some) => {
        const changed = Buffer.from(bytes);
        const at = some % (bytes.length * 8);
        changed[at >> 3]! ^= 1 << (at & 7);
        const outcome = outcomeOf([changed]);
        // If the change makes the length larger, the header is incomplete. If the change makes the header LOCAL, the
        // checksum is wrong. A change in the type of the checksum's triple is not noticed, but the client is the same.
        if (typeof outcome === 'object') expect(outcome.remote, `bit ${at}`).toEqual(remote);
        else expect(outcome, `bit ${at}`).toBeOneOf(['ERR_PROXY_HEADER', 'more']);
      }),
      { numRuns: 1_000 },
    );
  });

  it('S2: allocates nothing for its announced length', () => {
    const { allocUnsafe, allocUnsafeSlow, alloc } = Buffer;
    const never = (): never => expect.unreachable('a Buffer was made');
    for (const [length, outcome] of [
      [65_535, 'ERR_PROXY_HEADER'],
      [4_080, 'more'],
    ] as const) {
      const queue = new ChunkQueue();
      queue.push(version2({ addresses: nothing, length }));
      Buffer.alloc = Buffer.allocUnsafe = Buffer.allocUnsafeSlow = never;
      try {
        expect(outcomeOf([nothing], queue)).toBe(outcome);
      } finally {
        Object.assign(Buffer, { alloc, allocUnsafe, allocUnsafeSlow });
      }
      if (outcome === 'more') expect(parseProxyHeader(queue)).toBe(undefined);
    }
  });
});
