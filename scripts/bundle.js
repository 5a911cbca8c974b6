// Makes the modules of dist, which users install: as few as possible, without comments and blanks. A module for each file
// of src would take three times as long to import, and what V8 keeps of a program counts against the 8 MB of heap up to
// which it collects large reads cheaply. Another folder than dist can be named as the argument.
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/**
 * Replaces an import from Node by `process.getBuiltinModule`: an import reads every export of the module, and so loads the
 * parts of Node that it otherwise loads on first use. Here the bundler drops the exports that nothing uses.
 */
const builtinModules = {
  name: 'builtin-modules',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: 'builtin' }));
    onLoad({ filter: /./, namespace: 'builtin' }, ({ path }) => {
      const names = Object.keys(process.getBuiltinModule(path)).filter((name) => name !== 'default');
      return {
        contents: [
          `const builtin = /* @__PURE__ */ process.getBuiltinModule(${JSON.stringify(path)});`,
          'const get = (name) => builtin[name];',
          'export default builtin;',
          ...names.map((name) => `export const ${name} = /* @__PURE__ */ get(${JSON.stringify(name)});`),
        ].join('\n'),
      };
    });
  },
};

await build({
  absWorkingDir: fileURLToPath(new URL('..', import.meta.url)),
  entryPoints: ['src/index.ts', 'src/codecs/index.ts', 'src/interop/index.ts', 'src/ix.ts', 'src/testing/index.ts'],
  outdir: process.argv[2] ?? 'dist',
  bundle: true,
  splitting: true,
  packages: 'external',
  plugins: [builtinModules],
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  minifyWhitespace: true,
  minifySyntax: true,
  // Node shows the line that an error was thrown from.
  lineLimit: 160,
  legalComments: 'none',
  sourcemap: true,
  sourcesContent: false,
});
