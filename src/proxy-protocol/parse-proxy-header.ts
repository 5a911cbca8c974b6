import type { ByteQueue } from '../bytes/byte-queue.js';
import { malformed, type ProxyHeader } from './proxy-header.js';
import { parseVersion1 } from './version-1.js';
import { parseVersion2 } from './version-2.js';

/**
 * Reads the PROXY header, of version 1 or 2, with which a connection from a proxy starts. It takes nothing off and
 * remembers nothing: call it again when more bytes have come, and skip `length` bytes once it gives a header.
 *
 * It is strict, so that it never takes something else for a header: what no further bytes could make one is refused at
 * the first wrong byte (in version 2, at the end of the first wrong field). What waits for the rest of a header is at
 * most 106 bytes of version 1, and 4,095 bytes of version 2; nothing is allocated for what a length claims.
 *
 * @param bytes - what has come, from the first byte of the connection on
 * @returns the header, or `undefined` where more bytes are needed.
 * @throws `ERR_PROXY_HEADER`, which is final.
 * @see https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, rule S2
 */
export function parseProxyHeader(bytes: ByteQueue): ProxyHeader | undefined {
  if (bytes.length === 0) return undefined;
  const first = bytes.at(0);
  if (first === 0x50) return parseVersion1(bytes); // 'P'
  if (first === 0x0d) return parseVersion2(bytes);
  throw malformed(`the connection must start with one, not with the byte 0x${first.toString(16).padStart(2, '0')}`);
}
