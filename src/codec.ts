/**
 * Holds the bytes that were received and not yet decoded, oldest first. A decoder looks at them in place and takes
 * whole frames off the front; whatever it leaves stays for its next call, or for another view of the same socket (C13).
 *
 * Where the bytes lie in one or more pieces of memory changes nothing but the cost. It is equivalent to:
 *
 * ```ts
 * let waiting = Buffer.concat(chunks);
 * let position = 0;
 * const at = (index: number) => waiting[index];
 * const indexOf = (needle: number | Uint8Array, from = 0) => waiting.indexOf(needle, from);
 * const peek = (count: number) => waiting.subarray(0, count);
 * const skip = (count: number) => {
 *   waiting = waiting.subarray(count);
 *   position += count;
 * };
 * ```
 *
 * @throws a RangeError, at once, from a method that is asked for bytes which are not there
 * @backpressure while a Flow is held, at most 65,536 bytes, the chunk in hand and one unfinished frame wait in it (F3)
 * @teardown none; what is left when a connection ends is dropped with it
 * @example
 * ```ts
 * const decode = (bytes: ByteQueue): number | undefined => {
 *   if (bytes.length < 4) return undefined;
 *   const value = bytes.uint(0, 4, 'big');
 *   bytes.skip(4);
 *   return value;
 * };
 * ```
 * @see rules C13 and F3
 */
export interface ByteQueue {
  /** How many bytes wait. */
  readonly length: number;
  /** How many bytes were taken off since the stream began: the absolute offset of the first byte that waits (C13). */
  readonly position: number;
  /** The first bytes that lie together in memory, not taken off; empty only where nothing waits. Not to be changed. */
  readonly head: Buffer;
  /**
   * Gives one byte.
   *
   * @param index - 0 to `length - 1`
   * @returns 0 to 255
   * @throws a RangeError, at once, if they are not there
   * @example
   * ```ts
   * const version = bytes.at(0);
   * ```
   * @see rule C13
   */
  at(index: number): number;
  /**
   * Gives an unsigned integer.
   *
   * @param index - where it starts: 0 to `length - bytes`
   * @param bytes - how many bytes it has
   * @param endian - which end of it comes first
   * @returns 0 to 4,294,967,295
   * @throws a RangeError, at once, if they are not there
   * @example
   * ```ts
   * const size = bytes.uint(1, 2, 'big');
   * ```
   * @see rule C13
   */
  uint(index: number, bytes: 1 | 2 | 4, endian: 'big' | 'little'): number;
  /**
   * Searches the bytes that wait; also where `needle` lies in more than one piece of memory.
   *
   * @param needle - a byte, or a sequence of bytes
   * @param from - where the search begins: 0 and more, default 0; one that goes on where the last one ended is linear
   * @returns where `needle` begins first, at `from` or after; -1 where it does not
   * @example
   * ```ts
   * const end = bytes.indexOf(0x0a); // of '\n'
   * ```
   * @see rule D1
   */
  indexOf(needle: number | Uint8Array, from?: number): number;
  /**
   * Gives the first bytes and takes nothing off.
   *
   * @param count - 0 to `length`
   * @returns a view where they lie together in memory, else a copy; not to be changed
   * @throws a RangeError, at once, if they are not there
   * @example
   * ```ts
   * const isHello = bytes.peek(5).toString('latin1') === 'HELLO';
   * ```
   * @see rule C13
   */
  peek(count: number): Buffer;
  /**
   * Takes the first bytes off and gives them.
   *
   * @param count - 0 to `length`
   * @returns a view where they lie together in memory, which keeps the chunk that they came in; else a copy
   * @throws a RangeError, at once, if they are not there
   * @example
   * ```ts
   * const body = bytes.take(size);
   * ```
   * @see rule C13
   */
  take(count: number): Buffer;
  /**
   * Takes the first bytes off.
   *
   * @param count - 0 to `length`
   * @throws a RangeError, at once, if they are not there
   * @example
   * ```ts
   * bytes.skip(3);
   * ```
   * @see rule C13
   */
  skip(count: number): void;
}

/**
 * Collects what an encoder writes. What one `encode` wrote is kept whole, or, where it throws, dropped whole (D5).
 *
 * It is equivalent to:
 *
 * ```ts
 * const pieces: Uint8Array[] = [];
 * const bytes = (value: Uint8Array) => pieces.push(value);
 * const text = (value: string, encoding: 'utf8' | 'latin1') => pieces.push(Buffer.from(value, encoding));
 * // at the end of the turn: socket.write(Buffer.concat(pieces))
 * ```
 *
 * It is there for the one call of `encode` that it is given to: what is written into it later may be written anywhere.
 *
 * @backpressure what was collected counts in `bufferedBytes` until the kernel has taken it (C4)
 * @example
 * ```ts
 * const encode = (value: number, into: ByteSink): void => into.uint(value, 4, 'big');
 * ```
 * @see rules C3, C4 and D5
 */
export interface ByteSink {
  /**
   * Appends bytes.
   *
   * @param value - kept by reference, so it must not be changed afterwards (C19)
   * @backpressure it waits until the kernel has taken it (C4)
   * @example
   * ```ts
   * into.bytes(body);
   * ```
   * @see rule C19
   */
  bytes(value: Uint8Array): void;
  /**
   * Appends a part of somebody's memory, where that is the cheapest: parts that follow each other are one. A sink need
   * not have it.
   *
   * @param memory - kept by reference, so that the part must not be changed afterwards (C19)
   * @param start - where the part begins in it, in bytes
   * @param end - where it ends; over `start`
   * @returns whether it was appended; if not, it has to be appended otherwise
   * @backpressure it waits until the kernel has taken it (C4)
   * @example
   * ```ts
   * const { buffer, byteOffset, length } = body;
   * if (into.part?.(buffer, byteOffset, byteOffset + length) !== true) into.bytes(body);
   * ```
   * @see rule C19
   */
  part?(memory: ArrayBufferLike, start: number, end: number): boolean;
  /**
   * Appends text; one call with a whole frame is the fastest way to write it.
   *
   * @param value - what is not well-formed, or has no byte in `encoding`, is replaced in silence: check it before
   * @param encoding - how its characters become bytes
   * @backpressure it waits until the kernel has taken it (C4)
   * @example
   * ```ts
   * into.text(`${line}\n`, 'utf8');
   * ```
   * @see rule D5
   */
  text(value: string, encoding: 'utf8' | 'latin1'): void;
  /**
   * Appends an unsigned integer.
   *
   * @param value - 0 to what `bytes` can hold
   * @param bytes - how many bytes it takes
   * @param endian - which end of it comes first
   * @backpressure it waits until the kernel has taken it (C4)
   * @example
   * ```ts
   * into.uint(body.length, 2, 'big');
   * ```
   * @see rule D2
   */
  uint(value: number, bytes: 1 | 2 | 4, endian: 'big' | 'little'): void;
}

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
 * @emits none; what it gives is emitted by the channel, one value a call
 * @throws `ERR_FRAME_TOO_LONG` or `ERR_FRAME_INVALID`, and at the end of the stream `ERR_FRAME_TRUNCATED`, which ends the
 * connection after all that came before (C8, D3, D4)
 * @backpressure a frame that may become longer than a finite maximum must be refused before it has (D3)
 * @teardown none: a decoder is dropped with its stream, and one that has thrown is not called again
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
 * @backpressure none: it is called once for each value, at once
 * @teardown none: an encoder is dropped with its stream
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
 * @throws none; see {@link Decoder} and {@link Encoder}
 * @backpressure none of its own
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
