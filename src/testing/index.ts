/**
 * Tools for tests of programs that use sockets: a network within the process, a proxy that injects faults, and checks
 * for codecs.
 *
 * @module rxjs-sockets/testing
 */
export type { FaultDirection, FaultKind, FaultRange, Faults, InjectedFault } from './faults.js';
export { faulty, type Faulty, type FaultyOptions } from './faulty.js';
export { memoryTransport } from './memory-transport.js';
export { verifyCodec, type VerifyCodecOptions } from './verify-codec.js';
