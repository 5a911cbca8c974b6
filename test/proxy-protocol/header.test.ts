import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAddress } from '../../src/address-parsing/parse-address.js';
import { formatAddress } from '../../src/address/format-address.js';
import { CountingQueue } from '../../src/testing/counting-queue.js';
import { ChunkQueue } from '../../src/bytes/chunk-queue.js';
import { chunksOf, chunkSizes } from '../support/bytes/arbitrary-chunks.js';
import { proxyHeader, signature, triple, version2 } from '../support/proxy-protocol/arbitrary-header.js';
import { type Outcome, outcomeOf, singles } from '../support/proxy-protocol/parse-outcome.js';

/** The longest possible header. */
const longest = 4_096;

/** Bytes that are a header, almost a header, or something else. */
const anyBytes = (): fc.Arbitrary<Buffer> =>
  fc.oneof(
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.constantFrom(signature, Buffer.from('PROXY '), Buffer.from('PROXY TCP6 ')), fc.uint8Array())
        .map((parts) => Buffer.concat(parts)),
    },
    {
      weight: 3,
      arbitrary: fc
        .tuple(proxyHeader(), fc.array(fc.tuple(fc.nat(300), fc.nat(255)), { maxLength: 2 }), fc.nat(300))
        .map(([{ bytes }, changes, cut]) => {
          const changed = Buffer.from(bytes);
          for (const [at, byte] of changes) if (at < changed.length) changed[at] = byte;
          return cut % 2 === 0 ? changed : changed.subarray(0, cut);
        }),
    },
  );

describe('a PROXY header', () => {
  it('S2: names its client for every chunking, whatever bytes follow', () => {
    fc.assert(
      fc.property(proxyHeader(), fc.uint8Array({ maxLength: 200 }), chunkSizes(), ({ bytes, remote }, more, sizes) => {
        const stream = Buffer.concat([bytes, more]);
        const expected = { remote, length: bytes.length };
        expect(outcomeOf([stream])).toStrictEqual(expected);
        expect(outcomeOf(chunksOf(stream, sizes))).toStrictEqual(expected);
        expect(outcomeOf(singles(bytes))).toStrictEqual(expected);
      }),
      { numRuns: 300 },
    );
  });

  it('S2: is incomplete until its last byte', () => {
    fc.assert(
      fc.property(proxyHeader(), fc.double({ min: 0, max: 1, noNaN: true }), ({ bytes }, part) => {
        expect(outcomeOf([bytes.subarray(0, Math.floor(part * (bytes.length - 1)))])).toBe('more');
        expect(outcomeOf([bytes.subarray(0, -1)])).toBe('more');
      }),
      { numRuns: 500 },
    );
  });

  it('S2: stays in the queue while it is parsed, like the bytes after it', () => {
    fc.assert(
      fc.property(anyBytes(), chunkSizes(), (bytes, sizes) => {
        const queue = new ChunkQueue();
        const outcome = outcomeOf(chunksOf(bytes, sizes), queue);
        expect(queue.position).toBe(0);
        expect(queue.peek(queue.length).equals(bytes.subarray(0, queue.length))).toBe(true);
        if (typeof outcome === 'object') expect(queue.length).toBeGreaterThanOrEqual(outcome.length);
      }),
    );
  });

  it('S2: whatever its bytes, is accepted, incomplete or refused, and in the same way for every chunking', () => {
    fc.assert(
      fc.property(anyBytes(), chunkSizes(), (bytes, sizes) => {
        const outcome: Outcome = outcomeOf([bytes]);
        if (typeof outcome === 'string') expect(['more', 'ERR_PROXY_HEADER']).toContain(outcome);
        expect(outcomeOf(chunksOf(bytes, sizes))).toStrictEqual(outcome);
        expect(outcomeOf(singles(bytes))).toStrictEqual(outcome);
      }),
      { numRuns: 1_000 },
    );
  });

  it('S2: is complete or refused after at most 4,096 bytes', () => {
    const begin = fc.constantFrom(
      Buffer.from('PROXY UNKNOWN '),
      Buffer.from('PROXY TCP6 '),
      version2({ length: longest - 16 }),
      version2({ command: 0x20, length: longest - 16 }),
      version2({ command: 0x20, length: longest - 15 }),
      version2({ length: 0xffff }),
    );
    fc.assert(
      fc.property(begin, fc.nat(255), (begin, byte) => {
        expect(outcomeOf([Buffer.concat([begin, Buffer.alloc(longest, byte)])])).not.toBe('more');
      }),
    );
  });

  it('S2: names addresses that can be formatted and parsed again', () => {
    fc.assert(
      fc.property(proxyHeader(), ({ bytes }) => {
        const outcome = outcomeOf([bytes]);
        if (typeof outcome === 'string') throw new Error(outcome);
        const { remote } = outcome;
        if (remote === undefined || formatAddress(remote) === 'unix:') return;
        expect(parseAddress(formatAddress(remote))).toStrictEqual(remote);
      }),
    );
  });

  it('S2: takes bounded work to parse, even one byte at a time', () => {
    const longest2 = version2({ triples: [triple(4, Buffer.alloc(4_065))] });
    const longest1 = Buffer.from(`PROXY UNKNOWN ${'x'.repeat(91)}\r\n`);
    for (const [bytes, most] of [
      [longest2, 25 * longest],
      [longest1, 107 * 107],
    ] as const) {
      const queue = new CountingQueue();
      expect(outcomeOf(singles(bytes), queue)).toMatchObject({ length: bytes.length });
      expect(queue.examined).toBeLessThan(most);
    }
  });
});
