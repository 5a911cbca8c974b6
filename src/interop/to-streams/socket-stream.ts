import type { Duplex } from 'node:stream';

/**
 * Stands in for a `net.Socket`: its members and events mean the same as those of a `net.Socket`. {@link toNodeStream}
 * returns such a stream.
 *
 * The members of a TLS socket (`encrypted`, `authorized`, `alpnProtocol` and so on) exist only if the connection uses
 * TLS. Addresses, ports and families are undefined until the stream is connected, and always undefined if the
 * connection does not use TCP. Besides the events of a Duplex, the stream emits `'connect'`, `'ready'` and `'timeout'`.
 * With TLS, the stream emits `'secureConnect'` as well.
 * @example
 * ```ts
 * const stream: SocketStream = toNodeStream(connection);
 * console.log(stream.remoteAddress, stream.remotePort);
 * ```
 * @see https://nodejs.org/api/net.html#class-netsocket, rules I1 to I3
 */
export interface SocketStream extends Duplex {
  /** Whether the client is still connecting. */
  readonly connecting: boolean;
  /** Whether the connection is not open yet, or the stream was destroyed. */
  readonly pending: boolean;
  /** Which sides are open. */
  readonly readyState: 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed';
  /** The number of bytes received, including unread bytes. */
  readonly bytesRead: number;
  /** The number of bytes written, including unsent bytes. */
  readonly bytesWritten: number;
  /** The number of bytes written but not sent, like `writableLength`. */
  readonly bufferSize: number;
  /** The peer's IP address. */
  readonly remoteAddress: string | undefined;
  /** The peer's port. */
  readonly remotePort: number | undefined;
  /** `'IPv4'` or `'IPv6'`. */
  readonly remoteFamily: string | undefined;
  /** The local IP address. */
  readonly localAddress: string | undefined;
  /** The local port. */
  readonly localPort: number | undefined;
  /** `'IPv4'` or `'IPv6'`. */
  readonly localFamily: string | undefined;
  /** The time that was last passed to `setTimeout`, in ms. */
  readonly timeout: number | undefined;
  /**
   * True if the connection uses TLS. Otherwise this member and the next four, up to `servername`, are absent.
   */
  readonly encrypted?: true;
  /** Whether the peer's certificate was verified. */
  readonly authorized?: boolean;
  /** Why the peer's certificate was not verified. */
  readonly authorizationError?: string | null;
  /** The negotiated protocol (ALPN), or false. */
  readonly alpnProtocol?: string | false;
  /** The server name that the client asked for (SNI), or false. */
  readonly servername?: string | false;
  /**
   * Returns the local address.
   *
   * @returns the address. Until the stream is connected, and if the connection does not use TCP: an empty object
   */
  address(): { address: string; family: string; port: number } | Record<string, never>;
  /**
   * Emits `'connect'` in a later turn, even if the connection is already open. This method dials nothing. It exists for
   * drivers that call it.
   *
   * @param args - ignored, except for a listener for `'connect'`
   * @returns the stream
   */
  connect(...args: readonly unknown[]): this;
  /**
   * Makes the stream emit `'timeout'` when nothing has been received or sent for `timeout` ms. The connection stays
   * open, and the timer does not keep the process running.
   *
   * @param timeout - in ms, at least 0; 0 disables the timeout
   * @param listener - called at the next `'timeout'`
   * @returns the stream
   */
  setTimeout(timeout: number, listener?: () => void): this;
  /**
   * Switches TCP_NODELAY on or off as soon as the stream is connected. In either case, all writes of one turn go out as
   * one write.
   *
   * @param on - default true
   * @returns the stream
   */
  setNoDelay(on?: boolean): this;
  /**
   * Switches TCP keep-alive on or off as soon as the stream is connected.
   *
   * @param on - default false
   * @param delay - the idle time before the first probe, in ms; default 0, which leaves the time unchanged
   * @returns the stream
   */
  setKeepAlive(on?: boolean, delay?: number): this;
  /**
   * Makes the open socket keep the process running. This is the default.
   *
   * @returns the stream
   */
  ref(): this;
  /**
   * Lets the process end while the socket is open. A client that is still connecting keeps the process running, and so
   * does a timer such as `idleTimeout`.
   *
   * @returns the stream
   */
  unref(): this;
  /** Ends the writable side, and destroys the stream when everything has been written. */
  destroySoon(): void;
  /**
   * Destroys the stream, and resets the connection if the transport supports that (C20).
   *
   * @returns the stream
   */
  resetAndDestroy(): this;
}
