import type { Address } from '../address/address.js';
import { SocketError } from '../errors/socket-error.js';
import { canonicalIp } from '../address-parsing/ip.js';

/** What a whole PROXY header says. */
export interface ProxyHeader {
  /** The client that it names; `undefined` where it names none (`LOCAL`, `UNKNOWN`), so that the real address stands. */
  readonly remote: Address | undefined;
  /** How many bytes it has: 15 to 4,096. */
  readonly length: number;
}

/** The address of a client with a valid IP address, written as Node writes that of a peer. */
export function tcpRemote(ip: string, port: number): Address {
  return { transport: 'tcp', host: canonicalIp(ip) ?? ip, port };
}

export function malformed(reason: string, cause?: unknown): SocketError {
  return new SocketError('ERR_PROXY_HEADER', `PROXY header: ${reason}`, cause === undefined ? {} : { cause });
}
