import { inject } from 'vitest';

declare module 'vitest' {
  interface ProvidedContext {
    /** Whether the default transport uses Node's internals. In vitest's project `public-api`, it does not. */
    readonly internals: boolean;
  }
}

export const usesInternals = inject('internals');
