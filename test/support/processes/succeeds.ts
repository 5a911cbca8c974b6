import { execFileSync } from 'node:child_process';

/** Runs a command to its end, and returns whether its exit status is 0. */
export function succeeds(command: string, ...args: string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
