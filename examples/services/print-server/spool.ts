/** The spool folder of the print server, with a subfolder for each queue and a file for each document. */
import { lstat, mkdir, open, readdir, realpath, rename, rm, statfs, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { UsageError } from '../program.js';

const maxQueues = 100;
/** The maximum number of documents that wait in one queue for the printing program. */
const maxDocuments = 10_000;
/**
 * The maximum sizes of a user name and of a document name. The file name of a document contains the user name and the
 * document name, and has at most 255 bytes.
 */
const maxUserBytes = 64;
const maxNameBytes = 96;

/** Thrown to refuse a request. The client gets a negative acknowledgement with the message of this error. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
}

/** A document of an unpublished job, in a hidden file. */
export interface PartialDocument {
  readonly path: string;
}

export interface NewJob {
  readonly number: string;
  readonly user: string;
  /** The address of the client, or `localhost`. */
  readonly origin: string;
  readonly documents: readonly { readonly name: string; readonly partial: PartialDocument }[];
}

export interface Job {
  readonly number: string;
  readonly user: string;
  readonly origin: string;
  readonly documents: readonly { readonly name: string; readonly path: string; readonly size: number }[];
}

export class Spool {
  private readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /**
   * Opens a spool folder, and removes the files of unfinished documents. So only one server may use a spool folder: a
   * second server would remove files that the first server is still writing.
   */
  static async open(folder: string): Promise<Spool> {
    const stats = await lstat(await realpath(folder).catch(() => folder)).catch(() => undefined);
    if (stats?.isDirectory() !== true) throw new UsageError(`${folder} is not a folder`);
    const spool = new Spool(await realpath(folder));
    for (const queue of await spool.queues()) await new Queue(spool, join(spool.folder, queue)).clean();
    return spool;
  }

  /**
   * Returns the queue called `name`. The queue need not exist yet. Refuses a name that is a path or a link, because a
   * path or a link might lead out of the spool folder.
   */
  async queue(name: string): Promise<Queue> {
    const path = join(this.folder, name);
    const isPlain = /^[A-Za-z0-9][\w.-]{0,62}$/.test(name);
    const stats = isPlain ? await lstat(path).catch(unless('ENOENT')) : undefined;
    if (!isPlain || stats?.isDirectory() === false) throw new Refusal('no queue has this name');
    return new Queue(this, path);
  }

  async queues(): Promise<string[]> {
    const entries = await readdir(this.folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  }
}

export class Queue {
  private static latest = 0;
  private readonly spool: Spool;
  private readonly folder: string;

  constructor(spool: Spool, folder: string) {
    this.spool = spool;
    this.folder = folder;
  }

  /**
   * Creates the queue if it does not exist. Throws a Refusal if there are too many queues, or too many documents in
   * this queue.
   */
  async prepare(): Promise<void> {
    const existing = await this.spool.queues();
    if (existing.includes(basename(this.folder))) {
      if ((await this.names()).length >= maxDocuments) throw new Refusal('the queue is full');
    } else {
      if (existing.length >= maxQueues) throw new Refusal('there are too many queues');
      await mkdir(this.folder, { mode: 0o700 }).catch(unless('EEXIST'));
      await flush(dirname(this.folder));
    }
  }

  async reserve(size: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.folder);
    if (size > bavail * bsize) throw new Refusal(`there is no space for ${size} bytes`);
  }

  async write(chunks: AsyncIterable<Buffer>): Promise<PartialDocument> {
    const path = join(this.folder, `.${this.stamp()}.partial`);
    try {
      await writeFile(path, chunks, { flag: 'wx', mode: 0o600, flush: true });
      return { path };
    } catch (error) {
      await this.discard([{ path }]);
      throw error;
    }
  }

  /**
   * Removes the files of unpublished documents. A published document has a new path, so this method does not remove it.
   */
  async discard(documents: Iterable<PartialDocument>): Promise<void> {
    for (const { path } of documents) await rm(path, { force: true });
  }

  /** Publishes a job. The names of the published files contain all that a listing shows, except for the sizes. */
  async publish({ number, user, origin, documents }: NewJob): Promise<void> {
    if (Buffer.byteLength(escaped(user)) > maxUserBytes) throw new Refusal('the user name is too long');
    const stamp = this.stamp();
    const published: string[] = [];
    try {
      for (const [index, { name, partial }] of documents.entries()) {
        const parts = [`${stamp}-${index + 1}`, number, escaped(user), escaped(origin), escapedDocument(name)];
        const path = join(this.folder, parts.join('_'));
        await rename(partial.path, path);
        published.push(path);
      }
      await flush(this.folder);
    } catch (error) {
      for (const path of published) await rm(path, { force: true });
      throw error;
    }
  }

  async jobs(): Promise<Job[]> {
    const jobs = new Map<string, Job & { documents: { name: string; path: string; size: number }[] }>();
    for (const name of await this.names()) {
      const [part = '', number = '', user = '', origin = '', document = ''] = name.split('_').map(unescaped);
      const path = join(this.folder, name);
      const stats = await lstat(path).catch(unless('ENOENT'));
      if (stats === undefined) continue; // the printing program has just taken the file out
      const stamp = part.replace(/-.*/, '');
      const job = jobs.get(stamp) ?? { number, user, origin, documents: [] };
      job.documents.push({ name: document, path, size: stats.size });
      jobs.set(stamp, job);
    }
    return [...jobs.values()];
  }

  /** Lists the names of the published files in the order of arrival. Leaves out all other files, links and folders. */
  private async names(): Promise<string[]> {
    const entries = (await readdir(this.folder, { withFileTypes: true }).catch(unless('ENOENT'))) ?? [];
    const names = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
    return names.filter((name) => /^\d+-\d+_\d{3}_[^_]+_[^_]+_[^_]*$/.test(name)).sort(inOrder);
  }

  async remove({ documents }: Job): Promise<void> {
    for (const { path } of documents) await rm(path, { force: true });
    await flush(this.folder);
  }

  /** Removes the hidden files of documents that an earlier server did not finish. */
  async clean(): Promise<void> {
    for (const name of await readdir(this.folder)) {
      if (/^\.\d+\.partial$/.test(name)) await rm(join(this.folder, name), { force: true });
    }
  }

  /** Returns the time in milliseconds, or a higher number, so that no two calls return the same number. */
  private stamp(): number {
    return (Queue.latest = Math.max(Date.now(), Queue.latest + 1));
  }
}

const inOrder = new Intl.Collator('en', { numeric: true }).compare;

/**
 * Escapes all characters except letters, digits, dots and hyphens. So no part of a file name contains a `/` or a `_`.
 */
function escaped(text: string): string {
  return text.replace(/[^\p{L}\p{N}.-]/gu, (character) => {
    return Array.from(Buffer.from(character), (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
  });
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a different program has named this file
  }
}

function escapedDocument(name: string): string {
  const characters = [...name.replace(/^.*[/\\]/s, '')].slice(0, maxNameBytes);
  while (Buffer.byteLength(escaped(characters.join(''))) > maxNameBytes) characters.pop();
  return escaped(characters.join(''));
}

/**
 * Flushes a folder to the disk. Until a folder is flushed, a power failure can undo the creation or the renaming of a
 * file in the folder.
 */
async function flush(folder: string): Promise<void> {
  await using handle = await open(folder);
  await handle.sync();
}

/**
 * Returns an error handler. The handler returns undefined for an error with one of `codes`, and throws any other error.
 */
function unless(...codes: string[]): (error: NodeJS.ErrnoException) => undefined {
  return (error) => {
    if (codes.includes(error.code ?? '')) return undefined;
    throw error;
  };
}
