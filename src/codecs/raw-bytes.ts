import type { Codec } from './codec.js';
import type { ByteSink } from '../bytes/byte-sink.js';
import type { ByteQueue } from '../bytes/byte-queue.js';
import { borrowHead } from '../bytes/chunk-queue.js';
import { SocketError } from '../errors/socket-error.js';
import { isWellFormed } from '../bytes/utf8.js';

/** The default codec, which receives chunks as they arrive, and sends bytes or text. */
export const bytes: Codec<Buffer, Uint8Array | string> = {
  decoder: () => chunks,
  encoder: () => chunks,
};

/**
 * Takes a chunk off the queue for a subscriber that does not keep the chunk. The bytes are valid only until the chunk
 * has been delivered.
 */
export function borrowChunk(queue: ByteQueue): Buffer | undefined {
  const chunk = borrowHead(queue);
  if (chunk.length === 0) return undefined;
  queue.skip(chunk.length);
  return chunk;
}

const chunks = {
  decode(queue: ByteQueue): Buffer | undefined {
    const { head } = queue;
    if (head.length === 0) return undefined;
    queue.skip(head.length);
    return head;
  },
  encode(value: Uint8Array | string, into: ByteSink): void {
    if (typeof value === 'string') {
      // Strings are joined before they are encoded, so the lone surrogates of two strings could become one character.
      if (!isWellFormed(value)) throw new SocketError('ERR_FRAME_INVALID', 'the text has a lone surrogate');
      into.text(value, 'utf8');
    } else if (value instanceof Uint8Array) into.bytes(value);
    else throw new SocketError('ERR_FRAME_INVALID', 'only bytes and strings can be sent on a channel without a codec');
  },
};
