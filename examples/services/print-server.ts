/**
 * A print server: it receives jobs by the Line Printer Daemon protocol (RFC 1179), and puts them into a spool folder.
 *
 *     npm run example -- print-server.ts tcp://127.0.0.1:5515 /tmp/spool
 *     rlpr -N --port=5515 -H 127.0.0.1 -P lp README.md
 *
 * A queue is a subfolder of the spool folder. The first job for a queue creates the subfolder. Each complete document
 * is a file in the subfolder of its queue, with exactly the bytes to print. The name of such a file, for example
 * `1764377701123-1_042_alice_localhost_README.md`, consists of the time of arrival, the number of the document, the job
 * number, the owner, the job's origin and the document's name. A document that is still arriving is a hidden file. A
 * printing program of your own has to take the files out of the subfolder.
 *
 * The protocol has no passwords. When a client removes jobs that came from its own address, the server believes the
 * user name that the client gives. So make sure that only hosts that may print can connect.
 */
import { firstValueFrom, NEVER, type Observable, ReplaySubject, takeUntil } from 'rxjs';
import { type Connection, listen, serve, SocketError } from 'rxjs-sockets';
import { delimited } from 'rxjs-sockets/codecs';
import { type ControlFile, parseControlFile, parseSubcommand } from './print-server/job.js';
import { listing, matching, printable } from './print-server/listing.js';
import { type Job, type PartialDocument, type Queue, Refusal, Spool } from './print-server/spool.js';
import { program, serveUntilStopped } from './program.js';

const concurrent = 1_000; // connections, most of them idle; further clients wait in the kernel
const idleTimeout = 60_000; // ms
const maxControlFile = 65_536; // bytes
const maxDocuments = 52; // per job: dfA to dfZ, dfa to dfz
/**
 * The size that CUPS announces with `mode=stream`. If a client announces this size, the document ends when the
 * connection ends.
 */
const cupsStream = 999_999_999_999;

/**
 * Decodes commands. A command is complete only with its line feed. The codec `lines()` does not fit here: if the
 * connection ends within a command, `lines()` accepts half a command.
 */
const command = delimited('\n', { maxLength: 1_024 });
const ok = '\x00';

/** A job that is still arriving. The server publishes the job when the control file and all documents have arrived. */
interface ArrivingJob {
  readonly number: string;
  control?: ControlFile;
  readonly documents: Map<string, PartialDocument>;
}

/**
 * One connection, with one command (RFC 1179, section 5). In the comments of this class, the numbers in parentheses are
 * sections of RFC 1179.
 */
class Session {
  private readonly bytes: Connection['bytes'];
  private readonly spool: Spool;
  private readonly stopping: Observable<void>;
  /** The client's host, or `localhost` if the client is on this machine. */
  private readonly origin: string;

  constructor({ bytes, local, remote }: Connection, spool: Spool, stopping: Observable<void>) {
    const isHere = remote.transport !== 'tcp' || (local.transport === 'tcp' && local.host === remote.host);
    this.origin = isHere ? 'localhost' : remote.host;
    this.bytes = bytes;
    this.spool = spool;
    this.stopping = stopping;
  }

  /**
   * Executes the command, and returns the final reply. If the command is refused, the reply is the byte 01 and the
   * reason.
   */
  async answer(): Promise<string | undefined> {
    try {
      return await this.obey();
    } catch (error) {
      if (error instanceof SocketError) throw error; // the connection has failed
      if (error instanceof Refusal) return `\x01${error.message}\n`;
      console.error(String(error));
      if (isOutOfSpace(error)) return '\x01there is no space left for the document\n';
      return '\x01the print server cannot use its spool folder\n';
    }
  }

  // #region commands
  private async obey(): Promise<string | undefined> {
    const line = await this.next(this.stopping);
    if (line === undefined) return undefined;
    const [name = '', ...operands] = line.slice(1).trimEnd().split(/\s+/);
    const queue = await this.spool.queue(name);
    switch (line.charCodeAt(0)) {
      case 1: // "print any waiting jobs"; this server starts no jobs, so it has nothing to do
        return ok;
      case 2:
        await queue.prepare();
        this.bytes.next(ok);
        return this.receive(queue);
      case 3:
        return listing('short', matching(await queue.jobs(), operands));
      case 4:
        return listing('long', matching(await queue.jobs(), operands));
      case 5:
        return this.remove(queue, operands);
      default:
        throw new Refusal('this is not a command of RFC 1179');
    }
  }
  // #endregion

  // #region receive
  /**
   * Receives jobs (6) until the client has finished. The server acknowledges the last part of a job when the whole job
   * is on the disk.
   */
  private async receive(queue: Queue): Promise<undefined> {
    let job: ArrivingJob | undefined;
    try {
      for (;;) {
        const line = await this.next(job === undefined ? this.stopping : NEVER);
        if (line === undefined) return undefined;
        const subcommand = parseSubcommand(line);
        if (subcommand.kind === 'abort') {
          if (job !== undefined) await queue.discard(job.documents.values());
          job = undefined;
        } else {
          const { kind, number, size, file } = subcommand;
          job ??= { number, documents: new Map() };
          if (job.number !== number) throw new Refusal(`job ${job.number} is not finished`);
          if (kind === 'control') job.control = parseControlFile(await this.receiveControl(size), number);
          else await this.receiveDocument(queue, job, file, size);
          if (await this.publish(queue, job)) job = undefined;
        }
        this.bytes.next(ok);
      }
    } finally {
      if (job !== undefined) await queue.discard(job.documents.values());
    }
  }
  // #endregion

