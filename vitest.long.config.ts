import { defineConfig } from 'vitest/config';
import { base } from './vitest.config.js';

// Simulations, soaks, floods, measurements of memory, and services with real programs. Each takes ten seconds to
// minutes.
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ['test/**/*.long.test.ts'],
    exclude: [],
  },
});
