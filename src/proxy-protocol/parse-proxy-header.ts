import type { ByteQueue } from '../bytes/byte-queue.js';
import { malformed, type ProxyHeader } from './proxy-header.js';
import { parseVersion1 } from './version-1.js';
import { parseVersion2 } from './version-2.js';

/**
 * Parses the PROXY header, of version 1 or 2, at the start of a connection from a proxy. The function removes nothing
 * from `bytes` and keeps no state. If the result is `undefined`, call the function again when more bytes have arrived.
 * If the result is a header, skip the header's `length` bytes.
 *
 * The function throws at the first byte that cannot be part of a header. But if the wrong byte follows the signature of
 * version 2, the function throws only when the field that contains the wrong byte is complete. The function asks for
 * more bytes only while `bytes` contains at most 106 bytes (version 1) or 4,095 bytes (version 2). The function does
 * not reserve a buffer of the length that a header claims.
 *
 * @param bytes - the received bytes, from the start of the connection
 * @returns the header, or `undefined` if more bytes are needed
 * @throws `ERR_PROXY_HEADER`; after this error, do not call the function again for the same connection
 * @see https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, rule S2
 */
export function parseProxyHeader(bytes: ByteQueue): ProxyHeader | undefined {
  if (bytes.length === 0) return undefined;
  const first = bytes.at(0);
  if (first === 0x50) return parseVersion1(bytes); // 'P'
  if (first === 0x0d) return parseVersion2(bytes);
  throw malformed(
    `the connection must start with a header, not with the byte 0x${first.toString(16).padStart(2, '0')}`,
  );
}
