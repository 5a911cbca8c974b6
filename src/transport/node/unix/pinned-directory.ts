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
/** Linux's O_PATH. With this flag, no permission to read is needed, because the descriptor only names the folder. */
const nameOnly = 0o10000000;
/** The maximum size of a path that fits into the address of a unix socket, in bytes. */
const longestSocketPath = isLinux ? maxPathBytes : 103;

/**
 * A folder that stays the same even if the process changes its working folder. On Linux, the folder also stays the same
 * if its path is renamed or replaced: the folder is kept open, and its entries are accessed through `/proc/self/fd`.
 * With `/proc/self/fd`, the paths of the entries are also short. On other systems, and on a Linux without
 * `/proc/self/fd`, the folder is not kept open, and its entries are accessed through the folder's absolute path.
 */
export class PinnedDirectory {
  /** The path through which the folder is accessed: a path in `/proc/self/fd`, if possible. */
  readonly path: string;
  /** The path that error messages show, with a slash at its end. */
  readonly absolute: string;
  /** The given path, relative to `cwd`. */
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

  /** Opens the folder at the path `given`, which is empty or ends with a slash. */
  static open(given: string): PinnedDirectory {
    const cwd = given.startsWith('/') ? '' : process.cwd();
    const absolute = given.startsWith('/') ? given : `${cwd}/${given}`;
    // Because the path ends with a dot, opening the path fails for anything but a folder.
    return new PinnedDirectory(`${absolute}.`, absolute, given, cwd, 0);
  }

  /** Returns the path of an entry. The path may have any length. */
  entry(name: string): string {
    return `${this.path}/${name}`;
  }

  /**
   * Returns a path to an entry. The path is short enough for a socket. Use the path immediately, because `chdir` may
   * make the path invalid.
   */
  socketPath(name: string): string {
    const spellings = [this.entry(name), this.absolute + name, ...(this.isAtHand() ? [this.given + name] : [])];
    const short = spellings.find((path) => Buffer.byteLength(path) <= longestSocketPath);
    if (short !== undefined) return short;
    throw new SocketError('ENAMETOOLONG', `${this.absolute}${name} is longer than ${longestSocketPath} bytes`);
  }

  /** Makes a subfolder that no other user can enter. */
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

  tryRemove(name: string): void {
    try {
      rmdirSync(this.entry(name));
    } catch {
      // The folder is not empty, so it stays.
    }
  }

  close(): void {
    if (this.fd !== undefined) closeSync(this.fd);
  }

  /** Throws if another user who can write to the parent folder has replaced the new folder. */
  private assertPrivate(): void {
    const { uid, mode } = this.fd === undefined ? lstatSync(this.path) : statSync(this.path);
    if (uid !== process.geteuid?.() || (mode & 0o077) !== 0) {
      throw new SocketError('EPERM', `${this.absolute} is not the folder that was just made`);
    }
    // The umask may have removed this process's own permissions.
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
  // Without /proc the descriptor is useless, so close the descriptor.
  if (isAllowed(`/proc/self/fd/${fd}`)) return fd;
  closeSync(fd);
  return undefined;
}

/**
 * Whether `path` exists, and the process is allowed to use `path`. Node's permission model checks the text of a path,
 * not its target.
 */
function isAllowed(path: string): boolean {
  // Only a process that was started with `--permission` has the property `permission`. In a process with
  // `--permission`, `existsSync` would throw for a forbidden path.
  const { permission } = process as Partial<Pick<NodeJS.Process, 'permission'>>;
  if (permission !== undefined && !(permission.has('fs.read', path) && permission.has('fs.write', path))) return false;
  return existsSync(path);
}
