import { inject } from 'vitest';

declare module 'vitest' {
  interface ProvidedContext {
    /** Whether the default transport uses Node's internals. It does not in the project `public-api`. */
    readonly internals: boolean;
  }
}

export const usesInternals = inject('internals');
