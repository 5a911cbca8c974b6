import { defineConfig } from 'vitest/config';
import base from './vitest.config.js';

// What runs on every version of Node: the rules on real sockets, and the packed package.
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ['test/{conformance,faults,model,runtimes,transport}/**/*.test.ts', 'test/flow/hold-memory.long.test.ts'],
    // It repeats the rules where Node is built otherwise, which needs one version only.
    exclude: ['test/transport/without-direct-read.test.ts'],
    globalSetup: 'test/support/package/install-package.ts',
    // Three times this suite is the longest part of CI, and none of it measures time.
    maxWorkers: 2,
    // Types don't depend on the version of Node.
    typecheck: { enabled: false },
  },
});
