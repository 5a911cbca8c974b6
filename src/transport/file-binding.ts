import { once } from 'node:events';
import type net from 'node:net';
import type { Address } from '../address.js';
import { claimSocketFile, type SocketFile } from './socket-file.js';
import type { UnixAddress } from './socket-place.js';
import type { ListenerOptions } from './transport.js';

/** A binding to a socket file that is there, or under way. */
export interface FileBinding {
  /** Removes the file, or gives up; to be called before the server is closed, so that the file isn't stale for others. */
  close(): void;
}

/** Whether a server at `address` needs a {@link FileBinding}: an abstract name has no file. */
export function isFile(address: Address): boolean {
  return address.transport === 'unix' && !address.path.startsWith('\0');
}

/** Makes `server` listen at a socket file; calls back once, or never where it is closed before. */
export function bindFile(
  server: net.Server,
  address: UnixAddress,
  options: ListenerOptions,
  published: () => void,
  failed: (cause: unknown) => void,
): FileBinding {
  const claiming = new AbortController();
  const { signal } = claiming;
  let file: SocketFile | undefined;
  const listen = (path: string): Promise<unknown> => {
    const listening = once(server, 'listening', { signal });
    // Its file is its own: the processes of a cluster can't share it.
    server.listen({ path, backlog: options.backlog, exclusive: true });
    return listening;
  };
  claimSocketFile(address, options, listen, signal).then(
    (claimed) => {
      if (signal.aborted) {
        claimed.release();
        return;
      }
      file = claimed;
      published();
    },
    (cause: unknown) => {
      if (!signal.aborted) failed(cause);
    },
  );
  return {
    close(): void {
      claiming.abort();
      file?.release();
      file = undefined;
    },
  };
}
