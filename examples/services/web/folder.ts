/** The folder that the web server serves, and nothing outside it. */
import { constants, type FileHandle, open, opendir, readlink, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';

/** `open` does not wait for the writer of a FIFO, and does not follow a link that has just replaced the file. */
const forReading = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;

export class Folder {
  private readonly root: string;

  private constructor(root: string) {
    this.root = root;
  }

  /** Finds the folder; rejects if there is none. */
  static async at(path: string): Promise<Folder> {
    const root = await realpath(path);
    await (await opendir(root)).close();
    return new Folder(root.endsWith(sep) ? root.slice(0, -1) : root);
  }

  /**
   * Opens a file or a folder within the folder.
   *
   * @param names - the names from the folder down to the file
   * @returns its descriptor; undefined for a name that is never served, and for a link that leads out of the folder
   */
  async open(names: readonly string[]): Promise<FileHandle | undefined> {
    if (!names.every(isServed)) return undefined;
    const path = await realpath(join(this.root, ...names));
    if (!this.contains(path)) return undefined;
    const file = await open(path, forReading);
    try {
      // By now, a folder in the path may have been replaced by a link. Linux shows where the open file really is.
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

/** A name with a leading dot is `.`, `..`, or a hidden file; separators and NUL are not part of a name. */
function isServed(name: string): boolean {
  return !name.startsWith('.') && !/[/\\\0]/.test(name);
}
