import type { Address } from '../address/address.js';
import { SocketError } from '../errors/socket-error.js';
import { canonicalIp } from '../address-parsing/ip.js';

export interface ProxyHeader {
  /**
   * The client that the header names; `undefined` if the header names no client (as with `LOCAL` or `UNKNOWN`). If the
   * header names no client, the connection keeps the peer's real address.
   */
  readonly remote: Address | undefined;
  /** The size of the header in bytes: 15 to 4,096. */
  readonly length: number;
}

/** Makes a client's address from a valid IP address, in the form in which Node reports a peer's address. */
export function tcpRemote(ip: string, port: number): Address {
  return { transport: 'tcp', host: canonicalIp(ip) ?? ip, port };
}

export function malformed(reason: string, cause?: unknown): SocketError {
  return new SocketError('ERR_PROXY_HEADER', `PROXY header: ${reason}`, cause === undefined ? {} : { cause });
}
