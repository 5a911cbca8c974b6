import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const fromSource = ['--import', 'tsx', '--conditions=rxjs-sockets-source'];

/** Starts a program of `examples/` as users do; if it has not ended, it is killed at the end of the test. */
export function example(name: string, ...args: string[]): Program {
  return program([`examples/${name}.ts`, ...args]);
}

/** Starts Node, with this package as `rxjs-sockets`; if it has not ended, it is killed at the end of the test. */
export function program(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Program {
  const started = programOfMany(args, environment);
  onTestFinished(async () => {
    await started.interrupt('SIGKILL');
  });
  return started;
}

/** Starts Node in the same way for several tests; the caller ends it. */
export function programOfMany(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Program {
  const child = spawn(process.execPath, [...fromSource, ...args], {
    cwd: root,
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return new Program(child);
}

/** A program in a separate process: its output, and how it ends. */
export class Program {
  /** Its standard output so far. */
  output = '';
  /** Its standard error so far. */
  errors = '';
  /** Its exit status, or the signal that ended it, once all of its output has arrived. */
  readonly ended: Promise<number | string>;
  private readonly child: ChildProcess;
  private readonly watchers = new Set<() => void>();
  private over = false;

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.output += text;
      for (const look of this.watchers) look();
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.errors += text;
    });
    this.ended = new Promise((resolve) => {
      child.on('close', (status, signal) => {
        this.over = true;
        for (const look of this.watchers) look();
        resolve(status ?? signal ?? 'nothing');
      });
    });
  }

  /** Its process id; 0 if it could not be started. */
  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** The lines of its output. */
  get lines(): string[] {
    return this.output.split('\n').slice(0, -1);
  }

  /** Waits until its output matches, and returns the match; fails if it ends before that. */
  until(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const match = pattern.exec(this.output);
        if (match !== null) resolve(match);
        else if (this.over) reject(new Error(`it ended without ${String(pattern)}:\n${this.output}${this.errors}`));
        else return;
        this.watchers.delete(look);
      };
      this.watchers.add(look);
      look();
    });
  }

  /** Presses Ctrl-C, or sends another signal, and waits until it has ended. */
  interrupt(signal: NodeJS.Signals = 'SIGINT'): Promise<number | string> {
    this.child.kill(signal);
    return this.ended;
  }
}
