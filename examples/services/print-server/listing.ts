/** Formats the output of `lpq`, which lists the jobs of a queue. */
import type { Job } from './spool.js';

/** Selects the jobs whose number or user is in `list`. If `list` is empty, selects all jobs. */
export function matching(jobs: readonly Job[], list: readonly string[]): readonly Job[] {
  if (list.length === 0) return jobs;
  // User names do not begin with a digit (RFC 1179, section 2), so an item of digits is a job number.
  return jobs.filter(({ number, user }) =>
    list.some((item) => (/^\d+$/.test(item) ? Number(item) === Number(number) : item === user)),
  );
}

/** Formats the queue. The short form has one line for each job. The long form adds one line for each document. */
export function listing(form: 'short' | 'long', jobs: readonly Job[]): string {
  if (jobs.length === 0) return 'no entries\n';
  const heading = row('Rank', 'Owner', 'Job', 'Files', 'Total Size');
  return form === 'short' ? [heading, ...jobs.map(short)].join('') : jobs.map(long).join('\n');
}

function short({ number, user, documents }: Job, index: number): string {
  const names = documents.map(({ name }) => name).join(', ');
  const size = documents.reduce((sum, document) => sum + document.size, 0);
  return row(String(index + 1), printable(user), number, printable(names), `${size} bytes`);
}

function long({ number, user, origin, documents }: Job, index: number): string {
  const heading = `${printable(user)}: ${index + 1}`.padEnd(41) + `[job ${number} ${origin}]\n`;
  return heading + documents.map(({ name, size }) => `        ${printable(name).padEnd(33)}${size} bytes\n`).join('');
}

function row(rank: string, owner: string, job: string, files: string, size: string): string {
  return `${rank.padEnd(6)} ${owner.padEnd(10)} ${job.padEnd(4)} ${files.padEnd(37)} ${size}\n`;
}

/**
 * Replaces control characters. The names come from strangers, and a control character in a name could control a
 * terminal.
 */
export function printable(text: string): string {
  return text.replace(/\p{C}/gu, '?');
}
