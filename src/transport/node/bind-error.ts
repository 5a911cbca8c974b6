import { lstatSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { formatAddress } from '../../address/format-address.js';
import type { Address } from '../../address/address.js';
import { SocketError } from '../../errors/socket-error.js';
import { systemError } from '../../errors/node-errors.js';

/** Why `address` can't be listened on (S3). libuv tells a missing folder as EACCES, as Windows does, and not which. */
export function bindError(cause: unknown, address: Address): SocketError {
  const action = `listen at ${formatAddress(address)}`;
  const error = systemError(cause, action, address);
  if (address.transport === 'fd' && error.code === 'EINVAL') {
    return new SocketError('EINVAL', `${action}: EINVAL (it is no socket that can be listened on)`, { address, cause });
  }
  if (address.transport !== 'unix' || address.path.startsWith('\0')) return error;
  if (error.code === 'EADDRINUSE' && isOther(address.path)) {
    return new SocketError('ERR_NOT_A_SOCKET', `${action}: the file that stands there is no socket`, {
      address,
      cause,
    });
  }
  if (error.code === 'EADDRINUSE') {
    const hint = 'if no server listens there any more, remove the file';
    return new SocketError('EADDRINUSE', `${error.message}; ${hint}`, { address, cause });
  }
  const folder = dirname(address.path);
  if (error.code !== 'EACCES' || !isMissing(folder)) return error;
  return new SocketError('ENOENT', `${action}: ENOENT (there is no folder ${folder})`, { address, cause });
}

/** Whether something stands at `path` that is no socket: a file, a folder, a symbolic link. */
function isOther(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSocket() === false;
}

function isMissing(path: string): boolean {
  try {
    statSync(path);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}
