/**
 * The memory that all sockets without TLS read into, one after the other. It saves an allocation for each chunk, and it
 * stays in the processor's cache.
 *
 * A chunk in it is borrowed: the next chunk of any socket overwrites it, so its bytes are valid only until its delivery
 * ends. The `ChunkQueue` copies what somebody may keep. Whoever gets bytes in another way asks `isShared`.
 */
export const readBlock: Buffer = Buffer.allocUnsafeSlow(65_536);

const memory: ArrayBufferLike = readBlock.buffer;

/** Whether `bytes` lie in the shared read block. */
export function isShared(bytes: Uint8Array): boolean {
  return bytes.buffer === memory;
}
