import { MemoryTransport } from '../transport/memory.js';
import type { Transport } from '../transport/transport.js';

export function memoryTransport(): Transport {
  return new MemoryTransport();
}
