import { MemoryTransport } from '../transport/memory/memory-transport.js';
import type { Transport } from '../transport/transport.js';

/**
 * Makes a network within the process, for tests. Servers and clients with the same transport can reach each other, at
 * any `tcp`, `unix` or `memory` address.
 *
 * Each connection consists of two pipes. A writer waits while its pipe has more than 65,536 bytes, so a slow reader has
 * the same effect as over a real socket. I/O happens on RxJS's `asapScheduler`, and timers run on `asyncScheduler`. So
 * within `TestScheduler.run`, everything is synchronous, and time is virtual.
 *
 * With this transport, `listen` and `connect` refuse `tls` and `fd` addresses with `ERR_ADDRESS_INVALID`.
 *
 * @returns a transport for the option `transport`. It shares nothing with other transports
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
