import { MemoryTransport } from '../transport/memory/memory-transport.js';
import type { Transport } from '../transport/transport.js';

/**
 * Makes a network within the process, for tests. Servers and clients with the same transport can reach each other at
 * any `tcp`, `unix` or `memory` address.
 *
 * A writer has to wait while the other end has more than 65,536 unread bytes, as over a real socket. I/O runs on RxJS's
 * `asapScheduler`, and timers run on `asyncScheduler`. So within `TestScheduler.run`, everything is synchronous, and
 * time is virtual.
 *
 * `listen` and `connect` reject `tls` and `fd` addresses with `ERR_ADDRESS_INVALID`.
 *
 * @returns the transport, which shares nothing with other memory transports
 * @example
 * ```ts
 * const transport = memoryTransport();
 * const server = listen('memory:echo', { transport, codec: lines() });
 * const client = connect('memory:echo', { transport, codec: lines() });
 * ```
 * @see rules C1 to C21, which also hold for this transport
 */
export function memoryTransport(): Transport {
  return new MemoryTransport();
}
