import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { file } from '../transport/node/tls/certificates.js';
import type { Account } from './unprivileged-account.js';

interface DatabaseOptions {
  readonly path: string;
  readonly args: readonly string[];
  readonly account: Account;
  readonly folder: string;
  readonly env?: NodeJS.ProcessEnv;
  /** The text that appears on the server's standard error once the server accepts clients. */
  readonly ready: string;
  /** The signal that ends the server when this process exits, if the server is still running. */
  readonly lastSignal: NodeJS.Signals;
}

/** The process of a database server. It can be stopped and started again. */
export class DatabaseProcess {
  private readonly options: DatabaseOptions;
  private child: ChildProcess | undefined;
  private readonly kill = (): void => void this.child?.kill(this.options.lastSignal);

  constructor(options: DatabaseOptions) {
    this.options = options;
    process.once('exit', this.kill);
  }

  /** Starts the server, and waits until it accepts clients. */
  async start(): Promise<void> {
    const { path, args, account, folder, env, ready } = this.options;
    const child = spawn(path, args, {
      ...account,
      cwd: folder,
      ...(env === undefined ? {} : { env }),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.child = child;
    await new Promise<void>((resolve, reject) => {
      let log = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        log += text;
        if (log.includes(ready)) resolve();
      });
      child.once('error', reject);
      child.once('exit', () => reject(new Error(`${path} has ended: ${log}`)));
    });
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    const { child } = this;
    this.child = undefined;
    if (child === undefined) return;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  }

  /** Stops the server for the last time. */
  async end(signal: NodeJS.Signals): Promise<void> {
    await this.stop(signal);
    process.off('exit', this.kill);
  }
}

/** Copies `server.key` and `server.pem` to a folder. Only this account can read the copies. */
export async function copyIdentity(folder: string, account: Account): Promise<void> {
  for (const name of ['server.key', 'server.pem']) {
    const copy = join(folder, name);
    await copyFile(file(name), copy);
    await chmod(copy, 0o600);
    await chown(copy, account.uid, account.gid);
  }
}
