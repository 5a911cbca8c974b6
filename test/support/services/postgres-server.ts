/** A PostgreSQL server for tests: in a fresh folder, on loopback and on a unix socket, without syncing to the disk. */
import { execFile } from 'node:child_process';
import { appendFile, chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { copyIdentity, DatabaseProcess } from './database-process.js';
import { type Account, freePort, unprivileged } from './unprivileged-account.js';

export const programs = ['postgres', 'initdb', 'psql'] as const;

type Paths = readonly [postgres: string, initdb: string, psql: string];

/** The password of the user `secret`. */
export const password = 'a b\'c"d';

const run = promisify(execFile);

/** The users: `trusting` needs no password, `secret` needs one, and `private` needs one and TLS. */
const logins = `
local all trusting trust
local all all scram-sha-256
host all trusting 127.0.0.1/32 trust
host all secret 127.0.0.1/32 scram-sha-256
hostssl all private 127.0.0.1/32 scram-sha-256
`;

/** The settings that differ from the defaults. They fit a server whose data may be lost, and that has few clients. */
const settings = (folder: string, port: number): string => `
listen_addresses = '127.0.0.1'
port = ${port}
unix_socket_directories = '${folder}'
fsync = off
shared_buffers = 16MB
max_connections = 60
ssl = on
ssl_cert_file = 'server.pem'
ssl_key_file = 'server.key'
log_min_messages = log
`;

/** A running server. It can be stopped and started again at the same addresses. */
export class PostgresServer {
  readonly tcp: string;
  readonly unix: string;
  readonly port: number;
  private readonly paths: Paths;
  private readonly folder: string;
  private readonly process: DatabaseProcess;

  private constructor(paths: Paths, folder: string, port: number, account: Account) {
    this.paths = paths;
    this.folder = folder;
    this.port = port;
    this.tcp = `tcp://127.0.0.1:${port}`;
    this.unix = `unix:${join(folder, `.s.PGSQL.${port}`)}`;
    this.process = new DatabaseProcess({
      path: paths[0],
      args: ['-D', join(folder, 'data')],
      account,
      folder,
      env: {},
      ready: 'ready to accept connections',
      lastSignal: 'SIGQUIT',
    });
  }

  /** Creates a server with the users of {@link logins} and a database named `test`. */
  static async create(paths: Paths): Promise<PostgresServer> {
    const account = await unprivileged('postgres');
    const folder = await mkdtemp(join(tmpdir(), 'rxjs-sockets-'));
    await chown(folder, account.uid, account.gid);
    const data = join(folder, 'data');
    const init = ['--no-sync', '--locale=C', '--encoding=UTF8', '--auth=trust', '--username=trusting', '-D', data];
    await run(paths[1], init, { ...account, cwd: folder, env: {} });
    await writeFile(join(data, 'pg_hba.conf'), logins);
    await copyIdentity(data, account);

    const port = await freePort();
    await appendFile(join(data, 'postgresql.conf'), settings(folder, port));
    const server = new PostgresServer(paths, folder, port, account);
    await server.start();
    await server.psql(
      `SET password_encryption = 'scram-sha-256'`,
      `CREATE USER secret PASSWORD '${password.replaceAll("'", "''")}'`,
      `CREATE USER private PASSWORD '${password.replaceAll("'", "''")}'`,
      'CREATE DATABASE test',
    );
    return server;
  }

  /** Starts the server, and waits until it accepts clients. */
  start(): Promise<void> {
    return this.process.start();
  }

  /**
   * Stops the server.
   *
   * @param signal - `SIGINT` ends the clients' sessions cleanly, `SIGQUIT` cuts them off
   */
  stop(signal: 'SIGINT' | 'SIGQUIT' = 'SIGINT'): Promise<void> {
    return this.process.stop(signal);
  }

  /**
   * Waits until the server accepts clients again. If one of its processes was killed, the server first ends all
   * sessions.
   */
  async recovered(): Promise<void> {
    for (;;) {
      const answer = await this.psql('SELECT 1').catch(() => undefined);
      if (answer !== undefined) return;
      await delay(50);
    }
  }

  /** Stops the server, and removes its folder. */
  async remove(): Promise<void> {
    await this.process.end('SIGINT');
    await rm(this.folder, { recursive: true });
  }

  /** Runs statements with PostgreSQL's own client, and returns one line per row. */
  async psql(...statements: string[]): Promise<string> {
    const commands = statements.flatMap((statement) => ['-c', statement]);
    const where = ['-h', this.folder, '-p', String(this.port), '-U', 'trusting', '-d', 'postgres'];
    const { stdout } = await run(this.paths[2], [
      '-X',
      '-q',
      '-A',
      '-t',
      '-v',
      'ON_ERROR_STOP=1',
      ...where,
      ...commands,
    ]);
    return stdout.trim();
  }
}
