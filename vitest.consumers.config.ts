import { defineConfig } from 'vitest/config';
import { base } from './vitest.config.js';

// The packed package, as compilers and bundlers see it.
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ['test/consumers/**/*.test.ts'],
    exclude: [],
    globalSetup: 'test/support/package/install-package.ts',
  },
});
