import type { Address } from '../address/address.js';
import { SocketError } from '../errors/socket-error.js';
import { canonicalIp } from '../address-parsing/ip.js';

/** The content of a PROXY header. */
export interface ProxyHeader {
  /** The client that it names; `undefined` if it names none (`LOCAL`, `UNKNOWN`): then the real address is used. */
  readonly remote: Address | undefined;
  /** Its size in bytes: 15 to 4,096. */
  readonly length: number;
}

/** The address of a client with a valid IP address, written as Node writes that of a peer. */
export function tcpRemote(ip: string, port: number): Address {
  return { transport: 'tcp', host: canonicalIp(ip) ?? ip, port };
}

export function malformed(reason: string, cause?: unknown): SocketError {
  return new SocketError('ERR_PROXY_HEADER', `PROXY header: ${reason}`, cause === undefined ? {} : { cause });
}
