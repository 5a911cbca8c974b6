import { MemoryTransport } from '../transport/memory/memory-transport.js';
import type { Transport } from '../transport/transport.js';

/**
 * Makes a network within the process, for tests: servers and clients that are given the same one find each other, under
 * any address of `tcp`, `unix` or `memory`.
 *
 * Each connection is two pipes of 65,536 bytes, so that a slow reader is felt as over a real socket. Everything happens
 * on RxJS's `asapScheduler` and every timer on `asyncScheduler`, so within `TestScheduler.run` all of it is synchronous
 * and its time virtual.
 *
 * @returns a transport for the option `transport`; nothing is shared with another one
 * @throws nothing; `listen` and `connect` refuse `tls` and `fd` addresses with `ERR_ADDRESS_INVALID` (A5)
 * @backpressure a pipe that holds more than 65,536 bytes makes its writer wait
 * @example
 * ```ts
 * const transport = memoryTransport();
 * const server = listen('memory:echo', { transport, codec: lines() });
 * const client = connect('memory:echo', { transport, codec: lines() });
 * ```
 * @see rules C1 to C21, which hold over it as well
 */
export function memoryTransport(): Transport {
  return new MemoryTransport();
}
