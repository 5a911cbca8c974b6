import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

/** The rules of the contract that this version keeps. That each rule has its test is for `docs/rules.test.ts` to say. */
const delivered: Readonly<Record<string, readonly number[]>> = {
  A: [1, 2, 3, 4, 5],
  F: [1, 2, 3, 4, 5, 6, 7, 8],
  C: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
  S: [1, 2, 3, 4, 5, 6, 7, 8, 9],
  K: [1, 2, 3, 4, 5, 6, 7],
  B: [1, 2, 3, 4],
  D: [1, 2, 3, 4, 5, 6],
};

const page = readFileSync(new URL('../docs/semantics.md', import.meta.url), 'utf8');

it.each(Object.entries(delivered).flatMap(([letter, numbers]) => numbers.map((number) => `${letter}${number}`)))(
  'docs/semantics.md has the rule %s of the contract',
  (rule) => {
    expect(page).toContain(`\n- **${rule}** `);
  },
);

it('docs/semantics.md has its rules under headings', () => {
  const section = page.split('\n').findIndex((line) => line.startsWith('## '));
  const rule = page.split('\n').findIndex((line) => /^- \*\*[A-Z]\d+\*\*/.test(line));
  expect(section).toBeGreaterThan(0);
  expect(rule).toBeGreaterThan(section);
});
