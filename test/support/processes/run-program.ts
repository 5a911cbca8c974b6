import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { onTestFinished } from 'vitest';

/** Starts a program that the test talks to. The program ends with the test. */
export function run(program: string, ...args: string[]): ChildProcessWithoutNullStreams {
  const child = spawn(program, args);
  child.stdin.on('error', () => undefined);
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
  });
  return child;
}

/** Reads the output of `child` until all of it so far matches. */
export async function shows(child: ChildProcessWithoutNullStreams, pattern: RegExp): Promise<RegExpExecArray> {
  let text = '';
  const read = (chunk: unknown): void => {
    text += String(chunk);
  };
  child.stdout.on('data', read);
  try {
    for (;;) {
      const match = pattern.exec(text);
      if (match !== null) return match;
      if (child.stdout.readableEnded || child.stdout.destroyed) throw new Error(`the program has ended: ${text}`);
      await Promise.race(['data', 'end', 'close'].map((event) => once(child.stdout, event)));
    }
  } finally {
    child.stdout.off('data', read);
  }
}
