/** A program at a pseudo terminal of its own, with backpressure in both directions. */
import { readSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { ReadStream } from 'node:tty';
import { type IPty, spawn } from '@lydell/node-pty';
import type { WindowSize } from './protocol.js';

/** How long a program may go on after its terminal was hung up. */
const grace = 3_000; // ms

/** After how long a write is tried again that the terminal had no room for. */
const retryAfter = 20; // ms

/** More than the kernel keeps of what was printed and not read; a program in the background may go on printing. */
const mostInKernel = 1_048_576; // bytes

/**
 * node-pty lets a program inherit its end of every terminal that is open: with it a program could read what others type, and
 * their terminals would not be hung up while it runs. So bash closes whatever is not the program's own terminal, and becomes the
 * program. (A POSIX shell need not know descriptors over 9.)
 */
const closeAndRun = `
for fd in /proc/$$/fd/*; do
  fd=\${fd##*/}
  if [ "$fd" -gt 2 ]; then eval "exec $fd>&-"; fi
done
exec "$@"
`;

/** What runs at a terminal, and how. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** What node-pty has and does not declare. */
interface Inside {
  /** The terminal's other end, in non-blocking mode. */
  readonly fd: number;
  readonly _socket: ReadStream;
}

export class Terminal {
  /** Resolves with the program's exit status, after the terminal was closed. */
  readonly ended: Promise<number>;
  private readonly pty: IPty;
  private readonly fd: number;
  private readonly stream: ReadStream;
  private readonly close: () => void;
  /** The program has ended, or every program has closed the terminal. */
  private isOver = false;
  private isClosed = false;
  /** Wakes whoever waits for output. */
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
    // program's exit. With the stream what it has read would be lost, and a slow client still has to get all of it.
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

  /** What the programs print, read no faster than it is taken; it ends after the last output of the program. */
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

  /** What the kernel still has: Node takes a terminal that was closed for the end, whatever there is to be read before it. */
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
      // That was all: EIO, or EAGAIN where a program in the background has the terminal open.
    }
    return chunks;
  }

  /** Types something. Resolves when the terminal has taken it, or is closed. */
  async write(keys: Uint8Array): Promise<void> {
    // node-pty's own write tries again and again while the terminal has no room, and nothing else runs meanwhile.
    for (let rest = keys; rest.length > 0 && !this.isClosed;) {
      try {
        rest = rest.subarray(writeSync(this.fd, rest));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return; // nobody reads it any more
        await delay(retryAfter);
      }
    }
  }

  /** Tells the programs that the window has another size now (SIGWINCH). */
  resize({ rows, columns }: WindowSize): void {
    if (rows > 0 && columns > 0 && !this.isClosed) this.pty.resize(columns, rows);
  }

  /** Closes the terminal: the kernel sends SIGHUP to its programs. What does not end within three seconds is killed. */
  async hangUp(): Promise<void> {
    this.close();
    // Whatever `ended` does not tell within this time is running, so its number still belongs to it.
    const timer = setTimeout(() => this.pty.kill('SIGKILL'), grace);
    await this.ended;
    clearTimeout(timer);
  }
}
