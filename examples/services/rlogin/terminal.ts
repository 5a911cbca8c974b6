/** A program on its own pseudo terminal, with backpressure in both directions. */
import { readSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { ReadStream } from 'node:tty';
import { type IPty, spawn } from '@lydell/node-pty';
import type { WindowSize } from './protocol.js';

/** How long a program may continue after its terminal was hung up. */
const grace = 3_000; // ms

/** When to retry a write for which the terminal had no room. */
const retryAfter = 20; // ms

/** More than the kernel keeps of unread output; a background program may continue printing. */
const mostInKernel = 1_048_576; // bytes

/**
 * With node-pty, a program inherits its end of every open terminal. It could then read the input of others, and their
 * terminals would not be hung up while it runs. So bash closes everything except the program's own terminal, and becomes
 * the program. (A POSIX shell need not support descriptors over 9.)
 */
const closeAndRun = `
for fd in /proc/$$/fd/*; do
  fd=\${fd##*/}
  if [ "$fd" -gt 2 ]; then eval "exec $fd>&-"; fi
done
exec "$@"
`;

/** The program to run on a terminal, and its settings. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** Members of node-pty that it does not declare. */
interface Inside {
  /** The terminal's other end, in non-blocking mode. */
  readonly fd: number;
  readonly _socket: ReadStream;
}

export class Terminal {
  /** Resolves with the program's exit status, once the terminal is closed. */
  readonly ended: Promise<number>;
  private readonly pty: IPty;
  private readonly fd: number;
  private readonly stream: ReadStream;
  private readonly close: () => void;
  /** Whether the program has ended, or every program has closed the terminal. */
  private isOver = false;
  private isClosed = false;
  /** Wakes the reader that waits for output. */
  private wake: () => void = () => undefined;

  constructor({ file, args, folder, environment }: Command, { rows, columns }: WindowSize) {
    this.pty = spawn('bash', ['-c', closeAndRun, 'bash', file, ...args], {
      cwd: folder,
      env: environment,
      rows,
      cols: columns,
      encoding: null,
    });
    const { fd, _socket: stream } = this.pty as unknown as Inside;
    this.fd = fd;
    this.stream = stream;
    const destroy = stream.destroy.bind(stream);
    this.close = () => {
      this.isClosed = true;
      destroy();
      this.wake();
    };
    // Node destroys the stream when the last program has closed the terminal (EIO), and node-pty does so 200 ms after the
    // program's exit. That would lose output that the stream has read and a slow client has yet to get.
    stream.destroy = () => {
      this.isOver = true;
      this.wake();
      return stream;
    };
    stream.on('readable', () => this.wake());
    stream.on('end', () => stream.destroy());
    this.ended = new Promise((resolve) => {
      this.pty.onExit(({ exitCode }) => resolve(exitCode));
    });
  }

  /** The output of the programs, read at the reader's pace; it ends after the last output of the program. */
  async *output(): AsyncGenerator<Buffer> {
    try {
      while (!this.isClosed) {
        const chunk = this.stream.read() as Buffer | null;
        if (chunk !== null) yield chunk;
        else if (this.isOver) break;
        else await new Promise<void>((resolve) => (this.wake = resolve));
      }
      if (!this.isClosed) yield* this.rest();
    } finally {
      this.close();
    }
  }

  /** Reads the kernel's remaining output: Node treats a closed terminal as the end, even with unread output before it. */
  private rest(): Buffer[] {
    const chunks: Buffer[] = [];
    try {
      for (let size = 0; size < mostInKernel;) {
        const chunk = Buffer.alloc(4_096);
        const length = readSync(this.fd, chunk);
        if (length === 0) break;
        chunks.push(chunk.subarray(0, length));
        size += length;
      }
    } catch {
      // Nothing is left: EIO, or EAGAIN if a background program has the terminal open.
    }
    return chunks;
  }

  /** Types input. Resolves when the terminal has taken it, or is closed. */
  async write(keys: Uint8Array): Promise<void> {
    // node-pty's own write retries in a loop while the terminal has no room, and blocks everything else.
    for (let rest = keys; rest.length > 0 && !this.isClosed;) {
      try {
        rest = rest.subarray(writeSync(this.fd, rest));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return; // no program reads the terminal any more
        await delay(retryAfter);
      }
    }
  }

  /** Notifies the programs of a new window size (SIGWINCH). */
  resize({ rows, columns }: WindowSize): void {
    if (rows > 0 && columns > 0 && !this.isClosed) this.pty.resize(columns, rows);
  }

  /** Closes the terminal: the kernel sends SIGHUP to its programs. After three seconds, the program is killed. */
  async hangUp(): Promise<void> {
    this.close();
    // If `ended` has not resolved by then, the program is running, so its process id still belongs to it.
    const timer = setTimeout(() => this.pty.kill('SIGKILL'), grace);
    await this.ended;
    clearTimeout(timer);
  }
}
