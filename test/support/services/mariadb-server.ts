/** A MariaDB server for tests: in a fresh folder, on loopback and on a unix socket, without syncing to the disk. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Account, freePort, unprivileged } from './unprivileged-account.js';
import { file } from '../transport/node/tls/certificates.js';

/** The programs that are needed, for `describeWith`. */
export const programs = ['mariadbd', 'mariadb-install-db', 'mariadb'] as const;

/** Their paths. */
type Paths = readonly [mariadbd: string, install: string, mariadb: string];

/** The password of the user `secret`. */
export const password = 'a b"c';

const run = promisify(execFile);
const small = ['--no-defaults', '--innodb-buffer-pool-size=8M', '--innodb-log-file-size=4M', '--skip-name-resolve'];

/** A running server with the database `test`: `root` needs no password, and `secret` needs one. */
export class MariadbServer {
  /** Where it listens: on loopback, and in a folder. */
  readonly tcp: string;
  readonly unix: string;
  private readonly paths: Paths;
  private readonly folder: string;
  private readonly port: number;
  private readonly account: Account;
  private child: ChildProcess | undefined;

  private readonly kill = (): void => void this.child?.kill('SIGKILL');

  private constructor(paths: Paths, folder: string, port: number, account: Account) {
    this.paths = paths;
    this.folder = folder;
    this.port = port;
    this.account = account;
    this.tcp = `tcp://127.0.0.1:${port}`;
    this.unix = `unix:${join(folder, 'socket')}`;
    process.once('exit', this.kill);
  }

  static async create(paths: Paths): Promise<MariadbServer> {
    const account = await unprivileged('mysql');
    const folder = await mkdtemp(join(tmpdir(), 'rxjs-sockets-'));
    await chown(folder, account.uid, account.gid);
    for (const name of ['server.key', 'server.pem']) {
      const copy = join(folder, name);
      await copyFile(file(name), copy);
      await chmod(copy, 0o600);
      await chown(copy, account.uid, account.gid);
    }
    const install = [...small, `--datadir=${join(folder, 'data')}`, '--auth-root-authentication-method=normal'];
    await run(paths[1], [...install, '--skip-test-db'], { ...account, cwd: folder });
    const server = new MariadbServer(paths, folder, await freePort(), account);
    await server.start();
    await server.ask(
      `CREATE DATABASE test; CREATE USER secret IDENTIFIED BY '${password}'; GRANT ALL ON test.* TO secret`,
    );
    return server;
  }

  /** Starts it, and waits until it accepts clients. */
  async start(): Promise<void> {
    const { folder } = this;
    const options = {
      datadir: join(folder, 'data'),
      socket: join(folder, 'socket'),
      'pid-file': join(folder, 'pid'),
      'bind-address': '127.0.0.1',
      port: this.port,
      'ssl-key': join(folder, 'server.key'),
      'ssl-cert': join(folder, 'server.pem'),
      'innodb-flush-log-at-trx-commit': 0,
      'max-allowed-packet': '64M',
    };
    const args = [...small, ...Object.entries(options).map(([name, value]) => `--${name}=${value}`)];
    const child = spawn(this.paths[0], args, { ...this.account, cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
    this.child = child;
    await new Promise<void>((resolve, reject) => {
      let log = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        log += text;
        if (log.includes('ready for connections')) resolve();
      });
      child.once('error', reject);
      child.once('exit', () => reject(new Error(`mariadbd has ended: ${log}`)));
    });
  }

  /** Stops it; `SIGKILL` leaves it no time to notify its clients. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const { child } = this;
    this.child = undefined;
    if (child === undefined) return;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  }

  /** Stops it and removes its folder. */
  async remove(): Promise<void> {
    await this.stop('SIGKILL');
    process.off('exit', this.kill);
    await rm(this.folder, { recursive: true });
  }

  /** Runs some statements with MariaDB's own client, without the library, and returns its output. */
  async ask(statements: string): Promise<string> {
    const args = [
      '--no-defaults',
      `--socket=${join(this.folder, 'socket')}`,
      '--user=root',
      '-N',
      '-B',
      '-e',
      statements,
    ];
    const { stdout } = await run(this.paths[2], args);
    return stdout.trim();
  }
}