  private async receiveControl(size: number): Promise<string> {
    if (size > maxControlFile) throw new Refusal('the control file is too large');
    this.bytes.next(ok);
    const chunks: Buffer[] = [];
    for await (const chunk of this.bytes.body(size)) chunks.push(chunk);
    await this.expectZero();
    return Buffer.concat(chunks).toString();
  }

  // #region document
  /** Writes a document to disk as it arrives (6.3), at the pace of the disk. It does not have to fit into memory. */
  private async receiveDocument(queue: Queue, { documents }: ArrivingJob, file: string, size: number): Promise<void> {
    const isStream = size === 0 || size === cupsStream;
    if (documents.has(file)) throw new Refusal(`${file} was sent before`);
    if (documents.size === maxDocuments) throw new Refusal('the job has too many documents');
    if (!isStream) await queue.reserve(size);
    this.bytes.next(ok);
    if (isStream) {
      documents.set(file, await queue.write(untilEnd(this.bytes)));
      return;
    }
    const body = this.bytes.body(size);
    try {
      documents.set(file, await queue.write(body));
    } catch (error) {
      for await (const _ of body); // a client reads the refusal only after it has sent everything
      throw error;
    }
    await this.expectZero();
  }

  // #endregion

  private async expectZero(): Promise<void> {
    const [byte] = await firstValueFrom(this.bytes.body(1));
    if (byte !== 0) throw new Refusal('the file is not as long as it was announced');
  }

  /**
   * Publishes the job if the control file has arrived, and also every document that the control file names. The order
   * of arrival does not matter. Returns whether the job was published.
   */
  private async publish(queue: Queue, { number, control, documents }: ArrivingJob): Promise<boolean> {
    if (control?.documents.every(({ file }) => documents.has(file)) !== true) return false;
    const { user } = control;
    const printed = control.documents.map(({ file, name }) => ({ name, partial: documents.get(file)! }));
    await queue.publish({ number, user, origin: this.origin, documents: printed });
    console.log(`job ${number} of ${printable(user)} from ${this.origin}`);
    await queue.discard(documents.values()); // the documents that the control file does not name
    return true;
  }

  /**
   * Reads the next line from the client. Returns undefined if the client has finished, or if `stopping` emits before
   * the line has arrived.
   */
  private async next(stopping: Observable<void>): Promise<string | undefined> {
    const lines = this.bytes.framed(command).pipe(takeUntil(stopping));
    return (await firstValueFrom(lines, { defaultValue: undefined }))?.toString();
  }

  // #region remove
  /**
   * Removes the jobs in `list` (5.5) that the client may remove. If `list` is empty, removes only the first job in the
   * queue, if the client may remove that job.
   */
  private async remove(queue: Queue, [agent = '', ...list]: string[]): Promise<string> {
    const jobs = await queue.jobs();
    const asked = list.length > 0 ? matching(jobs, list) : jobs.slice(0, 1);
    const removed = asked.filter((job) => this.mayRemove(job, agent));
    for (const job of removed) await queue.remove(job);
    return (
      removed.map(({ number }) => `${number} dequeued\n`).join('') ||
      'nothing was removed: there is no such job of yours\n'
    );
  }

  /**
   * Every client can claim to be root. The claim counts only if the client is on this machine, or on the machine from
   * which the job came.
   */
  private mayRemove({ user, origin }: Job, agent: string): boolean {
    if (agent === 'root' && this.origin === 'localhost') return true;
    return origin === this.origin && (agent === 'root' || agent === user);
  }
  // #endregion
}

function isOutOfSpace(error: unknown): boolean {
  return error instanceof Error && 'code' in error && ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(String(error.code));
}

/**
 * Reads a document that ends when the connection ends. If the announced size is 0, the document may instead be an empty
 * file: in that case, the client sends only the zero byte, and waits for the answer.
 */
async function* untilEnd(bytes: Connection['bytes']): AsyncGenerator<Buffer> {
  const first = await firstValueFrom(bytes, { defaultValue: undefined });
  if (first === undefined) throw new Refusal('nothing was sent');
  if (first.length === 1 && first[0] === 0) return;
  yield first;
  yield* bytes;
}

// #region server
await program('ADDRESS SPOOLFOLDER', [2, 2], async (address = '', folder = '') => {
  const server = listen(address, { idleTimeout });
  const spool = await Spool.open(folder);
  const stopping = new ReplaySubject<void>(1);
  const handle = (connection: Connection): Promise<string | undefined> => {
    return new Session(connection, spool, stopping).answer();
  };
  // When `stopping` emits, the server accepts no more connections, but continues to serve the open connections.
  // `shutdown` would cut off documents that are arriving.
  const accepted = server.pipe(takeUntil(stopping));
  await serveUntilStopped(server, accepted.pipe(serve(handle, { concurrent })), stopping);
});
// #endregion
