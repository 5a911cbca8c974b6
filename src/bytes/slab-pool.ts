/**
 * Blocks of memory that small messages are collected in, handed from connection to connection: a block is given back
 * as soon as the kernel has taken what was in it, so that idle connections own none.
 */
const smallest = 1_024;
const largest = 32_768;
const kept = 8;

const free = new Map<number, Buffer[]>([
  [1_024, []],
  [8_192, []],
  [32_768, []],
  [65_536, []],
]);

/** The largest block that small values are gathered in: what is longer is better sent by reference. */
export const slabLimit: number = largest;

/** Gives a block of at least `size` bytes; from 65,537 on, one that does not serve again. */
export function takeSlab(size: number): Buffer {
  const bytes =
    size <= smallest ? smallest : size <= 8_192 ? 8_192 : size <= largest ? largest : Math.max(size, 65_536);
  return free.get(bytes)?.pop() ?? Buffer.allocUnsafeSlow(bytes);
}

/** Gives a block back, which must not be used any more. */
export function returnSlab(slab: Buffer): void {
  const list = free.get(slab.length);
  if (list !== undefined && list.length < kept) list.push(slab);
}
