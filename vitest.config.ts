import { defaultClientConditions, defaultServerConditions } from 'vite';
import { defineConfig } from 'vitest/config';

/** Makes 'rxjs-sockets' this package's own source; see "exports" in package.json. */
const source = 'rxjs-sockets-source';

export default defineConfig({
  resolve: { conditions: [source, ...defaultClientConditions] },
  ssr: { resolve: { conditions: [source, ...defaultServerConditions] } },
  test: {
    include: ['test/**/*.test.ts'],
    // These have configurations of their own: the first two need the packed package, the last take minutes.
    exclude: ['test/{consumers,runtimes}/**', 'test/**/*.long.test.ts'],
    typecheck: {
      enabled: true,
      include: ['test/types/**/*.test-d.ts'],
      tsconfig: 'tsconfig.json',
      // The rest of the project is checked by `npm run typecheck`.
      ignoreSourceErrors: true,
    },
    // One process a file: a leaked handle or a changed global of one file can't reach another.
    pool: 'forks',
    // Tests that measure memory need a collection at a known moment.
    execArgv: ['--expose-gc'],
    testTimeout: 20_000,
    hookTimeout: 20_000,
    teardownTimeout: 20_000,
    coverage: { provider: 'v8', include: ['src/**'], reporter: ['text', 'html'] },
  },
});
