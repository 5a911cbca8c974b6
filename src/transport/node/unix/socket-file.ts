import { type BigIntStats, chmodSync, linkSync, lstatSync, renameSync, statSync, unlinkSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { tryLock, type Unlock } from './abstract-lock.js';
import type { PinnedDirectory } from './pinned-directory.js';
import { nodeCrypto } from '../../lazy-builtins.js';
import { isSameBirth, isSameFile, look, SocketPath, type UnixAddress } from './socket-path.js';

/** The longest time to wait for a lock, in ms. A process that holds the lock for longer is stopped or malicious. */
const longestLockWait = 3_000;
/** The pause between two attempts to take the lock, in ms. */
const lockPause = 10;

export interface SocketFileOptions {
  readonly mode: number;
  readonly stale: 'replace' | 'fail';
}

/**
 * Makes a server reachable at a path (S8, S9).
 *
 * The server binds its socket file in the *shelter*, a folder that no other user can enter. In the shelter, the file
 * gets its permissions. When the file has its permissions, a hard link publishes the file at the path. A hard link
 * never replaces a file. So if several servers start at the same path and at the same time, only one server succeeds.
 *
 * If a stale socket file is at the path, the server moves the stale file into the shelter, and removes it in the
 * shelter. A lock prevents the server from moving a file that a different server has just published. If the server has
 * nevertheless moved a file other than the stale file, the server moves that file back.
 *
 * If the path is free, the file is published before this function returns, so a client can connect in the same turn.
 *
 * @param address - the path; a relative path starts at the current working folder
 * @param listen - makes the server listen at a path. `listen` returns a promise if the result is not known immediately
 * @param signal - if the signal is aborted before the file is published, the work stops. If the signal is aborted
 * later, and the file is still at the path, the file is removed (S8). Abort the signal before you close the server,
 * because another server may replace the file of a server that no longer listens
 * @returns a promise that resolves when the file is published, and rejects if `signal` is aborted before the file is
 * published
 * @throws SocketError as a rejection, with the address: `EADDRINUSE`, `ERR_NOT_A_SOCKET`, or the system's error
 */
export async function claimSocketFile(
  address: UnixAddress,
  options: SocketFileOptions,
  listen: (path: string) => Promise<unknown> | undefined,
  signal: AbortSignal,
): Promise<void> {
  const place = new SocketPath(address);
  try {
    await new Claim(place, options, signal).publish(listen);
  } catch (cause) {
    place.folder.close();
    throw cause;
  }
}

class Claim {
  private readonly place: SocketPath;
  private readonly options: SocketFileOptions;
  private readonly signal: AbortSignal;

  constructor(place: SocketPath, options: SocketFileOptions, signal: AbortSignal) {
    this.place = place;
    this.options = options;
    this.signal = signal;
  }

  async publish(listen: (path: string) => Promise<unknown> | undefined): Promise<void> {
    const { place, signal } = this;
    // Check the path before creating anything. If the path is free, nothing must be awaited before the link is made
    // (S12).
    if (!place.isFree()) await this.findStale();
    const shelterName = `.${unguessable()}`;
    const shelter = place.attempt('make a private folder beside the file', () => place.folder.makePrivate(shelterName));
    // Node unlinks the bound name when it closes the server, so no other file must ever have the bound name. The tool
    // `ss` shows the bound name, so the bound name starts with the published name if the published name is short.
    const bound = Buffer.byteLength(place.name) > 60 ? unguessable() : `${place.name}.${unguessable()}`;
    try {
      const binding = this.bind(shelter, bound, listen);
      if (binding !== undefined) await binding;
      const made = place.attempt('set the mode of the file', () => {
        chmodSync(shelter.entry(bound), this.options.mode);
        return lstatSync(shelter.entry(bound), { bigint: true });
      });
      while (!this.link(shelter.entry(bound))) {
        const stale = await this.findStale();
        if (stale !== undefined) await this.takeAway(stale, shelter);
      }
      const giveBack = (): void => {
        release(place, made);
      };
      signal.addEventListener('abort', giveBack, { once: true });
    } finally {
      clear(shelter, bound);
      shelter.close();
      place.folder.tryRemove(shelterName);
    }
  }

  private findStale(): Promise<BigIntStats | undefined> {
    return this.place.findStale(this.options.stale, this.signal);
  }

  private bind(
    shelter: PinnedDirectory,
    name: string,
    listen: (path: string) => Promise<unknown> | undefined,
  ): Promise<void> | undefined {
    const { place, signal } = this;
    const binding = place.attempt('bind the socket', () => listen(shelter.socketPath(name)));
    return binding?.then(
      () => {
        signal.throwIfAborted();
      },
      (cause: unknown) => {
        throw place.failed('bind the socket', cause);
      },
    );
  }

  /** Returns false if a file exists at the path. */
  private link(bound: string): boolean {
    this.signal.throwIfAborted();
    try {
      linkSync(bound, this.place.path);
      return true;
    } catch (cause) {
      if (codeOf(cause) === 'EEXIST') return false;
      throw this.place.failed('link the file to its path', cause);
    }
  }

  private async takeAway(stale: BigIntStats, shelter: PinnedDirectory): Promise<void> {
    const unlock = await this.lock(stale);
    if (unlock === undefined) return;
    try {
      // The previous holder of the lock may have replaced the file, so look again.
      const still = await this.findStale();
      if (still !== undefined) this.moveAway(still, shelter);
    } finally {
      unlock();
    }
  }

  /** Takes the lock, or returns `undefined` if `stale` no longer exists at the path. */
  private async lock(stale: BigIntStats): Promise<Unlock | undefined> {
    const { folder, name, path } = this.place;
    const { dev, ino } = statSync(folder.path, { bigint: true });
    const enough = performance.now() + longestLockWait;
    while (isSameBirth(look(path), stale)) {
      const unlock = await tryLock(`${dev}:${ino}/${name}`).catch((cause: unknown) => {
        throw this.place.failed('take the lock', cause);
      });
      if (unlock !== undefined) return unlock;
      // Continuing without the lock is safe, unless three processes continue without the lock at the same moment.
      if (performance.now() > enough) return () => undefined;
      await pause(lockPause, undefined, { signal: this.signal });
    }
    return undefined;
  }

  private moveAway(stale: BigIntStats, shelter: PinnedDirectory): void {
    const aside = shelter.entry('aside');
    try {
      renameSync(this.place.path, aside);
    } catch (cause) {
      if (codeOf(cause) === 'ENOENT') return;
      throw this.place.failed('move the stale file away', cause);
    }
    // No other process can replace the file in the shelter, so it is safe to compare and unlink the file here.
    if (isSameBirth(look(aside), stale)) unlinkSync(aside);
    else this.putBack(aside, shelter);
  }

  private putBack(aside: string, shelter: PinnedDirectory): void {
    try {
      if (look(aside)?.isDirectory() === true) renameSync(aside, this.place.path);
      else {
        linkSync(aside, this.place.path);
        unlinkSync(aside);
      }
    } catch (cause) {
      const why = `other processes keep changing the file; one of their files is now ${shelter.absolute}aside`;
      throw this.place.refusal('EADDRINUSE', why, cause);
    }
  }
}

function release(place: SocketPath, made: BigIntStats): void {
  try {
    // The listening socket keeps the file's inode in use, so no other file can have the same inode number.
    if (isSameFile(look(place.path), made)) unlinkSync(place.path);
  } catch {
    // The file stays, and becomes stale when the server closes. The next server can replace the file.
  }
  place.folder.close();
}

/** Removes only the bound name, because the shelter may contain a file that could not be moved back. */
function clear(shelter: PinnedDirectory, bound: string): void {
  try {
    unlinkSync(shelter.entry(bound));
  } catch {
    // The socket was not bound, so no file has the bound name.
  }
}

function codeOf(cause: unknown): unknown {
  return (cause as { code?: unknown }).code;
}

/** Returns a name with 48 random bits. */
function unguessable(): string {
  return nodeCrypto().randomBytes(6).toString('base64url');
}
