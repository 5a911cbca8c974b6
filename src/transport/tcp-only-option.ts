import type { DialOptions } from './transport.js';

/** The first of the given options that only TCP has. */
export function tcpOption({ localAddress, localPort, family }: DialOptions): string | undefined {
  if (localAddress !== undefined) return 'localAddress';
  if (localPort > 0) return 'localPort';
  return family === undefined ? undefined : 'family';
}
