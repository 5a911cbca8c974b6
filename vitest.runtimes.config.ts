import { defineConfig } from 'vitest/config';
import { base, internals, publicApi } from './vitest.config.js';

// The tests that run on every version of Node: the rules on real sockets, and the packed package.
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    exclude: [],
    globalSetup: 'test/support/package/install-package.ts',
    // This suite runs once for each version and is the longest part of CI; none of it measures time.
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          ...internals,
          include: [
            'test/{conformance,faults,model,runtimes,transport}/**/*.test.ts',
            'test/flow/hold-memory.long.test.ts',
          ],
        },
      },
      { extends: true, test: publicApi },
    ],
  },
});
