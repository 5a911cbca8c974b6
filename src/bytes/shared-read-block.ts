/**
 * The memory that all sockets without TLS read into, one at a time. It saves an allocation for each chunk, and stays in the
 * processor's cache.
 *
 * A chunk in it is borrowed: the next chunk of any socket overwrites it, so its bytes are valid only until its delivery ends.
 * `ChunkQueue` copies the bytes that a reader may keep. Code that does not get its bytes from a
 * `ChunkQueue` has to check `isShared`.
 */
export const readBlock: Buffer = Buffer.allocUnsafeSlow(65_536);

const memory: ArrayBufferLike = readBlock.buffer;

/** Whether `bytes` are in the shared read block. */
export function isShared(bytes: Uint8Array): boolean {
  return bytes.buffer === memory;
}
