/**
 * What tests of programs on sockets need: sockets in memory, a proxy with faults, and checks for codecs.
 *
 * @module rxjs-sockets/testing
 */
export type { FaultDirection, FaultKind, FaultRange, Faults } from './faults.js';
export { faulty, type Faulty, type FaultyOptions, type InjectedFault } from './faulty.js';
export { memoryTransport } from './memory-transport.js';
export { verifyCodec, type VerifyCodecOptions } from './verify-codec.js';
