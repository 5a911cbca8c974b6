import type { Codec, Decoder } from '../../../src/codecs/codec.js';
import type { ByteQueue } from '../../../src/bytes/byte-queue.js';
import { SocketError, type SocketErrorCode } from '../../../src/errors/socket-error.js';
import { ChunkQueue } from '../../../src/bytes/chunk-queue.js';

/** The decoded messages, the code of the error that ended the stream, and how many bytes were left in the queue. */
export interface Received<T> {
  readonly messages: readonly T[];
  readonly error: SocketErrorCode | undefined;
  readonly left: number;
}

/** Feeds `chunks` to a decoder of `codec` and then ends the stream, as a channel does. */
export function receive<T>(
  codec: Codec<T, never>,
  chunks: Iterable<Buffer>,
  queue: ByteQueue & { push(chunk: Buffer): void } = new ChunkQueue(),
): Received<T> {
  const decoder: Decoder<T> = codec.decoder();
  const messages: T[] = [];
  const drain = (next: () => T | undefined): void => {
    for (let value = next(); value !== undefined; value = next()) messages.push(value);
  };
  let error: SocketErrorCode | undefined;
  try {
    for (const chunk of chunks) {
      queue.push(chunk);
      drain(() => decoder.decode(queue));
    }
    drain(() => {
      const value = decoder.decode(queue);
      return value === undefined ? decoder.end?.(queue) : value;
    });
    if (queue.length > 0) error = 'ERR_FRAME_TRUNCATED';
  } catch (thrown) {
    if (!(thrown instanceof SocketError)) throw thrown;
    error = thrown.code;
  }
  return { messages, error, left: queue.length };
}
