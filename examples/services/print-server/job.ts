/**
 * Parses a client's description of a job: the subcommands for its files (RFC 1179, section 6), and the control file
 * (section 7).
 */
import { Refusal } from './spool.js';

export type Subcommand =
  | { readonly kind: 'abort' }
  | {
      readonly kind: 'control' | 'data';
      /** In bytes. */
      readonly size: number;
      /** The client's name for the file, such as `dfA042client`. */
      readonly file: string;
      readonly number: string;
    };

export interface ControlFile {
  readonly user: string;
  /** The data files to print, each once, with the user's names for them. */
  readonly documents: readonly { readonly file: string; readonly name: string }[];
}

/** Parses a subcommand: a code, and, if a file follows, its size and name. The name contains the job number. */
export function parseSubcommand(line: string): Subcommand {
  if (line === '\x01') return { kind: 'abort' };
  const code = line.charCodeAt(0);
  const [, size, file = '', type, number = ''] = /^(\d{1,15})\s+(([cd])f[A-Za-z](\d{3})\S*)$/.exec(line.slice(1)) ?? [];
  if (code === 2 && type === 'c') return { kind: 'control', size: Number(size), file, number };
  if (code === 3 && type === 'd') return { kind: 'data', size: Number(size), file, number };
  throw new Refusal('this is not a subcommand of RFC 1179');
}

/**
 * Parses a control file. Each line is a letter and an operand. `P` gives the user, and `N` the name of a document. A
 * line with a lower-case letter prints a data file, and is repeated for each copy.
 */
export function parseControlFile(text: string, number: string): ControlFile {
  const lines = text.split(/\r?\n/);
  const operands = (letters: RegExp): string[] =>
    lines.filter((line) => letters.test(line)).map((line) => line.slice(1));
  const [user = ''] = operands(/^P/);
  if (user === '') throw new Refusal('the control file names no user');
  const files = [...new Set(operands(/^[a-z]/))];
  if (files.length === 0) throw new Refusal('the control file prints nothing');
  const stranger = files.find((file) => !/^df[A-Za-z]\d{3}\S*$/.test(file) || file.slice(3, 6) !== number);
  if (stranger !== undefined) throw new Refusal('the control file prints a file that is not part of its job');
  // Some clients name a document before its file, and some after it. The names are always in the order of the files.
  const names = operands(/^N/);
  return { user, documents: files.map((file, index) => ({ file, name: names[index] ?? '' })) };
}
