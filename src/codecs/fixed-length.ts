import type { Codec, Decoder, Encoder } from './codec.js';
import type { ByteSink } from '../bytes/byte-sink.js';
import type { ByteQueue } from '../bytes/byte-queue.js';
import { SocketError } from '../errors/socket-error.js';
import { awaitFrame } from '../bytes/chunk-queue.js';
import { messageLength, messageSize } from './message-size.js';

/**
 * Frames binary messages by nothing but their length, which is the same for all.
 *
 * Reading is equivalent to:
 *
 * ```ts
 * const decode = (queue: ByteQueue): Buffer | undefined => (queue.length < size ? undefined : queue.take(size));
 * ```
 *
 * A message that arrived in one piece is a view of the received chunk: keeping it keeps the chunk.
 *
 * @param size - of each message, in bytes: 1 to 2,147,483,647
 * @returns a codec that gives Buffers and takes bytes, which must not be changed after they are sent (C19), or text,
 * which is sent as UTF-8; either of exactly `size` bytes
 * @emits on its channel one Buffer a message, as soon as its last byte is there (D1)
 * @throws `ERR_OPTION_INVALID`, at once. Decoding: none, since any bytes are messages. Encoding, with nothing written
 * (D5): `ERR_FRAME_TOO_LONG` for more than `size` bytes, and `ERR_FRAME_INVALID` for fewer, for what is neither bytes nor
 * text, or text with a lone surrogate
 * @backpressure an unfinished message waits in the queue: less than `size` bytes and the chunk in hand
 * @teardown each message is taken off the stream when it is given, so another view goes on right after it (C13)
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
    if (bytes.length >= this.size) return bytes.take(this.size);
    awaitFrame(bytes, this.size);
    return undefined;
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
