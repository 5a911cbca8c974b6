import { closeSync, constants, existsSync, mkdirSync, openSync, rmdirSync, statSync } from 'node:fs';
import { maxPathBytes } from '../address.js';
import { SocketError } from '../errors.js';

/** Linux's flag for a descriptor that only names a file: it takes no permission to read. Node doesn't list it. */
const nameOnly = 0o10000000;
const isLinux = process.platform === 'linux';
const longestSocketPath = isLinux ? maxPathBytes : 103;

/**
 * A folder that stays the same one, whatever is renamed, replaced or `chdir`ed meanwhile: on Linux it is kept open, and
 * its entries are reached through `/proc/self/fd`, which also makes their paths short. Where that can't be had, it is
 * the absolute path that counts.
 */
export class Folder {
  /** The folder as it was asked for, with its slash; relative to `cwd`. */
  private readonly given: string;
  private readonly cwd: string | undefined;
  private readonly absolute: string;
  private readonly fd: number | undefined;

  /** Throws Node's error where it can't be opened. `given` is empty, for the working folder, or ends with a slash. */
  constructor(given: string, cwd: string | undefined = given.startsWith('/') ? undefined : process.cwd(), flags = 0) {
    this.given = given;
    this.cwd = cwd;
    this.absolute = given.startsWith('/') ? given : `${cwd ?? ''}/${given}`;
    if (!isLinux) statSync(`${this.absolute}.`);
    else this.fd = pinned(this.absolute, flags);
  }

  /** The path of one of its entries, for whatever takes long paths. */
  entry(name: string): string {
    return this.fd === undefined ? `${this.absolute}${name}` : `/proc/self/fd/${this.fd}/${name}`;
  }

  /** The path of one of its entries that can be bound and connected to, in this turn: `chdir` may change it. */
  socketPath(name: string): string {
    const spellings = [this.entry(name), `${this.absolute}${name}`, ...(this.isAtHand() ? [`${this.given}${name}`] : [])];
    const short = spellings.find((path) => Buffer.byteLength(path) <= longestSocketPath);
    if (short !== undefined) return short;
    throw new SocketError('ENAMETOOLONG', `${this.absolute}${name} is over ${longestSocketPath} bytes`);
  }

  /** Makes a folder in it that nobody else can enter. */
  makePrivate(name: string): Folder {
    mkdirSync(this.entry(name), 0o700);
    const made = new Folder(`${this.given}${name}/`, this.cwd, constants.O_NOFOLLOW);
    // Who can write to this folder could have put another in the place of the one that was made.
    const { uid, mode } = statSync(made.entry('.'));
    if (uid === process.geteuid?.() && (mode & 0o777) === 0o700) return made;
    made.close();
    throw new SocketError('EPERM', `${made.absolute} is not the private folder that was made`);
  }

  /** Removes one of its folders, if it is empty. */
  removeFolder(name: string): void {
    rmdirSync(this.entry(name));
  }

  close(): void {
    if (this.fd !== undefined) closeSync(this.fd);
  }

  private isAtHand(): boolean {
    try {
      return this.cwd === process.cwd();
    } catch {
      return false;
    }
  }
}

function pinned(path: string, flags: number): number | undefined {
  const fd = openSync(path, nameOnly | constants.O_DIRECTORY | flags);
  if (existsSync(`/proc/self/fd/${fd}/.`)) return fd;
  closeSync(fd);
  return undefined;
}
