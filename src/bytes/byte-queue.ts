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
 * @teardown what is left when a connection ends is dropped with it
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
