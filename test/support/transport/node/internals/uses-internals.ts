import { inject } from 'vitest';

declare module 'vitest' {
  interface ProvidedContext {
    /** Whether the default transport uses Node's internals; it does not in the project `public-api`. */
    readonly internals: boolean;
  }
}

/** Whether the default transport of these tests uses Node's internals. */
export const usesInternals = inject('internals');
