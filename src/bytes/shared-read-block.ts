/**
 * The memory that all sockets without TLS read into, one socket at a time. The block saves an allocation for each
 * chunk.
 *
 * A chunk in this block is borrowed. A borrowed chunk is valid only until it has been delivered to the subscribers,
 * because the next chunk of any socket overwrites the block. `ChunkQueue` copies the bytes that a reader may keep.
 * Other code that keeps bytes has to copy them if `isShared` returns true.
 */
export const readBlock: Buffer = Buffer.allocUnsafeSlow(65_536);

const memory: ArrayBufferLike = readBlock.buffer;

export function isShared(bytes: Uint8Array): boolean {
  return bytes.buffer === memory;
}
