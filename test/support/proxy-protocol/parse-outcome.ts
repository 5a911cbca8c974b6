import { SocketError, type SocketErrorCode } from '../../../src/errors/socket-error.js';
import { ChunkQueue } from '../../../src/bytes/chunk-queue.js';
import { parseProxyHeader } from '../../../src/proxy-protocol/parse-proxy-header.js';
import type { ProxyHeader } from '../../../src/proxy-protocol/proxy-header.js';

/** A header, 'more' if bytes are missing, or the code of the refusal. */
export type Outcome = ProxyHeader | 'more' | SocketErrorCode;

/** Passes `chunks` to the parser one by one, until it returns a header or refuses them. No bytes leave the queue. */
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

/** After how many single bytes the parser refuses `bytes`, or `undefined` if it does not refuse them. */
export function refusedAt(bytes: Uint8Array): number | undefined {
  const queue = new ChunkQueue();
  const outcome = outcomeOf(singles(bytes), queue);
  return outcome === 'ERR_PROXY_HEADER' ? queue.length : undefined;
}

/** One chunk for each byte. */
export function singles(bytes: Uint8Array): Buffer[] {
  return Array.from(bytes, (byte) => Buffer.of(byte));
}
