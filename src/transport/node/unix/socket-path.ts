import { type BigIntStats, lstatSync } from 'node:fs';
import net from 'node:net';
import { formatAddress } from '../../../address/format-address.js';
import type { Address } from '../../../address/address.js';
import { SocketError, type SocketErrorCode } from '../../../errors/socket-error.js';
import { systemError } from '../../../errors/node-errors.js';
import { isShortage } from './abstract-lock.js';
import { PinnedDirectory } from './pinned-directory.js';

/** The address of a unix socket. */
export type UnixAddress = Extract<Address, { transport: 'unix' }>;

/** How long others may come and go at a path before it counts as being in use, in ms. */
const longestTurmoil = 10_000;

/** The path of a socket file to be made, and the file that is there already. */
export class SocketPath {
  readonly folder: PinnedDirectory;
  /** The name of the file in its folder. */
  readonly name: string;
  /** The path for functions that take one of any length. */
  readonly path: string;
  private readonly address: UnixAddress;
  private readonly deadline = performance.now() + longestTurmoil;

  /** Opens the folder; a relative path starts at the present working folder. */
  constructor(address: UnixAddress) {
    this.address = address;
    const slash = address.path.lastIndexOf('/') + 1;
    const parent = address.path.slice(0, slash);
    this.name = address.path.slice(slash);
    this.folder = this.attempt(`open the folder ${JSON.stringify(parent || '.')}`, () => PinnedDirectory.open(parent));
    this.path = this.folder.entry(this.name);
  }

  /** Whether nothing is there. */
  isFree(): boolean {
    return this.attempt('look at what is there', () => look(this.path)) === undefined;
  }

  /** Returns the stale socket file that is there, if there is one. Throws if anything else is there. */
  async findStale(stale: 'replace' | 'fail', signal: AbortSignal): Promise<BigIntStats | undefined> {
    while (performance.now() < this.deadline) {
      const found = this.attempt('look at what is there', () => look(this.path));
      if (found === undefined) return undefined;
      if (!found.isSocket()) throw this.refusal('ERR_NOT_A_SOCKET', `${kindOf(found)} is there, and stays`);
      if (stale === 'fail') throw this.refusal('EADDRINUSE', "a socket file is there, and stale is 'fail'");
      const path = this.attempt('ask who listens there', () => this.folder.socketPath(this.name));
      const error = await probe(path);
      signal.throwIfAborted();
      this.assertNobody(error);
      // Another file may have been there in the meantime, and refused.
      if (error?.code === 'ECONNREFUSED' && isSameBirth(look(this.path), found)) return found;
    }
    throw this.refusal('EADDRINUSE', 'others come and go there');
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

  /** Throws if somebody listens, or if that is not known. */
  private assertNobody(error: NodeJS.ErrnoException | undefined): void {
    if (isShortage(error) || isForbidden(error)) throw this.failed('ask who listens there', error);
    switch (error?.code) {
      case 'ECONNREFUSED':
      case 'ENOENT':
        return;
      case undefined:
      case 'EAGAIN':
      case 'EPROTOTYPE':
        throw this.refusal('EADDRINUSE', 'somebody listens there', error);
      default:
        throw this.refusal('EADDRINUSE', "it can't be told whether somebody listens there", error);
    }
  }
}

/** Returns what is at `path`, without following a symbolic link; `undefined` for nothing. */
export function look(path: string): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

/** Whether both are one file, if something keeps its inode from being reused. */
export function isSameFile(one: BigIntStats | undefined, other: BigIntStats): boolean {
  return one?.ino === other.ino && one.dev === other.dev;
}

/**
 * Whether both are one file, even if its inode may have been reused: another file would be younger. `mtime` is the time at
 * which a socket file was made, because nobody writes to it. A rename changes `ctime`, and not every file system has the time
 * of birth.
 */
export function isSameBirth(one: BigIntStats | undefined, other: BigIntStats): boolean {
  return isSameFile(one, other) && one?.mtimeNs === other.mtimeNs;
}

/** Whether Node's permission model has refused the call: it would refuse to listen, too. */
function isForbidden(error: NodeJS.ErrnoException | undefined): boolean {
  return error?.code === 'ERR_ACCESS_DENIED';
}

function kindOf(file: BigIntStats): string {
  if (file.isDirectory()) return 'a folder';
  if (file.isSymbolicLink()) return 'a symbolic link';
  return file.isFile() ? 'a plain file' : 'something that is no socket';
}

/**
 * Connects and leaves at once, which a server can notice. The kernel answers at once: also for a process that is stopped, and
 * for a server that is held; a full queue is `EAGAIN`.
 *
 * @returns Node's error, or `undefined` if somebody listens
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
