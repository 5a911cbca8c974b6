import type { Address } from '../address/address.js';
import { messageOf } from './describe-value.js';
import { SocketError, type SystemErrorCode } from './socket-error.js';

// `known` is an object instead of a list, so that the compiler checks that no member of `SystemErrorCode` is missing.
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
 * Converts an error from Node to a SocketError. The code of the SocketError depends on the `code` of Node's error,
 * never on its message. If all addresses of a host have failed, Node reports an AggregateError without a message. For
 * an AggregateError, the SocketError's message contains the messages of all failures.
 */
export function systemError(cause: unknown, action: string, address?: Address): SocketError {
  if (cause instanceof SocketError) return cause;
  const code = codeOf(cause);
  return new SocketError(code, `${action}: ${code}${detailOf(cause)}`, { address, cause });
}

function codeOf(cause: unknown): SystemErrorCode {
  if (cause instanceof AggregateError && cause.errors.length > 0) return codeOf(cause.errors[0]);
  const code = (cause as { code?: unknown } | null | undefined)?.code;
  if (typeof code === 'string' && Object.hasOwn(known, code)) return code as SystemErrorCode;
  // Node's permission model (`--permission`) has its own code, which is not a system code.
  return code === 'ERR_ACCESS_DENIED' ? 'EACCES' : 'EIO';
}

function detailOf(cause: unknown): string {
  const message = messageOf(cause);
  return message === '' ? '' : ` (${message})`;
}
