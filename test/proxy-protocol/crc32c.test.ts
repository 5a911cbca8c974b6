import { describe, expect, it } from 'vitest';
import { crc32c } from '../../src/proxy-protocol/crc32c.js';

describe('CRC-32C', () => {
  it.each<[string, Uint8Array, number]>([
    ['no bytes', Buffer.alloc(0), 0],
    ['the check input of the CRC catalogues', Buffer.from('123456789'), 0xe3069283],
    ['32 zeros (RFC 3720, B.4)', Buffer.alloc(32), 0x8a9136aa],
    ['32 times 0xff (RFC 3720, B.4)', Buffer.alloc(32, 0xff), 0x62a8ab43],
    ['the bytes 0 to 31 (RFC 3720, B.4)', Buffer.from(Array.from({ length: 32 }, (_, at) => at)), 0x46dd794e],
    ['the bytes 31 to 0 (RFC 3720, B.4)', Buffer.from(Array.from({ length: 32 }, (_, at) => 31 - at)), 0x113fdb5c],
    ['a header of haproxy 2.6', Buffer.from('0d0a0d0a000d0a515549540a2000000703000400000000', 'hex'), 0xa9b87e8f],
  ])('is correct for %s', (_, bytes, sum) => {
    expect(crc32c(bytes)).toBe(sum);
  });
});
