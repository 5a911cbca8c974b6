import type { Address } from '../address/address.js';
import { messageOf, describeValue } from './describe-value.js';
import { SocketError, type SystemErrorCode } from './socket-error.js';

// An object, so that the compiler compares it with the type in both directions.
const known: Readonly<Record<SystemErrorCode, true>> = {
  EACCES: true,
  EADDRINUSE: true,
  EADDRNOTAVAIL: true,
  EAFNOSUPPORT: true,
  EAGAIN: true,
  EAI_AGAIN: true,
  EBADF: true,
  ECONNABORTED: true,
  ECONNREFUSED: true,
  ECONNRESET: true,
  EHOSTDOWN: true,
  EHOSTUNREACH: true,
  EINVAL: true,
  EIO: true,
  EISDIR: true,
  ELOOP: true,
  EMFILE: true,
  ENAMETOOLONG: true,
  ENETDOWN: true,
  ENETUNREACH: true,
  ENFILE: true,
  ENOBUFS: true,
  ENOENT: true,
  ENOMEM: true,
  ENOSPC: true,
  ENOTCONN: true,
  ENOTDIR: true,
  ENOTFOUND: true,
  ENOTSOCK: true,
  EPERM: true,
  EPIPE: true,
  EPROTO: true,
  EPROTOTYPE: true,
  EROFS: true,
  ETIMEDOUT: true,
};

/**
 * The one place where an error of Node's becomes one of ours: matched on `code`, never on the message.
 * Several addresses that all failed arrive as an AggregateError with an empty message; each failure is told.
 *
 * @internal
 */
export function systemError(cause: unknown, action: string, address?: Address): SocketError {
  if (cause instanceof SocketError) return cause;
  const code = codeOf(cause);
  return new SocketError(code, `${action}: ${code}${detailOf(cause)}`, { address, cause });
}

/** What a user's function, or a source that is being sent, has failed with (C8, S6). */
export function handlerError(cause: unknown, address?: Address, what = 'a handler, or a source,'): SocketError {
  const message = `${what} failed: ${cause instanceof Error ? cause.message : describeValue(cause)}`;
  return new SocketError('ERR_HANDLER', message, { address, cause });
}

function codeOf(cause: unknown): SystemErrorCode {
  if (cause instanceof AggregateError && cause.errors.length > 0) return codeOf(cause.errors[0]);
  const code = (cause as { code?: unknown } | null | undefined)?.code;
  if (typeof code === 'string' && Object.hasOwn(known, code)) return code as SystemErrorCode;
  // What Node's permission model forbids (`--permission`).
  return code === 'ERR_ACCESS_DENIED' ? 'EACCES' : 'EIO';
}

function detailOf(cause: unknown): string {
  const message = messageOf(cause);
  return message === '' ? '' : ` (${message})`;
}
