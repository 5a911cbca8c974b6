import type { Duplex } from 'node:stream';

/**
 * Stands in for a `net.Socket`: what {@link toNodeStream} gives. Its members mean what they mean there.
 *
 * What Node has on sockets with TLS only (`encrypted`, `authorized`, `alpnProtocol` and so on) is there only where the
 * connection speaks TLS, so that `'encrypted' in stream` tells it.
 *
 * @emits `'connect'`, `'ready'` and `'timeout'` besides the events of a Duplex; `'close'` comes with `true` after an error
 * @backpressure as of a Duplex: `write` gives false while much waits, and a stream that is not read stops the peer
 * @example
 * ```ts
 * const stream: SocketStream = toNodeStream(connection);
 * console.log(stream.remoteAddress, stream.remotePort);
 * ```
 * @see https://nodejs.org/api/net.html#class-netsocket, rules I1 to I3
 */
export interface SocketStream extends Duplex {
  /** Whether the client behind it has no connection yet. */
  readonly connecting: boolean;
  /** Whether there is no connection yet. */
  readonly pending: boolean;
  /** Which of its sides are open. */
  readonly readyState: 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed';
  /** How many bytes the connection has received, those that still wait too. */
  readonly bytesRead: number;
  /** How many bytes were written, those that still wait too. */
  readonly bytesWritten: number;
  /** How many bytes were written and still wait, as `writableLength` tells. */
  readonly bufferSize: number;
  /** The peer's IP address; undefined without TCP, and until it is connected. */
  readonly remoteAddress: string | undefined;
  /** The peer's port; undefined without TCP, and until it is connected. */
  readonly remotePort: number | undefined;
  /** `'IPv4'` or `'IPv6'`; undefined without TCP, and until it is connected. */
  readonly remoteFamily: string | undefined;
  /** The own IP address; undefined without TCP, and until it is connected. */
  readonly localAddress: string | undefined;
  /** The own port; undefined without TCP, and until it is connected. */
  readonly localPort: number | undefined;
  /** `'IPv4'` or `'IPv6'`; undefined without TCP, and until it is connected. */
  readonly localFamily: string | undefined;
  /** The time that `setTimeout` was called with last, in ms. */
  readonly timeout: number | undefined;
  /** True where the connection speaks TLS; absent elsewhere, as are the members that follow. */
  readonly encrypted?: true;
  /** Whether the peer's certificate was verified. */
  readonly authorized?: boolean;
  /** Why the peer's certificate was not verified. */
  readonly authorizationError?: string | null;
  /** The protocol that was agreed on (ALPN), or false. */
  readonly alpnProtocol?: string | false;
  /** The name that the client asked for (SNI), or false. */
  readonly servername?: string | false;
  /**
   * Tells the own address.
   *
   * @returns an object without members where there is no TCP, and until it is connected
   */
  address(): { address: string; family: string; port: number } | Record<string, never>;
  /**
   * Does what a driver expects of it: the stream dials by itself, to the client's address, when it is made.
   *
   * @param args - as of `net.Socket`; all are ignored, but for a listener for `'connect'`
   * @returns the stream
   * @emits `'connect'`, in a later turn, also where the connection is open already
   */
  connect(...args: readonly unknown[]): this;
  /**
   * Has `'timeout'` emitted when nothing was received or sent for so long. It ends nothing, and the process does not wait for it.
   *
   * @param timeout - ms, 0 and more; 0 switches it off
   * @param listener - called at the next `'timeout'`
   * @returns the stream
   */
  setTimeout(timeout: number, listener?: () => void): this;
  /**
   * Sets TCP_NODELAY, once it is connected. What is written in one turn goes out together anyhow.
   *
   * @param on - default true
   * @returns the stream
   */
  setNoDelay(on?: boolean): this;
  /**
   * Sets whether TCP asks if the peer is there, once it is connected.
   *
   * @param on - default false
   * @param delay - after how many ms of silence; default 0: as before
   * @returns the stream
   */
  setKeepAlive(on?: boolean, delay?: number): this;
  /**
   * Has the open socket keep the process running, as it does by default.
   *
   * @returns the stream
   */
  ref(): this;
  /**
   * Lets the process end while the socket is open. A client that is connecting, and the timers of the options, still keep
   * it running.
   *
   * @returns the stream
   */
  unref(): this;
  /** Ends the writable side, and destroys the stream when everything is written. */
  destroySoon(): void;
  /**
   * Destroys the stream, and resets the connection where the transport has a reset (C20).
   *
   * @returns the stream
   */
  resetAndDestroy(): this;
}
