import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Workshop } from './library.js';

/** For each way to pull, the nanoseconds of processor time per message, with one figure for each round. */
export type PullTimes = Readonly<Record<string, readonly number[]>>;

/** Runs bench/inside/pull.js for the way 'the queue', and for the ways whose names contain `only`. */
export async function pullTimes(
  { inside }: Workshop,
  { messages, rounds, only = '' }: { messages: number; rounds: number; only?: string },
): Promise<PullTimes> {
  const args = [inside('pull'), String(messages), String(rounds), only];
  const env = { ...process.env, NODE_OPTIONS: '' };
  const { stdout } = await promisify(execFile)(process.execPath, args, { env, timeout: 120_000 });
  return JSON.parse(stdout) as PullTimes;
}
