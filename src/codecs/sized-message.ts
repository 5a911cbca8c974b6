import { awaitFrame } from '../bytes/chunk-queue.js';
import type { ByteQueue } from '../bytes/byte-queue.js';

/**
 * Takes a frame whose size is known, and returns its message. While bytes are missing it returns `undefined`, and the
 * queue gathers the frame as it arrives.
 *
 * @param before - the size of what precedes the message in the frame, in bytes
 * @param after - the size of what follows it
 */
export function takeSizedMessage(bytes: ByteQueue, before: number, size: number, after: number): Buffer | undefined {
  const frame = before + size + after;
  if (bytes.length < frame) {
    awaitFrame(bytes, frame);
    return undefined;
  }
  bytes.skip(before);
  const message = bytes.take(size);
  bytes.skip(after);
  return message;
}
