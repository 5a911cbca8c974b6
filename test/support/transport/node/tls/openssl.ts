import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { run } from '../../../processes/run-program.js';

/** OpenSSL's own program, which shares nothing with Node's sockets; it ends with the test. */
export const openssl = (...args: string[]): ChildProcessWithoutNullStreams => run('openssl', ...args);
