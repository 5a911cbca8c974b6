import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { EMPTY } from 'rxjs';
import { onTestFinished } from 'vitest';
import { type ByteRecording, recordBytes, recordStream } from '../support/recording/record-bytes.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const fromSource = ['--import', 'tsx', '--conditions=rxjs-sockets-source'];

/** Starts a program of `examples/` as users do. The program is killed at the end of the test. */
export function example(name: string, ...args: string[]): Program {
  return program([`examples/${name}.ts`, ...args]);
}

/** Starts Node with this package as `rxjs-sockets`. Node is killed at the end of the test. */
export function program(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Program {
  const started = programOfMany(args, environment);
  onTestFinished(async () => {
    await started.interrupt('SIGKILL');
  });
  return started;
}

/** Starts Node like {@link program}, but the caller has to end the process. */
export function programOfMany(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Program {
  const child = spawn(process.execPath, [...fromSource, ...args], {
    cwd: root,
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return new Program(child);
}

export class Program {
  /** The program's exit status, or the signal that ended the program. Resolves after all its output has arrived. */
  readonly ended: Promise<number | string>;
  private readonly child: ChildProcess;
  private readonly stdout: ByteRecording;
  private readonly stderr: ByteRecording;

  constructor(child: ChildProcess) {
    this.child = child;
    this.stdout = recordOutput(child.stdout);
    this.stderr = recordOutput(child.stderr);
    this.ended = new Promise((resolve) => {
      child.on('close', (status, signal) => resolve(status ?? signal ?? 'nothing'));
    });
  }

  get output(): string {
    return this.stdout.text;
  }

  get errors(): string {
    return this.stderr.text;
  }

  /** The program's process id, or 0 if the program could not be started. */
  get pid(): number {
    return this.child.pid ?? 0;
  }

  get lines(): string[] {
    return this.output.split('\n').slice(0, -1);
  }

  /** Waits until the output matches, and returns the match. Fails if the program ends first. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    try {
      return await this.stdout.until(pattern);
    } catch (error) {
      await this.ended;
      throw new Error(this.errors, { cause: error });
    }
  }

  /** Sends Ctrl-C or another signal, and waits until the program has ended. */
  interrupt(signal: NodeJS.Signals = 'SIGINT'): Promise<number | string> {
    this.child.kill(signal);
    return this.ended;
  }
}

function recordOutput(stream: Readable | null): ByteRecording {
  return stream === null ? recordBytes(EMPTY) : recordStream(stream, 'utf8');
}
