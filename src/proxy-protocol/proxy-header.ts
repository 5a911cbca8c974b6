import type { Address } from '../address/address.js';
import { SocketError } from '../errors/socket-error.js';
import { ipText, unmapped } from '../address-parsing/ip.js';

/** What a whole PROXY header says. */
export interface ProxyHeader {
  /** The client that it names; `undefined` where it names none (`LOCAL`, `UNKNOWN`), so that the real address stands. */
  readonly remote: Address | undefined;
  /** How many bytes it has: 15 to 4,096. */
  readonly length: number;
}

/** Makes the `remote` of 4 or 16 bytes and a port; as in a peer's own name, an IPv4-mapped address is an IPv4 one. */
export function tcpRemote(ip: Uint8Array, port: number): Address {
  return { transport: 'tcp', host: ipText(unmapped(ip)), port };
}

export function malformed(reason: string, cause?: unknown): SocketError {
  return new SocketError('ERR_PROXY_HEADER', `PROXY header: ${reason}`, cause === undefined ? {} : { cause });
}
