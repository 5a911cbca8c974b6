import type { ByteQueue } from '../bytes/byte-queue.js';
import type { ByteSink } from '../bytes/byte-sink.js';

/**
 * Takes values out of the bytes of one stream. It consumes whole frames only, one a call, so that the bytes of an
 * unfinished frame, and of those after this one, stay where they are.
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
 * Between two calls another view may take bytes off the queue: a decoder that remembers something of what it has seen
 * tells from `position` whether it is still there.
 *
 * @typeParam T - what it gives; never `undefined`
 * @emits on its channel one value a call
 * @throws `ERR_FRAME_TOO_LONG` or `ERR_FRAME_INVALID`, and at the end of the stream `ERR_FRAME_TRUNCATED`, which ends the
 * connection after all that came before (C8, D3, D4)
 * @backpressure a frame that may become longer than a finite maximum must be refused before it has (D3)
 * @teardown a decoder is dropped with its stream, and one that has thrown is not called again
 * @example
 * ```ts
 * const bytes4: Decoder<Buffer> = { decode: (bytes) => (bytes.length < 4 ? undefined : bytes.take(4)) };
 * ```
 * @see rules C13 and D1 to D4
 */
export interface Decoder<T> {
  /**
   * Takes the next frame off.
   *
   * @param bytes - all that waits; the same queue at each call
   * @returns the value of the frame, or `undefined` with nothing taken off: more bytes are needed
   * @throws `ERR_FRAME_TOO_LONG`, `ERR_FRAME_INVALID`
   * @backpressure called when a value may be emitted, and not before (F2)
   * @example
   * ```ts
   * const first = decoder.decode(queue); // undefined, as long as a byte is missing
   * ```
   * @see rules C13, D1 and D3
   */
  decode(bytes: ByteQueue): T | undefined;
  /**
   * Takes what the end of the stream completes, or says that the stream ends inside a message.
   *
   * It is called when the peer has ended the stream in order and `decode` has nothing left, also where no byte waits, and
   * again until it gives `undefined`. Bytes that remain then are `ERR_FRAME_TRUNCATED`; without this method, all that remain
   * are. It is not called for a stream that was reset or destroyed.
   *
   * A decoder that remembers something between its frames gives it here as the last value, or throws
   * `ERR_FRAME_TRUNCATED`. It has to remember that it gave the value: after 1,000 values for which it took no byte off, the
   * connection fails with `ERR_FRAME_INVALID`.
   *
   * @param bytes - all that waits; none, where the stream ends between two frames
   * @returns a value, or `undefined` with nothing taken off
   * @throws `ERR_FRAME_TRUNCATED`, `ERR_FRAME_TOO_LONG`, `ERR_FRAME_INVALID`
   * @backpressure called when a value may be emitted, and not before (F2)
   * @example
   * ```ts
   * const last = lines().decoder().end?.(queue); // the last line needs no newline
   * ```
   * @see rule D4
   */
  end?(bytes: ByteQueue): T | undefined;
}

/**
 * Turns the values of one stream into bytes.
 *
 * @typeParam T - what it takes
 * @throws `ERR_FRAME_TOO_LONG` or `ERR_FRAME_INVALID` for a value that cannot be sent: nothing of it is, and the
 * encoder must be as it was before (D5)
 * @backpressure it is called once for each value, at once
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
   * @param value - what to send
   * @param into - where to; not to be kept
   * @throws a SocketError: then nothing of the value is sent (D5)
   * @example
   * ```ts
   * lines().encoder().encode('hello', sink); // 'hello\n'
   * ```
   * @see rules D2 and D5
   */
  encode(value: T, into: ByteSink): void;
}

/**
 * Tells how messages lie in a stream of bytes. It makes a fresh decoder and encoder for each connection, so it may be
 * shared; options are checked when it is made.
 *
 * What goes over a connection is equivalent to this, however the bytes are cut into chunks:
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
 * @typeParam In - what is received
 * @typeParam Out - what is sent
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
 * @see rules D1 to D5; `verifyCodec` of `rxjs-sockets/testing` verifies them
 */
export interface Codec<In, Out = In> {
  /**
   * Makes a decoder for one stream.
   *
   * @returns one that shares nothing with others
   * @example
   * ```ts
   * const decoder = lines().decoder();
   * ```
   * @see rule D1
   */
  decoder(): Decoder<In>;
  /**
   * Makes an encoder for one stream.
   *
   * @returns one that shares nothing with others
   * @example
   * ```ts
   * const encoder = lines().encoder();
   * ```
   * @see rule D1
   */
  encoder(): Encoder<Out>;
}
