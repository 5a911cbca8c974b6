import type { Duplex } from 'node:stream';

/**
 * Replaces a `net.Socket`: each member and event of a SocketStream means the same as in a `net.Socket`. {@link
 * toNodeStream} returns a SocketStream.
 *
 * The members of a TLS socket (`encrypted`, `authorized`, `alpnProtocol` and so on) exist only if the connection uses
 * TLS. Addresses, ports and families are undefined until the stream is connected, and stay undefined if the connection
 * does not use TCP. Besides the events of a Duplex, the stream emits `'connect'`, `'ready'` and `'timeout'`. With TLS,
 * the stream emits `'secureConnect'` as well.
 * @example
 * ```ts
 * const stream: SocketStream = toNodeStream(connection);
 * console.log(stream.remoteAddress, stream.remotePort);
 * ```
 * @see https://nodejs.org/api/net.html#class-netsocket, rules I1 to I3
 */
export interface SocketStream extends Duplex {
  /** Whether the client of the stream is still connecting. */
  readonly connecting: boolean;
  /** Whether the connection is not open yet, or the stream was destroyed. */
  readonly pending: boolean;
  /** Which sides of the stream are open. */
  readonly readyState: 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed';
  /** The number of bytes received, including the bytes that the program has not read. */
  readonly bytesRead: number;
  /** The number of bytes that the program has written, including bytes that have not been sent. */
  readonly bytesWritten: number;
  /** The number of bytes that were written but have not been sent. Equal to `writableLength`. */
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
   * True if the connection uses TLS. Without TLS, `encrypted`, `authorized`, `authorizationError`, `alpnProtocol` and
   * `servername` are absent.
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
   * @returns the address; an empty object if the stream is not connected yet, or if the connection does not use TCP
   */
  address(): { address: string; family: string; port: number } | Record<string, never>;
  /**
   * Emits `'connect'` in a later turn, even if the connection is already open. The method `connect` dials nothing. The
   * method exists because some drivers call `connect` on every socket.
   *
   * @param args - ignored, except for a function as the last argument, which becomes a listener for `'connect'`
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
   * Switches TCP_NODELAY on or off as soon as the stream is connected. Whether TCP_NODELAY is on or off, all writes of
   * one turn go out as one write.
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
   * Makes the open socket keep the process running, which is the default.
   *
   * @returns the stream
   */
  ref(): this;
  /**
   * Lets the process end while the socket is open. The process still keeps running while a client is connecting, or
   * while a timer such as that of `idleTimeout` runs.
   *
   * @returns the stream
   */
  unref(): this;
  /** Ends the writable side, and destroys the stream when everything has been written. */
  destroySoon(): void;
  /**
   * Destroys the stream, and resets the connection if the transport can reset a connection (C20).
   *
   * @returns the stream
   */
  resetAndDestroy(): this;
}
