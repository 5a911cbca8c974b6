/** The Castagnoli polynomial, with its bits reversed. */
const polynomial = 0x82f63b78;

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? polynomial : 0);
  return value;
});

/**
 * Computes the CRC-32C of `bytes` as an unsigned 32-bit integer. Node offers only zlib's CRC-32, which uses a different
 * polynomial.
 *
 * @see https://www.rfc-editor.org/rfc/rfc4960#appendix-B
 */
export function crc32c(bytes: Uint8Array): number {
  let value = 0xffff_ffff;
  for (const byte of bytes) value = table[(value ^ byte) & 0xff]! ^ (value >>> 8);
  return ~value >>> 0;
}
