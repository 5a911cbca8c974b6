/** Gives access to the folder that the web server serves, and to nothing outside that folder. */
import { constants, type FileHandle, open, opendir, readlink, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';

/** With these flags, `open` does not wait for the writer of a FIFO, and does not follow a link. */
const forReading = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;

export class Folder {
  private readonly root: string;

  private constructor(root: string) {
    this.root = root;
  }

  static async at(path: string): Promise<Folder> {
    const root = await realpath(path);
    await (await opendir(root)).close();
    return new Folder(root.endsWith(sep) ? root.slice(0, -1) : root);
  }

  /**
   * Opens a file or a folder.
   *
   * @param names - the names from the served folder down to the file
   * @returns undefined if a name is never served, or if a link leads out of the served folder
   */
  async open(names: readonly string[]): Promise<FileHandle | undefined> {
    if (!names.every(isServed)) return undefined;
    const path = await realpath(join(this.root, ...names));
    if (!this.contains(path)) return undefined;
    const file = await open(path, forReading);
    try {
      // Between `realpath` and `open`, a link may have replaced a folder in the path. On Linux, /proc shows where the
      // open file really is.
      if (process.platform !== 'linux' || this.contains(await readlink(`/proc/self/fd/${file.fd}`))) return file;
    } catch (error) {
      await file.close();
      throw error;
    }
    await file.close();
    return undefined;
  }

  private contains(path: string): boolean {
    return `${path}${sep}`.startsWith(`${this.root}${sep}`);
  }
}

/**
 * Whether the server serves a file of this name. Names that begin with a dot (`.`, `..` and hidden files), and names
 * with a separator or NUL, are never served.
 */
function isServed(name: string): boolean {
  return !name.startsWith('.') && !/[/\\\0]/.test(name);
}
