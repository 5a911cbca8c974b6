import { defaultClientConditions, defaultServerConditions } from 'vite';
import { defineConfig, type TestProjectInlineConfiguration, type ViteUserConfig } from 'vitest/config';

/** Makes 'rxjs-sockets' this package's own source; see "exports" in package.json. */
const source = 'rxjs-sockets-source';

/** The settings of all configurations. */
export const base = {
  resolve: { conditions: [source, ...defaultClientConditions] },
  ssr: { resolve: { conditions: [source, ...defaultServerConditions] } },
  test: {
    // These tests have configurations of their own: the first two folders need the packed package, the others take
    // too long.
    exclude: ['test/{consumers,runtimes}/**', 'test/**/*.long.test.ts'],
    // One process per file, so that a leaked handle or a changed global does not affect other files.
    pool: 'forks',
    // Tests that measure memory need a collection at a known moment.
    execArgv: ['--expose-gc'],
    testTimeout: 20_000,
    hookTimeout: 20_000,
    teardownTimeout: 20_000,
    coverage: { provider: 'v8', include: ['src/**'], reporter: ['text', 'html'] },
  },
} satisfies ViteUserConfig;

/** The project `internals`: every test, with the default transport. */
export const internals = {
  name: 'internals',
  setupFiles: ['test/support/transport/node/internals/await-self-test.ts'],
  provide: { internals: true },
} satisfies TestProjectInlineConfiguration['test'];

/**
 * The tests of the project `public-api`: the rules on real sockets, with a transport that uses Node's public API only.
 */
export const publicApi = {
  name: 'public-api',
  include: ['test/conformance/**/*.test.ts', 'test/transport/node/{permission,tls/start-tls}.test.ts'],
  // The sockets of these tests are in other processes, which the setup file does not affect. The first has a test
  // without internals.
  exclude: ['test/conformance/{descriptors,exit,inherited,socket-file-races}.*'],
  setupFiles: ['test/support/transport/node/public-api.ts'],
  provide: { internals: false },
  typecheck: { enabled: false },
} satisfies TestProjectInlineConfiguration['test'];

export default defineConfig({
  ...base,
  test: {
    ...base.test,
    projects: [
      {
        extends: true,
        test: {
          ...internals,
          include: ['test/**/*.test.ts'],
          typecheck: {
            enabled: true,
            include: ['test/types/**/*.test-d.ts'],
            tsconfig: 'tsconfig.json',
            // The rest of the project is checked by `npm run typecheck`.
            ignoreSourceErrors: true,
          },
        },
      },
      { extends: true, test: publicApi },
    ],
  },
});
