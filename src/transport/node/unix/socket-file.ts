import { type BigIntStats, chmodSync, linkSync, lstatSync, renameSync, statSync, unlinkSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { tryLock, type Unlock } from './abstract-lock.js';
import type { PinnedDirectory } from './pinned-directory.js';
import { nodeCrypto } from '../../lazy-builtins.js';
import { isSameBirth, isSameFile, look, SocketPath, type UnixAddress } from './socket-path.js';

/** How long a claim waits for a lock, in ms. A process that holds one for longer is stopped, or malicious. */
const longestLockWait = 3_000;
/** How long to wait between two attempts to take the lock, in ms. */
const lockPause = 10;

/** Configures a socket file. */
export interface SocketFileOptions {
  /** Its permissions, from the moment at which it can be connected to (S9). */
  readonly mode: number;
  /** Whether to take over a socket file that nobody listens on. */
  readonly stale: 'replace' | 'fail';
}

/**
 * Makes a server reachable at a path (S8, S9).
 *
 * The server binds in a folder that nobody else can enter, the *shelter*. The file gets its permissions there. Then a link
 * publishes it, which replaces nothing: if several servers start, one wins.
 *
 * Only a stale socket file is ever taken away for that. It is taken away under a lock, so that it is not the winner's file. And
 * it is moved into the shelter, so that it can be put back if somebody has exchanged it at the last moment. The shelter
 * exists as long as all this takes.
 *
 * If nothing is in the way, everything is done before this returns, just as a TCP port is bound at once: a client that
 * connects in the same turn of the event loop gets through.
 *
 * @param address - the path; a relative one starts at the present working folder
 * @param listen - makes the server listen at a path; returns a promise if that is not done at once, or has failed
 * @param signal - gives up, or removes the file at once if it still is the one that was made (S8). To be aborted before the
 * server is closed, because the file is not stale until then
 * @returns a promise that resolves once the file is there, and rejects once `signal` is aborted before
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
    // A file in the way is reported before anything is made. If nothing is in the way, nothing below is awaited.
    if (!place.isFree()) await this.findStale();
    const shelterName = `.${unguessable()}`;
    const shelter = place.attempt('make a folder beside it', () => place.folder.makePrivate(shelterName));
    // Node unlinks the bound name again when it closes, so no other file may ever have that name. `ss` shows it.
    const bound = Buffer.byteLength(place.name) > 60 ? unguessable() : `${place.name}.${unguessable()}`;
    try {
      const binding = this.bind(shelter, bound, listen);
      if (binding !== undefined) await binding;
      const made = place.attempt('set its mode', () => {
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

  /** Returns a promise if it is not done at once. */
  private bind(
    shelter: PinnedDirectory,
    name: string,
    listen: (path: string) => Promise<unknown> | undefined,
  ): Promise<void> | undefined {
    const { place, signal } = this;
    const binding = place.attempt('bind it', () => listen(shelter.socketPath(name)));
    return binding?.then(
      () => {
        signal.throwIfAborted();
      },
      (cause: unknown) => {
        throw place.failed('bind it', cause);
      },
    );
  }

  /** Returns false if something is in the way. */
  private link(bound: string): boolean {
    this.signal.throwIfAborted();
    try {
      linkSync(bound, this.place.path);
      return true;
    } catch (cause) {
      if (codeOf(cause) === 'EEXIST') return false;
      throw this.place.failed('link it into its place', cause);
    }
  }

  private async takeAway(stale: BigIntStats, shelter: PinnedDirectory): Promise<void> {
    const unlock = await this.lock(stale);
    if (unlock === undefined) return;
    try {
      // The previous holder of the lock may have replaced it.
      const still = await this.findStale();
      if (still !== undefined) this.moveAway(still, shelter);
    } finally {
      unlock();
    }
  }

  /** Returns `undefined` once `stale` is no longer there. */
  private async lock(stale: BigIntStats): Promise<Unlock | undefined> {
    const { folder, name, path } = this.place;
    const { dev, ino } = statSync(folder.path, { bigint: true });
    const enough = performance.now() + longestLockWait;
    while (isSameBirth(look(path), stale)) {
      const unlock = await tryLock(`${dev}:${ino}/${name}`).catch((cause: unknown) => {
        throw this.place.failed('lock it', cause);
      });
      if (unlock !== undefined) return unlock;
      // It is safe to go on without the lock, unless three processes do so at the same instant.
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
      throw this.place.failed('take the stale file away', cause);
    }
    // Nobody can exchange it in the shelter.
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
      const why = `others come and go there; one of their files is now ${shelter.absolute}aside`;
      throw this.place.refusal('EADDRINUSE', why, cause);
    }
  }
}

function release(place: SocketPath, made: BigIntStats): void {
  try {
    // The listening socket keeps its inode, so no other file can have its number.
    if (isSameFile(look(place.path), made)) unlinkSync(place.path);
  } catch {
    // A file that cannot be removed is stale from now on, and the next server takes it over.
  }
  place.folder.close();
}

/** Removes the bound name. A file that could not be put back stays in the shelter. */
function clear(shelter: PinnedDirectory, bound: string): void {
  try {
    unlinkSync(shelter.entry(bound));
  } catch {
    // It was not bound.
  }
}

function codeOf(cause: unknown): unknown {
  return (cause as { code?: unknown }).code;
}

/** Returns a name with 48 random bits. */
function unguessable(): string {
  return nodeCrypto().randomBytes(6).toString('base64url');
}
