import type { Address } from '../address/address.js';
import { describeValue } from './describe-value.js';
import { SocketError } from './socket-error.js';

/** Makes the error for a failed handler or source (C8, S6). */
export function handlerError(cause: unknown, address?: Address, what = 'a handler or a source'): SocketError {
  const message = `${what} failed: ${cause instanceof Error ? cause.message : describeValue(cause)}`;
  return new SocketError('ERR_HANDLER', message, { address, cause });
}
