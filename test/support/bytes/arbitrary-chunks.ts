import fc from 'fast-check';

/** Sizes for `chunksOf`, each at least 1. Many are 1, and some are larger than the first block that `lines` decodes. */
export const chunkSizes = (): fc.Arbitrary<readonly number[]> =>
  fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.integer({ min: 1, max: 8 }) },
      { weight: 2, arbitrary: fc.integer({ min: 1, max: 300 }) },
      { weight: 1, arbitrary: fc.integer({ min: 1, max: 5_000 }) },
    ),
    { minLength: 1, maxLength: 12 },
  );

/** Cuts `bytes` into chunks of the given sizes. After the last size, the first size follows again. */
export function chunksOf(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0, index = 0; at < bytes.length; index++) {
    const size = sizes[index % sizes.length] ?? 1;
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}
