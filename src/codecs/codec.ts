import type { ByteQueue } from '../bytes/byte-queue.js';
import type { ByteSink } from '../bytes/byte-sink.js';

/**
 * Decodes the values of one stream. Each call takes one whole frame off the queue. The bytes of an unfinished frame, and of
 * later frames, stay in it.
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
 * A decoder is called only when its channel may emit. Between two calls another view may take bytes off the queue: a decoder
 * that remembers what it has seen compares `position` to find out.
 *
 * A decoder throws `ERR_FRAME_TOO_LONG` or `ERR_FRAME_INVALID` for a bad frame, which ends the connection after the values
 * before it. It must refuse a frame that exceeds a finite maximum before the whole frame has arrived (D3). A decoder that has
 * thrown is not called again.
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
   * @param bytes - the bytes that wait; the same queue at each call
   * @returns the value of the frame. `undefined` means that more bytes are needed; then nothing must have been taken off
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
   * It is called when the peer has ended the stream in order and `decode` has returned `undefined`, even if no byte waits. It
   * is called again until it returns `undefined`. Bytes that remain then fail the connection with `ERR_FRAME_TRUNCATED`, as
   * do all remaining bytes if there is no such method. It is not called for a stream that was reset or destroyed.
   *
   * A decoder that remembers something between its frames returns it here as the last value, or throws
   * `ERR_FRAME_TRUNCATED`. It must return such a value once: after 1,000 values without a byte taken off, the connection fails
   * with `ERR_FRAME_INVALID`.
   *
   * @param bytes - the bytes that wait; none if the stream ends between two frames
   * @returns a value, or `undefined` with nothing taken off
   * @throws `ERR_FRAME_TRUNCATED`, `ERR_FRAME_TOO_LONG`, `ERR_FRAME_INVALID`
   * @example
   * ```ts
   * const last = lines().decoder().end?.(queue); // the last line needs no newline
   * ```
   */
  end?(bytes: ByteQueue): T | undefined;
}

/**
 * Encodes the values of one stream. It is called once for each value, within `next` or `send`.
 *
 * It throws `ERR_FRAME_TOO_LONG` or `ERR_FRAME_INVALID` for a value that cannot be sent. Nothing of that value is sent, and
 * the encoder must be in the state that it was in before (D5).
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
   * @param into - takes the bytes; do not keep it
   * @throws `ERR_FRAME_TOO_LONG`, `ERR_FRAME_INVALID`
   * @example
   * ```ts
   * lines().encoder().encode('hello', sink); // 'hello\n'
   * ```
   */
  encode(value: T, into: ByteSink): void;
}

/**
 * Defines how messages are laid out in a stream of bytes. It makes a new decoder and encoder for each connection, so one
 * codec can serve many.
 *
 * Sending over a connection is equivalent to this, wherever the network cuts the bytes into chunks:
 *
 * ```ts
 * const encoder = codec.encoder(); // of the one end
 * for (const value of values) encoder.encode(value, sink);
 * const decoder = codec.decoder(); // of the other end
 * for (const chunk of chunksOf(sink)) {
 *   queue.push(chunk);
 *   for (let value = decoder.decode(queue); value !== undefined; value = decoder.decode(queue)) received.push(value);
 * }
 * ```
 *
 * Use `verifyCodec` of `rxjs-sockets/testing` to test a codec of your own.
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
   * @returns one that shares no state with others
   * @example
   * ```ts
   * const decoder = lines().decoder();
   * ```
   */
  decoder(): Decoder<In>;
  /**
   * Makes an encoder for one stream.
   *
   * @returns one that shares no state with others
   * @example
   * ```ts
   * const encoder = lines().encoder();
   * ```
   */
  encoder(): Encoder<Out>;
}
