import { once } from 'node:events';
import type net from 'node:net';
import type { Address } from '../../../address/address.js';
import { claimSocketFile } from './socket-file.js';
import type { UnixAddress } from './socket-path.js';
import type { ListenerOptions } from '../../transport.js';

/** A binding to a socket file that is there, or under way. */
export interface FileBinding {
  /**
   * Removes the file, or gives up; to be called before the server is closed, so that the file isn't stale for others.
   * Resolves once nothing is left of what was under way.
   */
  close(): Promise<void>;
}

/** Whether a server at `address` needs a {@link FileBinding}: an abstract name has no file. */
export function isFile(address: Address): boolean {
  return address.transport === 'unix' && !address.path.startsWith('\0');
}

/**
 * Makes `server` listen at a socket file: at once, where nothing is in the way. Calls back once, later, or never where it
 * is closed before.
 */
export function bindFile(
  server: net.Server,
  address: UnixAddress,
  options: ListenerOptions,
  published: () => void,
  failed: (cause: unknown) => void,
): FileBinding {
  const claiming = new AbortController();
  const { signal } = claiming;
  const listen = (path: string): Promise<unknown> | undefined => {
    // Its file is its own: the processes of a cluster can't share it.
    server.listen({ path, backlog: options.backlog, exclusive: true });
    // Node has bound it by now, or has failed to: why, it tells by an event.
    return server.listening ? undefined : once(server, 'listening', { signal });
  };
  const settled = claimSocketFile(address, options, listen, signal).then(
    () => {
      if (!signal.aborted) published();
    },
    (cause: unknown) => {
      if (!signal.aborted) failed(cause);
    },
  );
  return {
    close(): Promise<void> {
      claiming.abort();
      return settled;
    },
  };
}
