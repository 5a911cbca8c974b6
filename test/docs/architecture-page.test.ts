import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(`${root}docs/architecture.md`, 'utf8');
const [, table = ''] = /^## Where to look\n(.*?)^## /ms.exec(page) ?? [];
const files = Array.from(table.matchAll(/`([a-z\d/-]+\.ts)`/g), ([, file = '']) => file);

describe('docs/architecture.md', () => {
  it('tells where to look', () => {
    expect(files.length).toBeGreaterThan(30);
  });

  it.each(files)('names %s, which is there', (file) => {
    expect(existsSync(`${root}src/${file}`)).toBe(true);
  });
});
