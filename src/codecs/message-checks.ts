import { isWellFormed } from '../bytes/utf8.js';
import { SocketError } from '../errors/socket-error.js';
import { type Check, integer, invalid } from '../validation/checks.js';

/**
 * Checks an option that sets the length or the maximum length of messages, in bytes. Every codec has a maximum (D3).
 */
export const messageLength: Check<number> = integer(1, 2 ** 31 - 1, 'a whole number of bytes');

/**
 * Returns the size of a message, in bytes. The size of text is that of its UTF-8 encoding.
 *
 * @throws `ERR_FRAME_INVALID` for a value that is neither bytes nor text, and for text that UTF-8 cannot represent
 */
export function messageSize(value: unknown): number {
  if (value instanceof Uint8Array) return value.length;
  if (typeof value !== 'string') {
    throw invalid('ERR_FRAME_INVALID', 'a message must be a Uint8Array or a string', value);
  }
  const fault = textFault(value, 'utf8');
  if (fault !== undefined) throw new SocketError('ERR_FRAME_INVALID', `a message ${fault}`);
  return Buffer.byteLength(value, 'utf8');
}

/** If `encoding` cannot represent `text`, returns the reason. */
export function textFault(text: string, encoding: 'utf8' | 'latin1'): string | undefined {
  if (encoding === 'latin1')
    return beyondLatin1.test(text) ? 'has a character that latin1 cannot represent' : undefined;
  return isWellFormed(text) ? undefined : 'has a lone surrogate, which UTF-8 cannot represent';
}

const beyondLatin1 = /[^\0-\xff]/;

/** Creates the error for a message over the limit. The error's text begins with `message`, for example `a line`. */
export function tooLong(message: string, maxLength: number): SocketError {
  return new SocketError('ERR_FRAME_TOO_LONG', `${message} is longer than maxLength, ${maxLength} bytes`);
}
