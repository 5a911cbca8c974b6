import { defineConfig } from 'vitest/config';
import { base, internals, publicApi } from './vitest.config.js';

// What takes long: simulations, soaks, floods, long random sequences, measurements of time and memory, programs in
// processes of their own, and services against real programs.
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    exclude: [],
    projects: [
      {
        extends: true,
        test: { ...internals, include: ['test/**/*.long.test.ts'] },
      },
      { extends: true, test: { ...publicApi, include: ['test/conformance/**/*.long.test.ts'] } },
    ],
  },
});
