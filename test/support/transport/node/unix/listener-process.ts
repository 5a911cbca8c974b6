import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import type { ListenOptions } from 'rxjs-sockets';
import { onTestFinished } from 'vitest';
import type { Order } from './listener-program.js';

const program = fileURLToPath(new URL('./listener-program.ts', import.meta.url));
const root = fileURLToPath(new URL('../../../../..', import.meta.url));

/** A separate process that listens on request, and sends its pid to each client. */
export interface Starter {
  readonly pid: number;
  /** Resolves with `'ok'` once the process listens, or with the code of the error. */
  listen(path: string, options?: ListenOptions): Promise<string>;
  /** Makes the process unsubscribe from its server. */
  stop(): Promise<string>;
  chdir(folder: string): Promise<string>;
  umask(mask: number): Promise<string>;
  /** Makes the process drop root's privileges. */
  become(user: number): Promise<string>;
  /** Sends a command whose answer is not awaited. */
  tell(order: Order): void;
  signal(signal: NodeJS.Signals): void;
  /** Stops the process with SIGTERM. Returns its exit code, or the signal that ended the process. */
  terminate(): Promise<number | string>;
  kill(): Promise<void>;
}

/** Starts a process, in its own network namespace if `isolated`. The process ends with the test. */
export async function starter(isolated = false): Promise<Starter> {
  const child = fork(program, {
    cwd: root,
    ...(isolated ? { execPath: 'unshare', execArgv: ['--net', process.execPath] } : { execArgv: [] }),
    env: { ...process.env, NODE_OPTIONS: '--import tsx --conditions=rxjs-sockets-source' },
  });
  onTestFinished(() => end(child));
  await once(child, 'message');
  const ask = async (order: Order): Promise<string> => {
    const answer = once(child, 'message') as Promise<[string]>;
    child.send(order);
    return (await answer)[0];
  };
  return {
    pid: child.pid ?? 0,
    listen: (path, options = {}) => ask({ do: 'listen', path, options }),
    stop: () => ask({ do: 'stop' }),
    chdir: (folder) => ask({ do: 'chdir', folder }),
    umask: (mask) => ask({ do: 'umask', mask }),
    become: (user) => ask({ do: 'become', user }),
    tell: (order) => void child.send(order),
    signal: (signal) => void child.kill(signal),
    terminate: async () => {
      const exited = once(child, 'exit') as Promise<[number | null, string | null]>;
      child.kill('SIGTERM');
      const [code, signal] = await exited;
      return code ?? signal ?? 'nothing';
    },
    kill: () => end(child),
  };
}

export function starters(count: number): Promise<Starter[]> {
  return Promise.all(Array.from({ length: count }, () => starter()));
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

/** The pid of the {@link Starter} that listens at `path`. Rejects if no process listens at `path`. */
export async function listenerPid(path: string): Promise<number> {
  const socket = net.connect({ path });
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk;
  });
  await once(socket, 'end');
  socket.destroy();
  return Number(text);
}
