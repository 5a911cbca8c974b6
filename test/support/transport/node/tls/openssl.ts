import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { run } from '../../../processes/run-program.js';

/** Runs OpenSSL's own program, which does not use Node's sockets. The program ends with the test. */
export const openssl = (...args: string[]): ChildProcessWithoutNullStreams => run('openssl', ...args);
