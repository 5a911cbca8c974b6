// Bundles the modules of dist, which users install. With a module for each file of src, an import would take three
// times as long. Comments and blanks are removed, because code takes heap. Above 8 MB of heap, V8 needs twice the time
// to collect large reads. The argument names a folder to use instead of dist.
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/**
 * Replaces an import from Node by `process.getBuiltinModule`. An import reads every export of the module, and so loads
 * parts of Node that are otherwise loaded on first use. The bundler drops the exports that the library does not use.
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
  // Keeps lines short, because Node prints the whole line that throws an error.
  lineLimit: 160,
  legalComments: 'none',
  sourcemap: true,
  sourcesContent: false,
});
