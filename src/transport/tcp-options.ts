import type net from 'node:net';
import type { SocketOptions } from './transport.js';

/** What Node is told of a TCP socket when it is made. */
export function tcpOptions(options: SocketOptions): net.SocketConstructorOpts & net.ServerOpts {
  const { noDelay, keepAlive } = options;
  // Linux counts in whole seconds, and takes 0 for its own default of two hours.
  return { noDelay, keepAlive: keepAlive > 0, keepAliveInitialDelay: Math.max(1_000, keepAlive) };
}
