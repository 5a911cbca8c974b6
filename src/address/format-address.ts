import type { Address } from './address.js';

/**
 * Writes an address as a string that {@link parseAddress} accepts.
 *
 * @param address - the address
 * @returns the string. For an unnamed unix socket, the string is `'unix:'`, which `parseAddress` rejects
 * @example
 * ```ts
 * formatAddress({ transport: 'tcp', host: '::1', port: 443, tls: true }); // 'tls://[::1]:443'
 * formatAddress({ transport: 'unix', path: '\0app' }); // 'unix:@app'
 * ```
 * @see rule A1
 */
export function formatAddress(address: Address): string {
  switch (address.transport) {
    case 'tcp': {
      const host = address.host.includes(':') ? `[${address.host}]` : address.host;
      return `${address.tls ? 'tls' : 'tcp'}://${host}:${address.port}`;
    }
    case 'unix':
      return address.path.startsWith('\0') ? `unix:@${address.path.slice(1)}` : `unix:${filePath(address.path)}`;
    case 'memory':
      return `memory:${address.name}`;
    case 'fd':
      return `fd:${address.fd}`;
  }
}

/**
 * Returns `path`. If `path` starts with `@`, puts `./` in front, so that `parseAddress` reads the result as a file
 * (A1).
 */
export function filePath(path: string): string {
  return path.startsWith('@') ? `./${path}` : path;
}
