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

/** How long, in ms, others may come and go at a place before that counts as its being in use. */
const longestTurmoil = 10_000;

/** Where a socket file shall be, and what is there already. */
export class SocketPath {
  readonly folder: PinnedDirectory;
  /** What the file is called in its folder. */
  readonly name: string;
  /** What leads to it, for whatever takes a path of any length. */
  readonly path: string;
  private readonly address: UnixAddress;
  private readonly deadline = performance.now() + longestTurmoil;

  /** Opens the folder; a relative path starts at the working folder of now. */
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

  /** Gives the stale socket file that is there, if there is one. Whatever else is there is refused. */
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
      // The one that refused may have been another that was there in the meantime.
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

  /** Where it can't be told, somebody is there. */
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

/** Gives what is there, without following a symbolic link; `undefined` for nothing. */
export function look(path: string): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

/** Whether both are one file, of which something keeps the number from being given to another. */
export function isSameFile(one: BigIntStats | undefined, other: BigIntStats): boolean {
  return one?.ino === other.ino && one.dev === other.dev;
}

/**
 * Whether both are one file, though its number could have been given to another: that one would be younger. `mtime` is the
 * time at which a socket file was made, as nobody writes to it; a rename changes `ctime`, and not every file system keeps
 * the time of birth.
 */
export function isSameBirth(one: BigIntStats | undefined, other: BigIntStats): boolean {
  return isSameFile(one, other) && one?.mtimeNs === other.mtimeNs;
}

/** Whether Node's permission model has refused it, and so would refuse to listen as well. */
function isForbidden(error: NodeJS.ErrnoException | undefined): boolean {
  return error?.code === 'ERR_ACCESS_DENIED';
}

function kindOf(file: BigIntStats): string {
  if (file.isDirectory()) return 'a folder';
  if (file.isSymbolicLink()) return 'a symbolic link';
  return file.isFile() ? 'a plain file' : 'something that is no socket';
}

/**
 * Connects and leaves at once, which a server can notice. Gives Node's error, or `undefined` where somebody listens. The
 * kernel answers at once: whoever is stopped or held is connected to all the same, and a full queue gives `EAGAIN`.
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
