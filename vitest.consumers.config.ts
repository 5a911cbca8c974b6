import { defineConfig } from 'vitest/config';
import { base } from './vitest.config.js';

// The tests of the packed package with compilers and bundlers.
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ['test/consumers/**/*.test.ts'],
    exclude: [],
    globalSetup: 'test/support/package/install-package.ts',
  },
});
