import type { Codec, Decoder, Encoder } from './codec.js';
import type { ByteSink } from '../bytes/byte-sink.js';
import type { ByteQueue } from '../bytes/byte-queue.js';
import { hasFrame } from '../bytes/chunk-queue.js';
import { SocketError } from '../errors/socket-error.js';
import { messageLength, messageSize } from './message-checks.js';

/**
 * Splits the stream into binary messages of a fixed length.
 *
 * Reading is equivalent to:
 *
 * ```ts
 * const decode = (queue: ByteQueue): Buffer | undefined => (queue.length < size ? undefined : queue.take(size));
 * ```
 *
 * A received message may be a view, which keeps its entire chunk in memory. So copy a message that you store. You can
 * send a string, which is encoded as UTF-8, or bytes. Do not change sent bytes.
 *
 * Decoding fails only if the stream ends inside a message. The error is `ERR_FRAME_TRUNCATED`. Encoding fails with:
 *
 * - `ERR_FRAME_TOO_LONG` for more than `size` bytes;
 * - `ERR_FRAME_INVALID` for fewer than `size` bytes, a value that is neither bytes nor a string, or a string with a
 *   lone surrogate.
 *
 * @param size - the size of each message, in bytes: 1 to 2,147,483,647
 * @returns a codec that receives Buffers
 * @throws `ERR_OPTION_INVALID` for a bad `size`
 * @example
 * ```ts
 * const client = connect('tcp://localhost:7000', { codec: fixedLength(4) });
 * client.data.subscribe((sample) => console.log(sample.readInt32BE(0)));
 * ```
 * @see rules D1 to D5
 */
export function fixedLength(size: number): Codec<Buffer, Uint8Array | string> {
  messageLength('size', size);
  return { decoder: () => new FixedDecoder(size), encoder: () => new FixedEncoder(size) };
}

class FixedDecoder implements Decoder<Buffer> {
  private readonly size: number;

  constructor(size: number) {
    this.size = size;
  }

  decode(bytes: ByteQueue): Buffer | undefined {
    return hasFrame(bytes, this.size) ? bytes.take(this.size) : undefined;
  }
}

class FixedEncoder implements Encoder<Uint8Array | string> {
  private readonly size: number;

  constructor(size: number) {
    this.size = size;
  }

  encode(value: Uint8Array | string, into: ByteSink): void {
    const { size } = this;
    const given = messageSize(value);
    if (given !== size) {
      const code = given > size ? 'ERR_FRAME_TOO_LONG' : 'ERR_FRAME_INVALID';
      throw new SocketError(code, `a message must have exactly ${size} bytes, got ${given}`);
    }
    if (typeof value === 'string') into.text(value, 'utf8');
    else into.bytes(value);
  }
}
