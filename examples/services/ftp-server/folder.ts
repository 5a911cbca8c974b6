/**
 * Gives access to the served folder, and to nothing outside the served folder.
 *
 * A client's paths begin at the served folder, so `..` never leads out of that folder. A symbolic link can lead out of
 * the served folder, and such a link can be created while a command is executed. So the server first opens the folder
 * that contains the file. The kernel then says where the opened folder really is. The server reaches the file through
 * the opened folder: `/proc/self/fd/7/name` is the entry `name` of the folder with descriptor 7, even if the path of
 * the opened folder now leads elsewhere. Before the server reads or extends a file, the server also checks where the
 * file really is.
 */
import { randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import {
  type FileHandle,
  link,
  lstat,
  mkdir,
  open,
  opendir,
  readlink,
  rename,
  rmdir,
  stat,
  unlink,
} from 'node:fs/promises';
import { posix } from 'node:path';
import { Refusal } from './control.js';

// Without O_NONBLOCK, `open` of a pipe would wait until a program opens the other end of the pipe.
const { O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

export interface Entry {
  readonly name: string;
  readonly stats: Stats;
}

/** An upload in progress. The uploaded bytes go into a hidden file, unless the upload extends an existing file. */
export interface Upload {
  write(chunk: Buffer): Promise<void>;
  /** Completes the upload. If the upload has a hidden file, gives that file its final name. */
  finish(): Promise<void>;
  /** Removes the hidden file of an unfinished upload. After `finish`, `discard` does nothing. */
  discard(): Promise<void>;
}

/** Returns a path that leads to an open folder or file. */
function opened(handle: FileHandle): string {
  return `/proc/self/fd/${handle.fd}`;
}

/** The names of the hidden files of unfinished uploads. Clients cannot see or use these names. */
const unfinished = /^\.ftp-upload-[\da-f]{16}$/;

// #region confined
export class Folder {
  private readonly root: FileHandle;

  private constructor(root: FileHandle) {
    this.root = root;
  }

  static async open(path: string): Promise<Folder> {
    const folder = new Folder(await open(path, O_RDONLY | O_DIRECTORY));
    await stat(opened(folder.root)); // rejects if there is no /proc
    return folder;
  }

  close(): Promise<void> {
    return this.root.close();
  }

  /** Opens a file or a folder, and checks that the opened file or folder is inside the served folder. */
  private async reach(path: string, flags: number): Promise<FileHandle> {
    const handle = await open(posix.join(opened(this.root), path), flags | O_NONBLOCK);
    try {
      const [root, place] = await Promise.all([readlink(opened(this.root)), readlink(opened(handle))]);
      if (place !== root && !place.startsWith(root === '/' ? root : `${root}/`)) {
        throw new Refusal(550, 'That path leads out of the served folder.');
      }
      return handle;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }
  // #endregion

  /**
   * Calls `act` with the path of an entry of a folder. Even if the folder is moved, this path leads into the folder
   * that was checked.
   */
  private async within<T>(path: string, act: (entry: string) => Promise<T>): Promise<T> {
    const parent = await this.reach(posix.dirname(path), O_RDONLY | O_DIRECTORY);
    try {
      return await act(entryOf(parent, path));
    } finally {
      await parent.close();
    }
  }

  async read(path: string): Promise<{ readonly file: FileHandle; readonly size: number }> {
    const file = await this.reach(visible(path), O_RDONLY);
    const stats = await file.stat();
    if (stats.isFile()) return { file, size: stats.size };
    await file.close();
    throw new Refusal(550, 'That is not a file.');
  }

  /**
   * Returns the stats of a file or a folder. For a link, returns the stats of its target, which has to be inside the
   * served folder.
   */
  async stats(path: string): Promise<Stats> {
    if (path !== '/') {
      const stats = await this.within(visible(path), (entry) => lstat(entry));
      if (!stats.isSymbolicLink()) return stats;
    }
    const handle = await this.reach(path, O_RDONLY);
    try {
      return await handle.stat();
    } finally {
      await handle.close();
    }
  }

  /** Rejects if the folder cannot be opened. In that case, `list` would reject too. */
  async assertListable(path: string): Promise<void> {
    await (await this.reach(path, O_RDONLY | O_DIRECTORY)).close();
  }

  /**
   * Lists the entries of a folder in the order in which the system returns them. Leaves out names that a client cannot
   * use.
   */
  async *list(path: string): AsyncGenerator<Entry> {
    const folder = await this.reach(path, O_RDONLY | O_DIRECTORY);
    try {
      for await (const { name } of await opendir(opened(folder))) {
        if (!isNameable(name) || unfinished.test(name)) continue;
        const stats = await lstat(`${opened(folder)}/${name}`)
          .then((found) => (found.isSymbolicLink() ? this.stats(posix.join(path, name)) : found))
          .catch(() => undefined); // the entry was removed, or is a link that leads nowhere or out of the served folder
        if (stats !== undefined) yield { name, stats };
      }
    } finally {
      await folder.close();
    }
  }

  /** Begins an upload. If a file with that path exists, the complete upload replaces that file. */
  async replace(path: string): Promise<Upload> {
    const existing = await this.stats(path).catch(() => undefined);
    if (existing !== undefined && !existing.isFile())
      throw new Refusal(553, 'Something that is not a file has that name.');
    return this.begin(path, rename);
  }

  /** Begins an upload of a new file. When the upload is complete, no file may exist at `path`. */
  async add(path: string): Promise<Upload> {
    return this.begin(path, async (from, to) => {
      await link(from, to);
      await unlink(from);
    });
  }

  /**
   * Begins an upload that continues a file after its first `offset` bytes. Without `offset`, the upload continues at
   * the end of the file.
   */
  async extend(path: string, offset?: number): Promise<Upload> {
    const file = await this.reach(visible(path), O_WRONLY | O_APPEND);
    const stats = await file.stat();
    if (!stats.isFile() || (offset ?? 0) > stats.size) {
      await file.close();
      throw stats.isFile()
        ? new Refusal(554, 'The file is shorter than that.')
        : new Refusal(550, 'That is not a file.');
    }
    if (offset !== undefined) await file.truncate(offset);
    const close = (): Promise<void> => file.close();
    return { write: (chunk) => file.appendFile(chunk), finish: close, discard: close };
  }

  private async begin(path: string, name: (from: string, to: string) => Promise<void>): Promise<Upload> {
    const parent = await this.reach(posix.dirname(visible(path)), O_RDONLY | O_DIRECTORY);
    const target = entryOf(parent, path);
    const draft = `${opened(parent)}/.ftp-upload-${randomBytes(8).toString('hex')}`;
    let file: FileHandle | undefined;
    const discard = async (): Promise<void> => {
      if (file === undefined) return;
      await file.close();
      await unlink(draft).catch(() => undefined); // fails after `finish`, because the draft then has its final name
      await parent.close();
      file = undefined;
    };
    try {
      file = await open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o666);
    } catch (error) {
      await parent.close();
      throw error;
    }
    const draftFile = file;
    const finish = async (): Promise<void> => {
      await name(draft, target);
      await discard();
    };
    return { write: (chunk) => draftFile.appendFile(chunk), finish, discard };
  }

  async makeFolder(path: string): Promise<void> {
    await this.within(visible(path), (entry) => mkdir(entry));
  }

  async removeFolder(path: string): Promise<void> {
    await this.within(visible(path), (entry) => rmdir(entry));
  }

  async removeFile(path: string): Promise<void> {
    await this.within(visible(path), (entry) => unlink(entry));
  }

  async rename(from: string, to: string): Promise<void> {
    await this.within(visible(from), (old) => this.within(visible(to), (entry) => rename(old, entry)));
  }
}

function entryOf(parent: FileHandle, path: string): string {
  const name = posix.basename(path);
  if (name === '') throw new Refusal(550, 'That is the served folder itself.');
  return `${opened(parent)}/${name}`;
}

/** Returns `path`. If a name in `path` is the name of an unfinished upload, or contains a NUL, throws a Refusal. */
function visible(path: string): string {
  if (path.includes('\0') || path.split('/').some((name) => unfinished.test(name))) {
    throw new Refusal(553, 'That name is not allowed.');
  }
  return path;
}

/**
 * Whether a name is UTF-8 without control characters. In a listing, a name with a line end would look like two entries.
 */
function isNameable(name: string): boolean {
  // eslint-disable-next-line no-control-regex -- these are the control characters
  return !/[\0-\x1f\x7f\ufffd]/.test(name);
}
