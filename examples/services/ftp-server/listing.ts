/** Formats listings, and matches names with patterns. */
import type { Stats } from 'node:fs';
import type { Entry } from './folder.js';

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const halfYear = 182 * 86_400_000; // ms

/** Formats a line of LIST, in UTC, as `ls -l` does: `-rw-r--r--   1 ftp      ftp          1234 Nov 29 00:51 name`. */
export function longLine({ name, stats }: Entry, now = Date.now()): string {
  const { mtime } = stats;
  const day = String(mtime.getUTCDate()).padStart(2);
  const isRecent = Math.abs(now - mtime.getTime()) < halfYear;
  const time = isRecent ? mtime.toISOString().slice(11, 16) : String(mtime.getUTCFullYear()).padStart(5);
  const owner = `${String(stats.nlink).padStart(3)} ftp      ftp      `;
  return `${modeOf(stats)} ${owner}${String(stats.size).padStart(12)} ${months[mtime.getUTCMonth()]!} ${day} ${time} ${name}`;
}

function modeOf(stats: Stats): string {
  const letters = [...'rwxrwxrwx'].map((letter, index) => ((stats.mode >> (8 - index)) & 1 ? letter : '-'));
  return (stats.isDirectory() ? 'd' : '-') + letters.join('');
}

export const allFacts = ['type', 'size', 'modify', 'perm'] as const;
export type Fact = (typeof allFacts)[number];

/** Formats the facts of MLST and MLSD: `type=file;size=1234;modify=20261129005102;perm=adfrw; name`. */
export function factLine({ name, stats }: Entry, facts: readonly Fact[], type = typeOf(stats)): string {
  const values: Record<Fact, string | undefined> = {
    type,
    size: stats.isFile() ? String(stats.size) : undefined,
    modify: timestamp(stats.mtime),
    perm: stats.isDirectory() ? 'cdeflmp' : 'adfrw',
  };
  const known = facts.filter((fact) => values[fact] !== undefined);
  return `${known.map((fact) => `${fact}=${values[fact]!};`).join('')} ${name}`;
}

function typeOf(stats: Stats): string {
  if (stats.isDirectory()) return 'dir';
  return stats.isFile() ? 'file' : 'OS.unix=special';
}

/** Formats a time in UTC, for MDTM and for the fact `modify`: `20261129005102`. */
export function timestamp(time: Date): string {
  return time.toISOString().replace(/\D/g, '').slice(0, 14);
}

/**
 * Whether a name matches a pattern. In the pattern, `*` matches any text, and `?` matches any character. After a
 * mismatch, the function tries again only from the last `*`.
 */
export function matches(name: string, pattern: string): boolean {
  let [at, star, retry] = [0, -1, 0];
  for (let next = 0; next < name.length;) {
    if (pattern[at] === '*') {
      star = at++;
      retry = next;
    } else if (pattern[at] === '?' || pattern[at] === name[next]) {
      at++;
      next++;
    } else if (star !== -1) {
      at = star + 1;
      next = ++retry;
    } else return false;
  }
  return /^\**$/.test(pattern.slice(at));
}
