import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (file: string): string => readFileSync(root + file, 'utf8');

function filesIn(folder: string, end: string): string[] {
  const files = readdirSync(root + folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith(end));
  return files.sort().map((file) => `${folder}/${file}`);
}

interface Snippet {
  readonly place: string;
  readonly code: string;
}

const fence = '```';

/** Every TypeScript block in a page or in the comments of a source file. A diff counts as two blocks. */
function snippetsOf(file: string): Snippet[] {
  const text = file.endsWith('.md') ? read(file) : read(file).replace(/^ *\* ?/gm, '');
  const blocks = text.matchAll(new RegExp(`^${fence}(ts|diff)\n(.*?)^${fence}$`, 'gms'));
  return Array.from(blocks, ({ index, 1: language = '', 2: code = '' }) => {
    const place = `${file}:${text.slice(0, index).split('\n').length}`;
    if (language === 'ts') return [{ place, code }];
    return [
      { place: `${place} (before)`, code: code.replace(/^\+.*\n/gm, '').replace(/^[- ]/gm, '') },
      { place: `${place} (after)`, code: code.replace(/^-.*\n/gm, '').replace(/^[+ ]/gm, '') },
    ];
  }).flat();
}

/** Removes the imports and what a formatter may change: white space and trailing commas. */
function bare(code: string): string {
  return code
    .replace(importing, '')
    .replace(/\s+/g, '')
    .replace(/,(?=[)\]}])/g, '');
}

const importing = /^import (?:type )?\{([^}]*)\} from '([^']*)';$/gm;

/** Lists every import, such as `rxjs-sockets:listen`. */
function imports(code: string): string[] {
  return Array.from(code.matchAll(importing), ([, names = '', from = '']) =>
    names.split(',').map((name) => `${from}:${name.trim().replace(/^type /, '')}`),
  ).flat();
}

// Other tests compile, lint and run all code in these files.
const programs = ['test/docs/snippets', 'test/interop', 'examples']
  .flatMap((folder) => filesIn(folder, '.ts'))
  .map((file) => read(file))
  .map((code) => ({ code: bare(code), imports: imports(code) }));

// The guide and the README consist of whole programs, which have their own tests.
const pages = readdirSync(`${root}docs`).filter((file) => file.endsWith('.md') && file !== 'guide.md');
const snippets = [...filesIn('src', '.ts'), ...pages.map((page) => `docs/${page}`)].flatMap(snippetsOf);

describe('the code in the documentation', () => {
  it('is found by this test', () => {
    expect(snippets.length).toBeGreaterThan(100);
    expect(snippets.filter(({ code }) => bare(code) === '')).toEqual([]);
  });

  it.each(snippets)('is part of a test or of an example: $place', ({ code }) => {
    const parts = programs.filter((program) => program.code.includes(bare(code)));
    expect(parts.length, `found in no test and no example:\n${code}`).toBeGreaterThan(0);
    const imported = parts.some((program) => imports(code).every((name) => program.imports.includes(name)));
    expect(imported, `imported by no test and no example:\n${code}`).toBe(true);
  });
});
