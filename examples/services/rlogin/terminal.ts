/** A program on its own pseudo terminal, with backpressure in both directions. */
import { readSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { ReadStream } from 'node:tty';
import { type IPty, spawn } from '@lydell/node-pty';
import type { WindowSize } from './protocol.js';

/** How long a program may continue after its terminal was hung up. */
const grace = 3_000; // ms

/** If the terminal has no room for input: the time until the next attempt to write. */
const retryAfter = 20; // ms

/**
 * The most output to read after the program has ended. The kernel keeps less output than this maximum, but a program in
 * the background may still print.
 */
const mostInKernel = 1_048_576; // bytes

/**
 * With node-pty, a program inherits the descriptors of all open terminals. The program could then read the input of
 * other sessions, and would keep the terminals of other sessions open. So bash first closes all descriptors except 0, 1
 * and 2, and then becomes the program. (A POSIX shell need not support descriptors over 9, but bash supports them.)
 */
const closeAndRun = `
for fd in /proc/$$/fd/*; do
  fd=\${fd##*/}
  if [ "$fd" -gt 2 ]; then eval "exec $fd>&-"; fi
done
exec "$@"
`;

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** Members of node-pty's objects that the types of node-pty do not declare. */
interface Inside {
  /** The descriptor of the server's end of the terminal. This end is in non-blocking mode. */
  readonly fd: number;
  readonly _socket: ReadStream;
}

export class Terminal {
  /** Resolves with the program's exit status when the program has exited. */
  readonly ended: Promise<number>;
  private readonly pty: IPty;
  private readonly fd: number;
  private readonly stream: ReadStream;
  private readonly close: () => void;
  /** Whether the program has ended, or all programs have closed the terminal. */
  private isOver = false;
  private isClosed = false;
  /** If the generator `output` is waiting for more output, wakes the generator. */
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
    // Node destroys the stream when the last program has closed the terminal (EIO), and node-pty destroys the stream
    // 200 ms after the program's exit. A destroyed stream would lose output that a slow client has not received yet.
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

  /**
   * Yields the output of the program at the reader's pace. The generator ends when the program has ended and all output
   * of the program was read.
   */
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

  /**
   * Reads the output that is still in the kernel. Node would drop this output, because Node ends the stream when the
   * last program has closed the terminal.
   */
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
      // All output was read: `readSync` throws EIO, or EAGAIN if a program in the background has the terminal open.
    }
    return chunks;
  }

  /** Types `keys` into the terminal. Resolves when the terminal has taken the keys, or was closed. */
  async write(keys: Uint8Array): Promise<void> {
    // While the terminal has no room, node-pty's own `write` retries in a loop, and this loop blocks the process.
    for (let rest = keys; rest.length > 0 && !this.isClosed;) {
      try {
        rest = rest.subarray(writeSync(this.fd, rest));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return; // no program reads the terminal now
        await delay(retryAfter);
      }
    }
  }

  resize({ rows, columns }: WindowSize): void {
    if (rows > 0 && columns > 0 && !this.isClosed) this.pty.resize(columns, rows);
  }

  /**
   * Closes the terminal, so that the kernel sends SIGHUP to the programs of the terminal. If the program still runs
   * three seconds later, kills the program.
   */
  async hangUp(): Promise<void> {
    this.close();
    // While `ended` is pending, the program runs, so its process id cannot belong to a different process.
    const timer = setTimeout(() => this.pty.kill('SIGKILL'), grace);
    await this.ended;
    clearTimeout(timer);
  }
}
