import { SocketError, type SocketErrorCode } from '../../../src/errors/socket-error.js';
import { ChunkQueue } from '../../../src/bytes/chunk-queue.js';
import { parseProxyHeader } from '../../../src/proxy-protocol/parse-proxy-header.js';
import type { ProxyHeader } from '../../../src/proxy-protocol/proxy-header.js';

/** A header; that more bytes are needed; or the code that it is refused with. */
export type Outcome = ProxyHeader | 'more' | SocketErrorCode;

/** Gives `chunks` to the parser one after the other, until it has a header or refuses; nothing is taken off. */
export function outcomeOf(chunks: Iterable<Uint8Array>, queue: ChunkQueue = new ChunkQueue()): Outcome {
  try {
    for (const chunk of chunks) {
      queue.push(Buffer.from(chunk));
      const header = parseProxyHeader(queue);
      if (header !== undefined) return header;
    }
    return 'more';
  } catch (error) {
    if (error instanceof SocketError) return error.code;
    throw error;
  }
}

/** How many bytes it takes, given one by one, until `bytes` is refused; `undefined` where it is not. */
export function refusedAt(bytes: Uint8Array): number | undefined {
  const queue = new ChunkQueue();
  const outcome = outcomeOf(singles(bytes), queue);
  return outcome === 'ERR_PROXY_HEADER' ? queue.length : undefined;
}

/** One chunk for each byte. */
export function singles(bytes: Uint8Array): Buffer[] {
  return Array.from(bytes, (byte) => Buffer.of(byte));
}
