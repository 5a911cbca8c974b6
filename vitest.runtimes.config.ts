import { defineConfig } from 'vitest/config';
import base from './vitest.config.js';

// What runs on every version of Node: the rules on real sockets, and the packed package.
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ['test/{conformance,faults,memory,model,runtimes,transport}/**/*.test.ts'],
    exclude: [],
    globalSetup: 'test/support/installed.ts',
    // Types don't depend on the version of Node.
    typecheck: { enabled: false },
  },
});
