/**
 * Parses a client's description of a job: the subcommands that announce the files of the job (RFC 1179, section 6), and
 * the control file (section 7).
 */
import { Refusal } from './spool.js';

export type Subcommand =
  | { readonly kind: 'abort' }
  | {
      readonly kind: 'control' | 'data';
      /** The size of the file, in bytes. */
      readonly size: number;
      /** The client's name for the file, such as `dfA042client`. */
      readonly file: string;
      readonly number: string;
    };

export interface ControlFile {
  readonly user: string;
  /** The data files to print. Each file appears once, with the name that the user gave to the document. */
  readonly documents: readonly { readonly file: string; readonly name: string }[];
}

/**
 * Parses a subcommand: a code, and, if a file follows, the size and the name of that file. The file name contains the
 * job number.
 */
export function parseSubcommand(line: string): Subcommand {
  if (line === '\x01') return { kind: 'abort' };
  const code = line.charCodeAt(0);
  const [, size, file = '', type, number = ''] = /^(\d{1,15})\s+(([cd])f[A-Za-z](\d{3})\S*)$/.exec(line.slice(1)) ?? [];
  if (code === 2 && type === 'c') return { kind: 'control', size: Number(size), file, number };
  if (code === 3 && type === 'd') return { kind: 'data', size: Number(size), file, number };
  throw new Refusal('this is not a subcommand of RFC 1179');
}

/**
 * Parses a control file. Each line is a letter and an operand. A line with `P` gives the user, and a line with `N`
 * gives the name of a document. A line with a lower-case letter prints a data file, and the client repeats that line
 * for each copy.
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
  // Some clients send the line with the name of a document before the line that prints its file, and some clients send
  // the name after that line. The names are always in the order of the files.
  const names = operands(/^N/);
  return { user, documents: files.map((file, index) => ({ file, name: names[index] ?? '' })) };
}
