/**
 * Slabs are blocks of memory in which small messages are collected. A slab is returned to the pool as soon as the
 * kernel has taken its bytes, so an idle connection has no slab.
 */
const freeSlabs = new Map<number, Buffer[]>([
  [1_024, []],
  [8_192, []],
  [32_768, []],
  [65_536, []],
]);

/** The maximum number of free slabs of each size in the pool. */
const maxFree = 8;

/** The maximum size of a slab in which small values are collected. */
export const slabLimit: number = 32_768;

/** Returns a slab of at least `size` bytes. A slab of more than 65,536 bytes is not reused. */
export function takeSlab(size: number): Buffer {
  const bytes = size <= 1_024 ? 1_024 : size <= 8_192 ? 8_192 : size <= 32_768 ? 32_768 : Math.max(size, 65_536);
  return freeSlabs.get(bytes)?.pop() ?? Buffer.allocUnsafeSlow(bytes);
}

/** Returns a slab to the pool. The caller must not use the slab afterwards. */
export function returnSlab(slab: Buffer): void {
  const list = freeSlabs.get(slab.length);
  if (list !== undefined && list.length < maxFree) list.push(slab);
}
