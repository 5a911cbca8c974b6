/**
 * Collects the bytes that an encoder writes. If a call of `encode` throws, everything written within that call is
 * dropped (D5).
 *
 * A sink is equivalent to:
 *
 * ```ts
 * const pieces: Uint8Array[] = [];
 * const bytes = (value: Uint8Array) => pieces.push(value);
 * const text = (value: string, encoding: 'utf8' | 'latin1') => pieces.push(Buffer.from(value, encoding));
 * // at the end of the turn: socket.write(Buffer.concat(pieces))
 * ```
 *
 * Use a sink only within the call of `encode` that receives it. The channel's `bufferedBytes` includes the bytes in the
 * sink until the kernel has taken them.
 *
 * @example
 * ```ts
 * const encode = (value: number, into: ByteSink): void => into.uint(value, 4, 'big');
 * ```
 * @see rule D5
 */
export interface ByteSink {
  /**
   * Appends bytes.
   *
   * @param value - the bytes. The sink keeps a reference to them, so do not change them after the call (C19)
   * @example
   * ```ts
   * into.bytes(body);
   * ```
   */
  bytes(value: Uint8Array): void;
  /**
   * Appends text. A single call for the entire frame is fastest.
   *
   * @param value - the text. Check the text first: the sink silently replaces a lone surrogate, and a character that
   * `encoding` lacks
   * @param encoding - the encoding of the text
   * @example
   * ```ts
   * into.text(`${line}\n`, 'utf8');
   * ```
   */
  text(value: string, encoding: 'utf8' | 'latin1'): void;
  /**
   * Appends an unsigned integer.
   *
   * @param value - 0 to the largest integer that fits in a field of `bytes` bytes
   * @param bytes - the size of the integer, in bytes
   * @param endian - the byte order
   * @example
   * ```ts
   * into.uint(body.length, 2, 'big');
   * ```
   */
  uint(value: number, bytes: 1 | 2 | 4, endian: 'big' | 'little'): void;
}
