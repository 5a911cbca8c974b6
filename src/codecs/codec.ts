import type { ByteQueue } from '../bytes/byte-queue.js';
import type { ByteSink } from '../bytes/byte-sink.js';

/**
 * Decodes the values of one stream. Each call of `decode` takes one complete frame off the queue, and leaves all other
 * bytes in the queue.
 *
 * Receiving through a codec is equivalent to:
 *
 * ```ts
 * socket.on('data', (chunk) => {
 *   queue.push(chunk);
 *   for (let value = decoder.decode(queue); value !== undefined; value = decoder.decode(queue)) observer.next(value);
 * });
 * socket.on('end', () => {
 *   for (let value = decoder.end?.(queue); value !== undefined; value = decoder.end?.(queue)) observer.next(value);
 *   if (queue.length === 0) observer.complete();
 *   else observer.error(new SocketError('ERR_FRAME_TRUNCATED', 'the stream has ended inside a frame'));
 * });
 * ```
 *
 * Between two calls of `decode`, another view of the connection may take bytes off the queue. So a decoder that
 * remembers how far it has searched must check whether the queue's `position` has changed.
 *
 * A decoder throws `ERR_FRAME_TOO_LONG` or `ERR_FRAME_INVALID` for a bad frame, and is not called again. The channel
 * emits the values before that frame, and then fails. The program can still send a response, which is flushed before
 * the connection closes.
 *
 * A decoder must limit the size of a frame, and refuse a larger frame before all of it has arrived.
 *
 * @typeParam T - the type of the values; never `undefined`
 * @example
 * ```ts
 * const bytes4: Decoder<Buffer> = { decode: (bytes) => (bytes.length < 4 ? undefined : bytes.take(4)) };
 * ```
 * @see rules D1 to D4
 */
export interface Decoder<T> {
  /**
   * Takes the next frame off the queue.
   *
   * @param bytes - the received bytes; the same queue on each call
   * @returns the value of the frame, or `undefined` if more bytes are needed. A call that returns `undefined` must take
   * nothing off the queue
   * @throws `ERR_FRAME_TOO_LONG`, `ERR_FRAME_INVALID`
   * @example
   * ```ts
   * const first = decoder.decode(queue); // undefined until the whole frame has arrived
   * ```
   */
  decode(bytes: ByteQueue): T | undefined;
  /**
   * Returns a value that the end of the stream completes, or throws if the stream ends inside a message.
   *
   * `end` is called when the peer has ended the stream cleanly and `decode` has returned `undefined`. The queue may be
   * empty at that time. `end` is called again until it returns `undefined`. If bytes remain in the queue after that,
   * the connection fails with `ERR_FRAME_TRUNCATED`. The connection also fails in this way if bytes remain and the
   * decoder has no `end`. `end` is not called for a stream that was reset or destroyed.
   *
   * If a decoder keeps data between two frames, its `end` has to return this data once, as the last value, or throw
   * `ERR_FRAME_TRUNCATED`. If `end` returns more than 1,000 values without taking a byte off the queue, the connection
   * fails with `ERR_FRAME_INVALID`.
   *
   * @param bytes - the remaining bytes; none if the stream ends between two frames
   * @returns a value, or `undefined` if there is no more value. A call that returns `undefined` must take nothing off
   * the queue
   * @throws `ERR_FRAME_TRUNCATED`, `ERR_FRAME_TOO_LONG`, `ERR_FRAME_INVALID`
   * @example
   * ```ts
   * const last = lines().decoder().end?.(queue); // the last line needs no newline
   * ```
   */
  end?(bytes: ByteQueue): T | undefined;
}

/**
 * Encodes the values of one stream. `encode` is called once for each value, within `next` or `send`.
 *
 * An encoder throws `ERR_FRAME_TOO_LONG` or `ERR_FRAME_INVALID` for a value that cannot be sent. No part of that value
 * is sent, and the encoder must return to its previous state. Each encoded value must be decodable on its own, because
 * the peer's decoder may not have got the earlier values: these may have been dropped (`overflow: 'drop'`), or sent on
 * an earlier connection (`reconnect`).
 *
 * @typeParam T - the type of the values
 * @example
 * ```ts
 * const numbers: Encoder<number> = { encode: (value, into) => into.uint(value, 4, 'big') };
 * ```
 * @see rules D2 and D5
 */
export interface Encoder<T> {
  /**
   * Appends one value.
   *
   * @param value - the value
   * @param into - the sink that receives the bytes. Do not use the sink after the call
   * @throws `ERR_FRAME_TOO_LONG`, `ERR_FRAME_INVALID`
   * @example
   * ```ts
   * lines().encoder().encode('hello', sink); // 'hello\n'
   * ```
   */
  encode(value: T, into: ByteSink): void;
}

/**
 * Defines how messages are laid out in a stream of bytes. One codec can serve many connections, because it makes a new
 * decoder and a new encoder for each connection.
 *
 * Sending over a connection is equivalent to this code, however the network splits the bytes into chunks:
 *
 * ```ts
 * const encoder = codec.encoder(); // at one end
 * for (const value of values) encoder.encode(value, sink);
 * const decoder = codec.decoder(); // at the other end
 * for (const chunk of chunksOf(sink)) {
 *   queue.push(chunk);
 *   for (let value = decoder.decode(queue); value !== undefined; value = decoder.decode(queue)) received.push(value);
 * }
 * ```
 *
 * Use `verifyCodec` from `rxjs-sockets/testing` to test your own codec.
 *
 * @typeParam In - the type of received messages
 * @typeParam Out - the type of sent messages
 * @example
 * ```ts
 * const numbers: Codec<number> = {
 *   decoder: () => ({
 *     decode(bytes) {
 *       if (bytes.length < 4) return undefined;
 *       const value = bytes.uint(0, 4, 'big');
 *       bytes.skip(4);
 *       return value;
 *     },
 *   }),
 *   encoder: () => ({ encode: (value, into) => into.uint(value, 4, 'big') }),
 * };
 * ```
 * @see rules D1 to D5
 */
export interface Codec<In, Out = In> {
  /**
   * Makes a decoder for one stream.
   *
   * @returns a decoder that shares no state with other decoders
   * @example
   * ```ts
   * const decoder = lines().decoder();
   * ```
   */
  decoder(): Decoder<In>;
  /**
   * Makes an encoder for one stream.
   *
   * @returns an encoder that shares no state with other encoders
   * @example
   * ```ts
   * const encoder = lines().encoder();
   * ```
   */
  encoder(): Encoder<Out>;
}
