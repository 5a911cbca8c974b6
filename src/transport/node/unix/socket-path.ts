import { type BigIntStats, lstatSync } from 'node:fs';
import net from 'node:net';
import { formatAddress } from '../../../address/format-address.js';
import type { Address } from '../../../address/address.js';
import { SocketError, type SocketErrorCode } from '../../../errors/socket-error.js';
import { systemError } from '../../../errors/node-errors.js';
import { isShortage } from './abstract-lock.js';
import { PinnedDirectory } from './pinned-directory.js';

export type UnixAddress = Extract<Address, { transport: 'unix' }>;

/** How long other processes are allowed to keep changing the file at a path before the path counts as in use, in ms. */
const longestTurmoil = 10_000;

/** The path where a server publishes its socket file. */
export class SocketPath {
  readonly folder: PinnedDirectory;
  readonly name: string;
  /** The path for functions that accept paths of any length. */
  readonly path: string;
  private readonly address: UnixAddress;
  private readonly deadline = performance.now() + longestTurmoil;

  constructor(address: UnixAddress) {
    this.address = address;
    const slash = address.path.lastIndexOf('/') + 1;
    const parent = address.path.slice(0, slash);
    this.name = address.path.slice(slash);
    this.folder = this.attempt(`open the folder ${JSON.stringify(parent || '.')}`, () => PinnedDirectory.open(parent));
    this.path = this.folder.entry(this.name);
  }

  isFree(): boolean {
    return this.attempt('examine the path', () => look(this.path)) === undefined;
  }

  /**
   * Returns the stale socket file at the path, or `undefined` if no file is at the path. Throws if a file that is not a
   * stale socket file is at the path. If `stale` is `'fail'`, throws if any file is at the path.
   */
  async findStale(stale: 'replace' | 'fail', signal: AbortSignal): Promise<BigIntStats | undefined> {
    while (performance.now() < this.deadline) {
      const found = this.attempt('examine the path', () => look(this.path));
      if (found === undefined) return undefined;
      if (!found.isSocket())
        throw this.refusal('ERR_NOT_A_SOCKET', `the path is ${kindOf(found)}, which is left as it is`);
      if (stale === 'fail') throw this.refusal('EADDRINUSE', "a socket file exists, and stale is 'fail'");
      const path = this.attempt('connect to the socket file', () => this.folder.socketPath(this.name));
      const error = await probe(path);
      signal.throwIfAborted();
      this.assertNoServer(error);
      // The ECONNREFUSED may have come from another file that was at the path only briefly, so check that the path
      // still holds the same file.
      if (error?.code === 'ECONNREFUSED' && isSameBirth(look(this.path), found)) return found;
    }
    throw this.refusal('EADDRINUSE', 'other processes keep changing the file');
  }

  attempt<T>(what: string, act: () => T): T {
    try {
      return act();
    } catch (cause) {
      throw this.failed(what, cause);
    }
  }

  failed(what: string, cause: unknown): SocketError {
    return this.refusal(systemError(cause, what).code, `can't ${what}`, cause);
  }

  refusal(code: SocketErrorCode, why: string, cause?: unknown): SocketError {
    const { address } = this;
    const message = `listen at ${formatAddress(address)}: ${code} (${why})`;
    return new SocketError(code, message, cause === undefined ? { address } : { address, cause });
  }

  /** Throws if a process is listening on the file, or might be. */
  private assertNoServer(error: NodeJS.ErrnoException | undefined): void {
    if (isShortage(error) || isForbidden(error)) throw this.failed('connect to the socket file', error);
    switch (error?.code) {
      case 'ECONNREFUSED':
      case 'ENOENT':
        return;
      case undefined:
      case 'EAGAIN':
      case 'EPROTOTYPE':
        throw this.refusal('EADDRINUSE', 'a server listens there', error);
      default:
        throw this.refusal('EADDRINUSE', 'a server may listen there', error);
    }
  }
}

/** Returns the file at `path`, or `undefined` if no file exists. Does not follow a symbolic link. */
export function look(path: string): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

/** Whether `one` and `other` are the same file, provided that the inode number of `other` cannot have been reused. */
export function isSameFile(one: BigIntStats | undefined, other: BigIntStats): boolean {
  return one?.ino === other.ino && one.dev === other.dev;
}

/**
 * Whether `one` and `other` are the same file, even if inode numbers are reused. The `mtime` of a socket file is the
 * time of its creation, so a file that reuses an inode number has a later `mtime`. `ctime` and `birthtime` cannot be
 * used: a rename changes `ctime`, and some file systems lack `birthtime`.
 */
export function isSameBirth(one: BigIntStats | undefined, other: BigIntStats): boolean {
  return isSameFile(one, other) && one?.mtimeNs === other.mtimeNs;
}

/** Whether Node's permission model has refused the call. */
function isForbidden(error: NodeJS.ErrnoException | undefined): boolean {
  return error?.code === 'ERR_ACCESS_DENIED';
}

function kindOf(file: BigIntStats): string {
  if (file.isDirectory()) return 'a folder';
  if (file.isSymbolicLink()) return 'a symbolic link';
  return file.isFile() ? 'a regular file' : 'not a socket';
}

/**
 * Connects to the socket file at `path`, and immediately disconnects. The kernel answers immediately, even if the
 * server's process is suspended (SIGSTOP). If the server's queue is full, the error is `EAGAIN`.
 *
 * @returns Node's error, or `undefined` if a server listens
 */
function probe(path: string): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const socket = net.connect({ path });
    socket.on('connect', () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.on('error', resolve);
  });
}
