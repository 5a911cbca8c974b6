import { vi } from 'vitest';

// The setup file of the project `public-api`. In this project, the default transport uses only Node's public API.
vi.mock(import('../../../../src/transport/node/node-transport.js'), async (original) => {
  const { nodeTransport } = await original();
  return { nodeTransport: (options) => nodeTransport({ internals: false, ...options }) };
});
