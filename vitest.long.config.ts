import { defineConfig } from 'vitest/config';
import { base } from './vitest.config.js';

// Simulations, soaks, floods, measurements of memory, and services against real programs: ten seconds to minutes each.
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ['test/**/*.long.test.ts'],
    exclude: [],
  },
});
