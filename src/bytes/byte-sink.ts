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
