// Makes the modules of dist, which users install: as few as there can be, and without comments. A module for each file of
// src would take three times as long to import, and what the engine keeps of a program counts against the 8 MB of heap
// up to which V8 collects large reads cheaply. Another folder than dist can be named as the argument.
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

await build({
  absWorkingDir: fileURLToPath(new URL('..', import.meta.url)),
  entryPoints: ['src/index.ts', 'src/codecs/index.ts', 'src/ix.ts', 'src/testing/index.ts'],
  outdir: process.argv[2] ?? 'dist',
  bundle: true,
  splitting: true,
  packages: 'external',
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  sourcemap: true,
  sourcesContent: false,
  legalComments: 'none',
});
