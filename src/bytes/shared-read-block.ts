/**
 * The memory that all sockets without TLS read into, one at a time. It saves an allocation for each chunk.
 *
 * A chunk in this block is borrowed. It is valid only until its delivery ends, because the next chunk of any socket
 * overwrites it. `ChunkQueue` copies the bytes that a reader may keep. Other code has to check `isShared`.
 */
export const readBlock: Buffer = Buffer.allocUnsafeSlow(65_536);

const memory: ArrayBufferLike = readBlock.buffer;

export function isShared(bytes: Uint8Array): boolean {
  return bytes.buffer === memory;
}
