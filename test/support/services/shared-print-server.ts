import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freshFolder } from '../transport/places.js';
import { Program } from '../../examples/program.js';
import { PlainClient, PrintedQueue, root } from './printing.js';

export const ok = '\x00';

/** How long a test waits until the server has noticed an action of a client that gets no answer. */
export const patient = { timeout: 10_000 };

/** One server for all the tests of a file, except tests that end a server. Each test has its own queue. */
export let shared: { readonly spool: string; readonly port: number; readonly child: ChildProcess };

let queues = 0;

/** Starts the server. Call this function before the tests of a file. */
export async function startShared(): Promise<void> {
  const spool = await mkdtemp(join(tmpdir(), 'rxjs-sockets-'));
  const source = ['--import', 'tsx', '--conditions=rxjs-sockets-source', 'examples/services/print-server.ts'];
  const child = spawn(process.execPath, [...source, 'tcp://127.0.0.1:0', spool], { cwd: root, stdio: 'pipe' });
  const started = new Program(child);
  const [, port] = await started.until(/^tcp:\/\/127\.0\.0\.1:(\d+)\n/);
  shared = { spool, port: Number(port), child };
}

/** Stops the server. Call this function after the tests of a file. */
export async function stopShared(): Promise<void> {
  shared.child.kill('SIGKILL');
  await rm(shared.spool, { recursive: true, force: true });
}

/** A queue of the shared server that no other test uses. */
export function newQueue(): PrintedQueue & { name: string } {
  const name = `queue-${++queues}`;
  return Object.assign(new PrintedQueue(shared.spool, name), { name });
}

export const dial = (): PlainClient => new PlainClient({ host: '127.0.0.1', port: shared.port });

/** The server's answer to a client that sends these bytes and ends. */
export const answerTo = (bytes: Uint8Array | string): Promise<string> => dial().finish(bytes);

export async function fileOf(bytes: Uint8Array, name = 'document'): Promise<string> {
  const path = join(await freshFolder(), name);
  await writeFile(path, bytes);
  return path;
}
