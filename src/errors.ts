import { inspect, types } from 'node:util';
import type { Address } from './address.js';

/**
 * Names what the library itself finds wrong; `docs/errors.md` has one heading for each code.
 *
 * @example
 * ```ts
 * const code: LibraryErrorCode = 'ERR_CLOSED';
 * ```
 * @see {@link SocketErrorCode}
 */
export type LibraryErrorCode =
  | 'ERR_ADDRESS_INVALID'
  | 'ERR_OPTION_INVALID'
  | 'ERR_CLOSED'
  | 'ERR_OVERFLOW'
  | 'ERR_FRAME_TOO_LONG'
  | 'ERR_FRAME_INVALID'
  | 'ERR_FRAME_TRUNCATED'
  | 'ERR_NOT_A_FLOW'
  | 'ERR_NOT_A_SOCKET'
  | 'ERR_TIMEOUT_IDLE'
  | 'ERR_TIMEOUT_RECEIVE'
  | 'ERR_TIMEOUT_HALF_OPEN'
  | 'ERR_TIMEOUT_CLAIM'
  | 'ERR_TIMEOUT_CLOSE'
  | 'ERR_TIMEOUT_HANDSHAKE'
  | 'ERR_TIMEOUT_CONNECT'
  | 'ERR_TIMEOUT_REQUEST'
  | 'ERR_LIMIT_CONNECTIONS'
  | 'ERR_TLS'
  | 'ERR_PROXY_HEADER'
  | 'ERR_HANDLER';

/**
 * Names what the system finds wrong, as Node does; `docs/errors.md` has one heading for each code. A code of the system
 * that is not among them arrives as `EIO`, and what Node's permission model forbids as `EACCES`, with Node's error as
 * `cause`.
 *
 * @example
 * ```ts
 * const code: SystemErrorCode = 'ECONNREFUSED';
 * ```
 * @see https://man7.org/linux/man-pages/man3/errno.3.html
 */
export type SystemErrorCode =
  | 'EACCES'
  | 'EADDRINUSE'
  | 'EADDRNOTAVAIL'
  | 'EAFNOSUPPORT'
  | 'EAGAIN'
  | 'EAI_AGAIN'
  | 'EBADF'
  | 'ECONNABORTED'
  | 'ECONNREFUSED'
  | 'ECONNRESET'
  | 'EHOSTDOWN'
  | 'EHOSTUNREACH'
  | 'EINVAL'
  | 'EIO'
  | 'EISDIR'
  | 'ELOOP'
  | 'EMFILE'
  | 'ENAMETOOLONG'
  | 'ENETDOWN'
  | 'ENETUNREACH'
  | 'ENFILE'
  | 'ENOBUFS'
  | 'ENOENT'
  | 'ENOMEM'
  | 'ENOSPC'
  | 'ENOTCONN'
  | 'ENOTDIR'
  | 'ENOTFOUND'
  | 'ENOTSOCK'
  | 'EPERM'
  | 'EPIPE'
  | 'EPROTO'
  | 'EPROTOTYPE'
  | 'EROFS'
  | 'ETIMEDOUT';

/**
 * Lists every code that a {@link SocketError} can bear: a closed union, so a `switch` over it can be exhaustive.
 *
 * @example
 * ```ts
 * const isWorthARetry = (code: SocketErrorCode): boolean =>
 *   code === 'ECONNREFUSED' || code === 'ERR_TIMEOUT_CONNECT';
 * ```
 * @see `docs/errors.md`
 */
export type SocketErrorCode = LibraryErrorCode | SystemErrorCode;

/**
 * Tells what went wrong: the one error that this library throws, notifies and rejects with (A5, C8, S3).
 *
 * Match on `code`, which is stable; `message` is for people and may change.
 *
 * @example
 * ```ts
 * const explain = (error: SocketError): string =>
 *   error.code === 'EADDRINUSE' ? 'another process listens there' : error.message;
 * ```
 * @see `docs/errors.md`, rules A5, C8 and S3
 */
export class SocketError extends Error {
  /** Always `'SocketError'`. */
  override readonly name = 'SocketError';
  /** What went wrong. */
  readonly code: SocketErrorCode;
  /** Where it went wrong; absent where no one address is to blame. */
  declare readonly address?: Address;
  /** What lies behind it: Node's error, or what a handler threw; absent where the library found the fault itself. */
  declare readonly cause?: unknown;

  /**
   * Makes an error; for a transport or a codec of one's own.
   *
   * @param code - what went wrong
   * @param message - a sentence for people that names the option or the action
   * @param details - the address and the cause, where there are any; none by default
   * @example
   * ```ts
   * throw new SocketError('ERR_FRAME_INVALID', 'the checksum is wrong');
   * ```
   * @see rule D3
   */
  constructor(
    code: SocketErrorCode,
    message: string,
    details: { address?: Address | undefined; cause?: unknown } = {},
  ) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined);
    this.code = code;
    if (details.address !== undefined) this.address = details.address;
  }
}

/**
 * Writes an offending value into a message: quoted, without control characters, and never longer than a line.
 *
 * @internal
 */
export function shown(value: unknown): string {
  const longest = 100;
  if (typeof value === 'string') {
    return value.length > longest ? `${JSON.stringify(value.slice(0, longest))}…` : JSON.stringify(value);
  }
  return cut(inspected(value, longest), longest);
}

/** An object may throw at whoever looks at it, and what is wrong with it is to be said all the same. */
function inspected(value: unknown, longest: number): string {
  try {
    return inspect(value, { depth: 0, maxArrayLength: 5, maxStringLength: longest, breakLength: Infinity });
  } catch {
    return typeof value === 'function' ? 'a function' : 'an object';
  }
}

function cut(text: string, longest: number): string {
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
}

/**
 * Writes what was thrown into the message of another error: the name and the message of an error, whatever its members
 * are, and anything else as {@link shown}.
 *
 * @internal
 */
export function reasonOf(cause: unknown): string {
  // An error of another realm is no instance of ours.
  if (!(cause instanceof Error) && !types.isNativeError(cause)) return shown(cause);
  const name = memberOf(cause, 'name') || 'Error';
  const message = memberOf(cause, 'message') || (cause instanceof AggregateError ? messageOf(cause) : '');
  return cut(message === '' ? name : `${name}: ${message}`, 1_000);
}

function memberOf(error: Error, member: 'name' | 'message'): string {
  try {
    const value: unknown = error[member];
    return typeof value === 'string' ? value : value === undefined ? '' : shown(value);
  } catch {
    return '';
  }
}

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
  const message = `${what} failed: ${cause instanceof Error ? cause.message : shown(cause)}`;
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

function messageOf(cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) return cause.errors.map(messageOf).join('; ');
  return cause instanceof Error ? cause.message : shown(cause);
}
