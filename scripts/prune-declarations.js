// Removes the declarations in dist that no entry point of the package reaches, and their maps. Users cannot import them.
import { readdir, readFile, rm } from 'node:fs/promises';
import { posix } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('../dist', import.meta.url)));
const { exports } = JSON.parse(await readFile('../package.json', 'utf8'));
const toRead = Object.values(exports).flatMap(({ types }) =>
  types === undefined ? [] : [posix.relative('dist', types)],
);
const reached = new Set();
for (const file of toRead) {
  if (reached.has(file)) continue;
  reached.add(file);
  const text = await readFile(file, 'utf8');
  for (const [, path] of text.matchAll(/\b(?:from|import)\s*\(?\s*["'](\.[^"']+)\.js["']/g)) {
    toRead.push(posix.join(posix.dirname(file), `${path}.d.ts`));
  }
}
for (const file of await readdir('.', { recursive: true })) {
  if (/\.d\.ts(\.map)?$/.test(file) && !reached.has(file.replace(/\.map$/, ''))) await rm(file);
}
