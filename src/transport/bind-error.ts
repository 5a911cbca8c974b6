import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Address, formatAddress } from '../address.js';
import { SocketError, systemError } from '../errors.js';

/** Why `address` can't be listened on (S3). libuv tells a missing folder as EACCES, as Windows does, and not which. */
export function bindError(cause: unknown, address: Address): SocketError {
  const action = `listen at ${formatAddress(address)}`;
  const error = systemError(cause, action, address);
  if (address.transport !== 'unix' || error.code !== 'EACCES') return error;
  const folder = dirname(address.path);
  if (address.path.startsWith('\0') || !isMissing(folder)) return error;
  return new SocketError('ENOENT', `${action}: ENOENT (there is no folder ${folder})`, { address, cause });
}

function isMissing(path: string): boolean {
  try {
    statSync(path);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}
