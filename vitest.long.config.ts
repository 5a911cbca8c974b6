import { defineConfig } from 'vitest/config';
import base from './vitest.config.js';

// Simulations, soaks, floods and measurements of memory: each takes from ten seconds to minutes.
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ['test/**/*.long.test.ts'],
    exclude: [],
    typecheck: { enabled: false },
  },
});
