/**
 * A client of PostgreSQL: the driver `pg`, on a socket of this library. The program prints each row as a line of JSON.
 * While the reader of these lines pauses, the database server waits, so a result of any size takes little memory.
 *
 *     npm run -s example -- postgres.ts unix:/var/run/postgresql/.s.PGSQL.5432 "$USER" postgres 'SELECT now()'
 *     PGPASSWORD=secret npm run -s example -- postgres.ts tcp://localhost:5432 ann shop 'SELECT * FROM orders' | head
 *
 * Further settings come from the environment, as with psql: PGPASSWORD, PGSSLMODE, PGSSLROOTCERT and PGCONNECT_TIMEOUT.
 */
import type { ConnectionOptions } from 'node:tls';
import pg from 'pg';
import { type Address, connect, parseAddress } from 'rxjs-sockets';
import { toNodeStream } from 'rxjs-sockets/interop';
import { explained, isRefusal } from './postgres/errors.js';
import { jsonLine, types } from './postgres/json-line.js';
import { tlsAttempts } from './postgres/ssl-mode.js';
import { program, UsageError } from './program.js';

interface Login {
  readonly address: Address;
  readonly user: string;
  readonly database: string;
  /** The TLS options for each attempt to log in, in the order of the attempts. `false` means no TLS. */
  readonly attempts: readonly (false | ConnectionOptions)[];
  /** The time limit for dialling, TLS and the login together, in ms; 0 means no limit. */
  readonly timeout: number;
}

await program('ADDRESS USER DATABASE SQL', [4, 4], async (where, user, database, sql) => {
  const address = parseAddress(where);
  if ((address.transport !== 'tcp' && address.transport !== 'unix') || 'tls' in address) {
    throw new UsageError(`${where} is not of the form tcp://HOST:PORT or unix:PATH; for TLS, set PGSSLMODE`);
  }
  const login = { address, user, database, attempts: tlsAttempts(address), timeout: loginTimeout() };
  try {
    const driver = await logIn(login);
    try {
      await print(driver, sql, login);
    } finally {
      await driver.end();
    }
  } catch (error) {
    throw new Error(explained(error, sql), { cause: error });
  }
});

function loginTimeout(): number {
  const seconds = process.env['PGCONNECT_TIMEOUT'] ?? '10';
  if (!/^\d{1,6}$/.test(seconds)) throw new UsageError(`PGCONNECT_TIMEOUT is ${seconds}: set a number of seconds`);
  return Number(seconds) * 1_000;
}

async function logIn(login: Login, [ssl = false, ...others] = login.attempts): Promise<pg.Client> {
  const driver = driverFor(login, ssl);
  try {
    await driver.connect();
    return driver;
  } catch (error) {
    await driver.end();
    if (others.length === 0 || !isRefusal(error)) throw error;
    return logIn(login, others);
  }
}

// #region driver
/** The driver on our socket. The driver itself handles TLS, because PostgreSQL begins with a plain-text question. */
function driverFor({ address, user, database, timeout }: Login, ssl: false | ConnectionOptions): pg.Client {
  const driver = new pg.Client({
    // The driver expects the socket to close when the server ends, as `net.Socket` does by itself.
    stream: () => toNodeStream(connect(address, { connectTimeout: timeout, halfOpen: false })),
    host: address.transport === 'tcp' ? address.host : 'localhost', // not dialled: the name for verifying the certificate
    user,
    database,
    password: () => process.env['PGPASSWORD'] ?? '',
    ssl,
    connectionTimeoutMillis: timeout,
  });
  driver.on('error', () => undefined); // the login or the query fails with it too
  driver.on('notice', ({ severity, message }) => console.error(`${severity}: ${message}`));
  return driver;
}
// #endregion

/**
 * Runs the statements in `sql`, and writes the rows of the results to stdout until the last result ends, stdout is
 * closed, or Ctrl-C is pressed.
 */
async function print(driver: pg.Client, sql: string, login: Login): Promise<void> {
  const { stdout } = process;
  const { pid } = (await driver.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]!;
  let stopped: 'by Ctrl-C' | 'by the reader' | Error | undefined;

  // #region rows
  const query = driver.query(new pg.Query({ text: sql, types }));
  const { stream } = driver.connection; // ours, or the TLS socket on top of it
  query.on('row', (row) => {
    if (stopped === undefined && !stdout.write(jsonLine(row))) stream.pause();
  });
  stdout.on('drain', () => stream.resume());
  // #endregion

  let isComplete = false;
  const stop = (reason: typeof stopped): void => {
    if (stopped !== undefined) return;
    stopped = reason;
    if (isComplete) return;
    stream.resume();
    cancel(pid, login).catch((error: unknown) => stream.destroy(error as Error));
  };
  process.once('SIGINT', () => stop('by Ctrl-C')); // a second Ctrl-C ends the program immediately
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    stop(error.code === 'EPIPE' ? 'by the reader' : error); // EPIPE: a reader such as `head` has read enough
  });

  await new Promise<void>((resolve, reject) => {
    query.on('end', (results) => {
      isComplete = true;
      for (const { command, rowCount, fields } of [results].flat()) {
        if (fields.length === 0) console.error([command, rowCount].filter((word) => word !== null).join(' '));
      }
      resolve();
    });
    query.on('error', (error) => {
      if (stopped === 'by the reader') resolve();
      else reject(stopped instanceof Error ? stopped : error);
    });
    driver.connection.once('copyOutResponse', () => {
      reject(new Error('COPY TO STDOUT gives no rows: write a SELECT instead'));
    });
  });
  // The last writes to stdout can still fail, so the program waits until they are done.
  if (stopped === undefined) await new Promise((resolve) => stdout.write('', resolve));
  if (stopped instanceof Error) throw stopped;
}

/** Cancels the query of the server process `pid`. PostgreSQL accepts a cancellation only on a second connection. */
async function cancel(pid: number, login: Login): Promise<void> {
  const driver = await logIn(login);
  await driver.query('SELECT pg_cancel_backend($1)', [pid]);
  await driver.end();
}
