/**
 * Holds the bytes of a stream that were received but not yet decoded, oldest first. A decoder examines the bytes in the
 * queue, and takes complete frames off the front. The other bytes stay in the queue for the decoder's next call.
 *
 * The queued bytes may be spread over several pieces of memory. Apart from its speed, the queue is equivalent to:
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
 * While the Flow of the decoded values is held, the queue contains at most 65,536 bytes, plus one chunk and one
 * unfinished frame. `at`, `uint`, `peek`, `take` and `skip` throw a RangeError if you ask for bytes that have not
 * arrived.
 *
 * The Buffers that `head`, `peek` and `take` return stay valid after `decode` has returned. A returned Buffer may be a
 * view, which keeps the memory of its entire chunk alive. So if you keep only a few bytes, copy them.
 *
 * @example
 * ```ts
 * const decode = (bytes: ByteQueue): number | undefined => {
 *   if (bytes.length < 4) return undefined;
 *   const value = bytes.uint(0, 4, 'big');
 *   bytes.skip(4);
 *   return value;
 * };
 * ```
 * @see rule C13
 */
export interface ByteQueue {
  /** The number of bytes in the queue. */
  readonly length: number;
  /** The number of bytes that have left the queue so far. */
  readonly position: number;
  /**
   * As many of the first queued bytes as are contiguous in memory. These bytes stay in the queue, so do not change
   * them. `head` is empty only if the queue is empty.
   */
  readonly head: Buffer;
  /**
   * Returns one byte.
   *
   * @param index - 0 to `length - 1`
   * @returns 0 to 255
   * @example
   * ```ts
   * const version = bytes.at(0);
   * ```
   */
  at(index: number): number;
  /**
   * Returns an unsigned integer.
   *
   * @param index - where the integer starts: 0 to `length - bytes`
   * @param bytes - the size of the integer, in bytes
   * @param endian - the byte order
   * @returns 0 to 4,294,967,295
   * @example
   * ```ts
   * const size = bytes.uint(1, 2, 'big');
   * ```
   */
  uint(index: number, bytes: 1 | 2 | 4, endian: 'big' | 'little'): number;
  /**
   * Searches the bytes in the queue, across all pieces of memory.
   *
   * @param needle - a byte, or a sequence of bytes
   * @param from - the index where the search starts, at least 0; default 0. Start a search where the previous search
   * ended, so that all searches together take linear time
   * @returns the first index, from `from` on, at which `needle` begins; -1 if `needle` is not found, or if `from`
   * exceeds `length`
   * @throws a RangeError for a negative `from`
   * @example
   * ```ts
   * const end = bytes.indexOf(0x0a); // of '\n'
   * ```
   */
  indexOf(needle: number | Uint8Array, from?: number): number;
  /**
   * Returns the first `count` bytes, and leaves these bytes in the queue.
   *
   * @param count - 0 to `length`
   * @returns a view if the bytes are contiguous in memory, otherwise a copy. Do not change the bytes
   * @example
   * ```ts
   * const isHello = bytes.peek(5).toString('latin1') === 'HELLO';
   * ```
   */
  peek(count: number): Buffer;
  /**
   * Takes the first `count` bytes off the queue, and returns these bytes.
   *
   * @param count - 0 to `length`
   * @returns a view if the bytes are contiguous in memory, otherwise a copy
   * @example
   * ```ts
   * const body = bytes.take(size);
   * ```
   */
  take(count: number): Buffer;
  /**
   * Drops the first `count` bytes of the queue.
   *
   * @param count - 0 to `length`
   * @example
   * ```ts
   * bytes.skip(3);
   * ```
   */
  skip(count: number): void;
}
