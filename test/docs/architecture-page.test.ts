import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(`${root}docs/architecture.md`, 'utf8');
const [, table = ''] = /^## Where to look\n(.*?)^## /ms.exec(page) ?? [];
const files = Array.from(table.matchAll(/`([a-z\d/-]+\.ts)`/g), ([, file = '']) => file);

const walks = ['How a chunk comes in', 'How a value goes out'].map((heading) => {
  const [, section = ''] = new RegExp(`^## ${heading}\\n(.*?)^##`, 'ms').exec(page) ?? [];
  const steps = Array.from(
    section.matchAll(/^\d+\. `([^`]+\.ts)`: `(?:\w+\.)?(\w+)`/gm),
    ([, file = '', name = '']) => ({ file, name }),
  );
  return { heading, steps };
});

describe('docs/architecture.md', () => {
  it('names more than 30 files under "Where to look"', () => {
    expect(files.length).toBeGreaterThan(30);
  });

  it.each(files)('names %s, which exists', (file) => {
    expect(existsSync(`${root}src/${file}`)).toBe(true);
  });

  it.each(walks)('describes "$heading" in at most 15 functions of at most 8 files, all of which exist', ({ steps }) => {
    expect(steps.length).toBeGreaterThan(10);
    expect(steps.length).toBeLessThanOrEqual(15);
    expect(new Set(steps.map(({ file }) => file)).size).toBeLessThanOrEqual(8);
    for (const { file, name } of steps) {
      expect(readFileSync(`${root}src/${file}`, 'utf8')).toMatch(
        new RegExp(`^ *(export |private )*(function )?${name}(<.*>)?\\(`, 'm'),
      );
    }
  });
});
