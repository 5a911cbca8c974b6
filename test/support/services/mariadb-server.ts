/** A MariaDB server for tests: in a fresh folder, on loopback and on a unix socket, without syncing to the disk. */
import { execFile } from 'node:child_process';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { copyIdentity, DatabaseProcess } from './database-process.js';
import { type Account, freePort, unprivileged } from './unprivileged-account.js';

export const programs = ['mariadbd', 'mariadb-install-db', 'mariadb'] as const;

type Paths = readonly [mariadbd: string, install: string, mariadb: string];

/** The password of the user `secret`. */
export const password = 'a b"c';

const run = promisify(execFile);
const small = ['--no-defaults', '--innodb-buffer-pool-size=8M', '--innodb-log-file-size=4M', '--skip-name-resolve'];

/** A running server with the database `test`: `root` needs no password, and `secret` needs one. */
export class MariadbServer {
  readonly tcp: string;
  readonly unix: string;
  private readonly paths: Paths;
  private readonly folder: string;
  private readonly process: DatabaseProcess;

  private constructor(paths: Paths, folder: string, port: number, account: Account) {
    this.paths = paths;
    this.folder = folder;
    this.tcp = `tcp://127.0.0.1:${port}`;
    this.unix = `unix:${join(folder, 'socket')}`;
    const options = {
      datadir: join(folder, 'data'),
      socket: join(folder, 'socket'),
      'pid-file': join(folder, 'pid'),
      'bind-address': '127.0.0.1',
      port,
      'ssl-key': join(folder, 'server.key'),
      'ssl-cert': join(folder, 'server.pem'),
      'innodb-flush-log-at-trx-commit': 0,
      'max-allowed-packet': '64M',
    };
    const args = [...small, ...Object.entries(options).map(([name, value]) => `--${name}=${value}`)];
    const ready = 'ready for connections';
    this.process = new DatabaseProcess({ path: paths[0], args, account, folder, ready, lastSignal: 'SIGKILL' });
  }

  static async create(paths: Paths): Promise<MariadbServer> {
    const account = await unprivileged('mysql');
    const folder = await mkdtemp(join(tmpdir(), 'rxjs-sockets-'));
    await chown(folder, account.uid, account.gid);
    await copyIdentity(folder, account);
    const install = [...small, `--datadir=${join(folder, 'data')}`, '--auth-root-authentication-method=normal'];
    await run(paths[1], [...install, '--skip-test-db'], { ...account, cwd: folder });
    const server = new MariadbServer(paths, folder, await freePort(), account);
    await server.start();
    await server.ask(
      `CREATE DATABASE test; CREATE USER secret IDENTIFIED BY '${password}'; GRANT ALL ON test.* TO secret`,
    );
    return server;
  }

  /** Starts the server, and waits until it accepts clients. */
  start(): Promise<void> {
    return this.process.start();
  }

  /** Stops the server. `SIGKILL` leaves the server no time to notify its clients. */
  stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    return this.process.stop(signal);
  }

  /** Stops the server, and removes its folder. */
  async remove(): Promise<void> {
    await this.process.end('SIGKILL');
    await rm(this.folder, { recursive: true });
  }

  /** Runs statements with MariaDB's own client, and returns its output. */
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
