// Makes the modules of dist, which users install: as few as there can be, without comments and blanks. A module for each
// file of src would take three times as long to import, and what the engine keeps of a program counts against the 8 MB of
// heap up to which V8 collects large reads cheaply. Another folder than dist can be named as the argument.
import { readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const options = {
  absWorkingDir: root,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  sourcemap: true,
  sourcesContent: false,
  legalComments: 'none',
};

const { metafile } = await build({
  ...options,
  bundle: true,
  packages: 'external',
  entryPoints: ['src/index.ts', 'src/codecs/index.ts', 'src/interop/index.ts', 'src/ix.ts', 'src/testing/index.ts'],
  outdir: process.argv[2] ?? 'dist',
  splitting: true,
  metafile: true,
});
const scripts = Object.keys(metafile.outputs).filter((path) => path.endsWith('.js'));

for (const file of scripts.map((path) => resolve(root, path))) {
  const text = await readFile(file, 'utf8');
  await writeFile(file, withoutFacades(text));
  // Lines of some length, since Node shows the line that an error was thrown from.
  const minify = { minifyWhitespace: true, minifySyntax: true, lineLimit: 160 };
  await build({ ...options, ...minify, entryPoints: [file], outfile: file, allowOverwrite: true });
}

/** An import of a part of Node makes each thing that it exports, also what Node itself loads when it is first asked for. */
function withoutFacades(text) {
  return text
    .replaceAll(/^import (\{[^}]*\}) from ("node:[^"]*");$/gm, (_, taken, part) => {
      return `const ${taken.replaceAll(' as ', ': ')} = process.getBuiltinModule(${part});`;
    })
    .replaceAll(/^import (?:\* as )?(\w+) from ("node:[^"]*");$/gm, 'const $1 = process.getBuiltinModule($2);');
}
