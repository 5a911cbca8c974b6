import { streamHandles } from '../../../../../src/transport/node/internals/handle-self-test.js';

// A setup file: servers accept handles only after the self-test, and each test file has a process of its own.
await streamHandles();
