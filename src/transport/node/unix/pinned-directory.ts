import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  rmdirSync,
  statSync,
} from 'node:fs';
import { maxPathBytes } from '../../../address-parsing/parse-address.js';
import { SocketError } from '../../../errors/socket-error.js';

const isLinux = process.platform === 'linux';
/** Linux's flag for a descriptor that only names a file, for which no permission to read is needed. */
const nameOnly = 0o10000000;
/** What fits into the address of a unix socket. */
const longestSocketPath = isLinux ? maxPathBytes : 103;

/**
 * A folder that stays the same one, whatever is renamed, replaced or `chdir`ed meanwhile: on Linux it is kept open, and
 * its entries are reached through `/proc/self/fd`, which also makes their paths short. Where that can't be had, what
 * stands at its absolute path counts.
 */
export class PinnedDirectory {
  /** What leads to it: first the way that nobody can change. */
  readonly path: string;
  /** How a person finds it. */
  readonly absolute: string;
  /** As it was asked for, in the working folder of that time. */
  private readonly given: string;
  private readonly cwd: string;
  private readonly fd: number | undefined;

  private constructor(path: string, absolute: string, given: string, cwd: string, flags: number) {
    this.absolute = absolute;
    this.given = given;
    this.cwd = cwd;
    this.fd = isLinux ? pinned(path, flags) : undefined;
    this.path = this.fd === undefined ? path : `/proc/self/fd/${this.fd}`;
  }

  /** Opens the folder `given`, which is empty or ends with a slash; throws Node's error where it can't be. */
  static open(given: string): PinnedDirectory {
    const cwd = given.startsWith('/') ? '' : process.cwd();
    const absolute = given.startsWith('/') ? given : `${cwd}/${given}`;
    // The dot makes everything but a folder an error.
    return new PinnedDirectory(`${absolute}.`, absolute, given, cwd, 0);
  }

  /** The path of one of its entries, of any length. */
  entry(name: string): string {
    return `${this.path}/${name}`;
  }

  /** The path of one of its entries that is short enough to bind or connect to, at once: `chdir` may change it. */
  socketPath(name: string): string {
    const spellings = [this.entry(name), this.absolute + name, ...(this.isAtHand() ? [this.given + name] : [])];
    const short = spellings.find((path) => Buffer.byteLength(path) <= longestSocketPath);
    if (short !== undefined) return short;
    throw new SocketError('ENAMETOOLONG', `${this.absolute}${name} has over ${longestSocketPath} bytes`);
  }

  /** Makes a folder in it that nobody else can enter. */
  makePrivate(name: string): PinnedDirectory {
    const path = this.entry(name);
    mkdirSync(path, 0o700);
    let made: PinnedDirectory | undefined;
    try {
      made = new PinnedDirectory(
        path,
        `${this.absolute}${name}/`,
        `${this.given}${name}/`,
        this.cwd,
        constants.O_NOFOLLOW,
      );
      made.assertPrivate();
    } catch (cause) {
      made?.close();
      this.tryRemove(name);
      throw cause;
    }
    return made;
  }

  /** Removes a folder in it, if there is nothing in that. */
  tryRemove(name: string): void {
    try {
      rmdirSync(this.entry(name));
    } catch {
      // It stays, with what is in it.
    }
  }

  close(): void {
    if (this.fd !== undefined) closeSync(this.fd);
  }

  /** Whoever can write to the parent may have put another folder in the place of the one that was made. */
  private assertPrivate(): void {
    const { uid, mode } = this.fd === undefined ? lstatSync(this.path) : statSync(this.path);
    if (uid !== process.geteuid?.() || (mode & 0o077) !== 0) {
      throw new SocketError('EPERM', `${this.absolute} is not the private folder that was made`);
    }
    // The umask may have taken this process's own permissions.
    if ((mode & 0o700) !== 0o700) chmodSync(this.path, 0o700);
  }

  private isAtHand(): boolean {
    try {
      return this.cwd === '' || this.cwd === process.cwd();
    } catch {
      return false;
    }
  }
}

function pinned(path: string, flags: number): number | undefined {
  const fd = openSync(path, nameOnly | constants.O_DIRECTORY | flags);
  // Without /proc it would be of no use.
  if (isAllowed(`/proc/self/fd/${fd}`)) return fd;
  closeSync(fd);
  return undefined;
}

/** Whether `path` is there, and may be used. Node's permission model judges a path by its text, not by where it leads. */
function isAllowed(path: string): boolean {
  // It is there only in a process that was started with `--permission`; then `existsSync` would throw.
  const { permission } = process as Partial<Pick<NodeJS.Process, 'permission'>>;
  if (permission !== undefined && !(permission.has('fs.read', path) && permission.has('fs.write', path))) return false;
  return existsSync(path);
}
