import type { Address } from '../address/address.js';

/**
 * Lists the codes of errors that the library detects. `docs/errors.md` explains each code.
 *
 * @example
 * ```ts
 * const code: LibraryErrorCode = 'ERR_CLOSED';
 * ```
 * @see {@link SocketErrorCode}
 */
export type LibraryErrorCode =
  /** An address is malformed, or the transport does not support it. */
  | 'ERR_ADDRESS_INVALID'
  /** An option or an argument is bad or unknown. */
  | 'ERR_OPTION_INVALID'
  /** The sending side has ended, or the program itself ended the connection. */
  | 'ERR_CLOSED'
  /** More than `maxBuffered` bytes would be queued, more than `maxPending` requests would be pending, or too many events
   * of `requests` would be buffered. */
  | 'ERR_OVERFLOW'
  /** A message is longer than the codec allows. */
  | 'ERR_FRAME_TOO_LONG'
  /** Received bytes are not a message of the codec, or a value cannot be encoded. */
  | 'ERR_FRAME_INVALID'
  /** The peer ended the stream inside a message. */
  | 'ERR_FRAME_TRUNCATED'
  /** An operator that needs a Flow was applied to a plain Observable. */
  | 'ERR_NOT_A_FLOW'
  /** The unix path to listen on exists, but is not a socket. */
  | 'ERR_NOT_A_SOCKET'
  /** Nothing was sent or received for `idleTimeout`. */
  | 'ERR_TIMEOUT_IDLE'
  /** Nothing was received for `receiveTimeout`. */
  | 'ERR_TIMEOUT_RECEIVE'
  /** The peer has ended its side, and nothing was sent for `halfOpenTimeout`. */
  | 'ERR_TIMEOUT_HALF_OPEN'
  /** The program did not use an emitted connection within `claimTimeout`. */
  | 'ERR_TIMEOUT_CLAIM'
  /** A graceful close took longer than `closeTimeout`, or a shutdown took longer than its `deadline`. */
  | 'ERR_TIMEOUT_CLOSE'
  /** The PROXY header and the TLS handshake together took longer than `handshakeTimeout`. */
  | 'ERR_TIMEOUT_HANDSHAKE'
  /** An attempt to connect took longer than `connectTimeout`. */
  | 'ERR_TIMEOUT_CONNECT'
  /** No answer arrived within the `timeout` of `requests`. */
  | 'ERR_TIMEOUT_REQUEST'
  /** A client arrived while `maxConnections` connections were open, or while `acceptQueue` was full. */
  | 'ERR_LIMIT_CONNECTIONS'
  /** A TLS handshake failed. */
  | 'ERR_TLS'
  /** A connection did not begin with a valid PROXY header from a trusted peer. */
  | 'ERR_PROXY_HEADER'
  /** A handler has failed, or a source that the program was sending has failed. */
  | 'ERR_HANDLER';

/**
 * Lists the codes of operating-system errors, named as in Node. `docs/errors.md` explains each code. If the code of
 * Node's error is not in this list, the SocketError has the code `EIO`. If Node's permission model refuses an action,
 * the code is `EACCES`. The `cause` of the SocketError is Node's error.
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
 * Lists the codes of {@link SocketError}: a closed union, so a `switch` over the codes can be exhaustive.
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
 * The class of all errors that this library throws or reports.
 *
 * Match on `code`, which is stable. The `message` is for people, and may change.
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
  /** Identifies the kind of problem. */
  readonly code: SocketErrorCode;
  /** The address that the error concerns, if any. */
  declare readonly address?: Address;
  /**
   * Node's error, the value with which a handler, a source or a codec failed, or the reason that the program gave when
   * it ended the connection. Absent if the library detected the problem itself.
   */
  declare readonly cause?: unknown;

  /**
   * Creates an error, for example in your own transport or codec.
   *
   * @param code - what went wrong
   * @param message - a description for people, which names the option or the action
   * @param details - the address and the cause, if any
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
