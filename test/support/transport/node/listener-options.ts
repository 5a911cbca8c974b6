import type { ListenerOptions } from '../../../../src/transport/transport.js';

/** Options for a listener of plain text, without limits that a test could reach. */
export const listenerOptions: ListenerOptions = {
  backlog: 511,
  mode: 0o600,
  stale: 'fail',
  reusePort: false,
  tls: undefined,
  proxyProtocol: undefined,
  handshakeTimeout: 0,
  maxConnections: 100,
  noDelay: true,
  keepAlive: 0,
};
