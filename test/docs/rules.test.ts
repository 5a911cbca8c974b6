import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(`${root}docs/semantics.md`, 'utf8');
const rules = Array.from(page.matchAll(/^- \*\*([A-Z]\d+)\*\* \S/gm), ([, rule = '']) => rule);

/** The title of a test: a first argument, with a function or options after it. */
const title = /\(\s*(['"`])(?<rule>[A-Z]\d+): .*?\1,\s*(?:async\b|\(|\w+ =>|\{)/g;

/** The rules that the titles of the tests start with. */
const tested = new Set(
  readdirSync(`${root}test`, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => readFileSync(`${root}test/${file}`, 'utf8'))
    .flatMap((code) => Array.from(code.matchAll(title), ({ groups }) => groups?.['rule'] ?? '')),
);

describe('docs/semantics.md', () => {
  it('has each rule once, in order', () => {
    const places = rules.map((rule) => [rule.charAt(0), Number(rule.slice(1))] as const);
    expect(rules.length).toBeGreaterThan(50);
    expect(new Set(rules).size).toBe(rules.length);
    for (const [index, [letter, number]] of places.entries()) {
      const [previous, before] = places[index - 1] ?? ['', 0];
      if (letter === previous) expect(number, rules[index]).toBeGreaterThan(before);
    }
  });

  it.each(rules)('contains rule %s, for which a test exists', (rule) => {
    expect(tested, `no title of a test starts with '${rule}: '`).toContain(rule);
  });
});
