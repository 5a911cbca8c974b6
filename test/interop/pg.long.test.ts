import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type Duplex, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate } from 'node:timers/promises';
import pg from 'pg';
import QueryStream from 'pg-query-stream';
import { defer, filter, firstValueFrom, retry, skip } from 'rxjs';
import { backoff, type Client, connect, type ConnectOptions, SocketError } from 'rxjs-sockets';
import { toNodeStream } from 'rxjs-sockets/interop';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { describeWith } from '../support/processes/programs.js';
import { password, PostgresServer, programs } from '../support/services/postgres-server.js';
import { authority } from '../support/transport/node/tls/certificates.js';

describeWith('pg', programs, (paths) => {
  vi.setConfig({ testTimeout: 60_000 });

  let server: PostgresServer;
  /** The clients of the library that the drivers of this test have used. */
  let clients: Client[];

  beforeAll(async () => {
    server = await PostgresServer.create(paths);
  });

  beforeEach(() => {
    clients = [];
  });

  afterAll(async () => server.remove());

  /** Options that make the driver use a client of the library. */
  function config(options: ConnectOptions & { address?: string } = {}): pg.ClientConfig {
    const { address = server.tcp, ...others } = options;
    return {
      stream: () => {
        const client = connect(address, { halfOpen: false, ...others });
        clients.push(client);
        return toNodeStream(client);
      },
      user: 'trusting',
      database: 'test',
      ssl: false,
    };
  }

  async function loggedIn(more: pg.ClientConfig = {}): Promise<pg.Client> {
    const driver = new pg.Client({ ...config(), ...more });
    driver.on('error', () => undefined); // the query rejects with the same error
    onTestFinished(() => driver.end());
    await driver.connect();
    return driver;
  }

  test.each(['tcp', 'unix'] as const)('runs queries of all kinds over %s', async (place) => {
    const driver = await loggedIn(config({ address: server[place] }));
    expect((await driver.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);

    // The driver sends a parameter of several megabytes, and the server returns it.
    const bytes = Buffer.alloc(5_000_000, 'not quite random ');
    const { rows } = await driver.query<{ bytes: Buffer; text: string }>(
      'SELECT $1::bytea AS bytes, $2::text AS text',
      [bytes, 'ä\0'.slice(0, 1)],
    );
    expect(rows[0]?.bytes.equals(bytes)).toBe(true);
    expect(rows[0]?.text).toBe('ä');

    const prepared = { name: 'double', text: 'SELECT 2 * $1::int AS double' };
    for (const value of [1, 2, 3]) {
      expect((await driver.query({ ...prepared, values: [value] })).rows).toEqual([{ double: 2 * value }]);
    }

    await driver.query('CREATE TEMPORARY TABLE numbers (number int)');
    await driver.query('BEGIN');
    expect((await driver.query('INSERT INTO numbers SELECT generate_series(1, 1000)')).rowCount).toBe(1_000);
    await driver.query('ROLLBACK');
    expect((await driver.query('SELECT * FROM numbers')).rows).toEqual([]);

    await expect(driver.query('SELECT 1 / 0')).rejects.toMatchObject({ code: '22012' });
    expect((await driver.query('SELECT 2 AS two')).rows).toEqual([{ two: 2 }]);
  });

  test('runs the code of the recipe', async () => {
    const [address, user, name] = [server.tcp, 'trusting', 'test'];

    const stream = (): Duplex => toNodeStream(connect(address, { halfOpen: false }));
    const database = new pg.Client({ user, database: name, stream });
    await database.connect();
    const { rows } = await database.query('SELECT 6 * 7 AS answer');

    expect(rows).toEqual([{ answer: 42 }]);
    await database.end();
  });

  test('sends queries one after another without waiting for answers', async () => {
    const driver = await loggedIn({ pipeline: true });
    const numbers = Array.from({ length: 1_000 }, (_, number) => number);
    const results = await Promise.all(numbers.map((number) => driver.query('SELECT $1::int AS number', [number])));
    expect(results.flatMap(({ rows }) => rows as unknown[])).toEqual(numbers.map((number) => ({ number })));
  });

  test('streams 100 MB through a cursor, with TLS, to a slow reader', async () => {
    for (const ssl of [false, { ca: authority }]) {
      const driver = await loggedIn({ ssl, host: 'localhost', password });
      const sql = `SELECT i, repeat('x', 10000) AS text FROM generate_series(1, 10000) i`;
      const hash = createHash('sha256');
      await pipeline(
        driver.query(new QueryStream(sql)),
        new Writable({
          objectMode: true,
          write: ({ i, text }: { i: number; text: string }, _encoding, written) => {
            hash.update(`${i}${text}`);
            void setImmediate().then(() => written());
          },
        }),
      );
      const expected = createHash('sha256');
      for (let i = 1; i <= 10_000; i++) expected.update(`${i}${'x'.repeat(10_000)}`);
      expect(hash.digest('hex')).toBe(expected.digest('hex'));
    }
  });

  test('uses its own TLS on the stream, and verifies the server', async () => {
    const sql = 'SELECT version, current_user AS name FROM pg_stat_ssl WHERE pid = pg_backend_pid()';
    const login = { user: 'private', password, host: 'localhost' };
    const driver = await loggedIn({ ...login, ssl: { ca: authority }, enableChannelBinding: true });
    expect((await driver.query(sql)).rows).toEqual([{ version: 'TLSv1.3', name: 'private' }]);

    await expect(loggedIn({ ...login, ssl: { ca: authority }, host: 'elsewhere.test' })).rejects.toMatchObject({
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
    await expect(loggedIn({ ...login, ssl: true })).rejects.toThrow('certificate');
    // PostgreSQL offers no TLS on a unix socket.
    await expect(loggedIn({ ...config({ address: server.unix }), ...login, ssl: true })).rejects.toThrow(
      'does not support SSL',
    );
  });

  test('rejects a wrong password, a missing database and a server that is not running', async () => {
    await expect(loggedIn({ user: 'secret', password: 'wrong' })).rejects.toMatchObject({ code: '28P01' });
    await expect(loggedIn({ database: 'nowhere' })).rejects.toMatchObject({ code: '3D000' });
    await expect(loggedIn(config({ address: 'tcp://127.0.0.1:1' }))).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await expect(loggedIn(config({ address: 'tcp://127.0.0.1:1' }))).rejects.toBeInstanceOf(SocketError);
  });

  test('ends its session cleanly', async () => {
    const driver = await loggedIn();
    const { pid } = (await driver.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]!;
    const state = await firstValueFrom(clients[0]!);
    if (state.status !== 'connected') throw new Error(`the client is ${state.status}`);
    const closed = firstValueFrom(state.connection.closed);
    await driver.end();
    expect(await closed).toMatchObject({ reason: 'finished' });
    while ((await server.psql(`SELECT pid FROM pg_stat_activity WHERE pid = ${pid}`)) !== '');
  });

  test('receives notifications', async () => {
    const [listener, speaker] = await Promise.all([
      loggedIn(),
      loggedIn({ ssl: { ca: authority }, host: 'localhost' }),
    ]);
    await listener.query('LISTEN news');
    const heard: (string | undefined)[] = [];
    const all = new Promise<void>((resolve) => {
      listener.on('notification', ({ payload }) => {
        if (heard.push(payload) === 100) resolve();
      });
    });
    for (let i = 0; i < 100; i++) await speaker.query(`SELECT pg_notify('news', $1)`, [`number ${i}`]);
    await all;
    expect(heard).toEqual(Array.from({ length: 100 }, (_, i) => `number ${i}`));
  });

  test('a pool runs queries on twenty clients at the same time', async () => {
    const pool = new pg.Pool({ ...config(), max: 20 });
    onTestFinished(() => pool.end());
    const together = `SELECT count(*)::int AS count FROM pg_stat_activity WHERE wait_event = 'PgSleep'`;
    const sleeping = Promise.allSettled(Array.from({ length: 20 }, () => pool.query('SELECT pg_sleep(1000)')));
    while ((await server.psql(together)) !== '20');
    await server.psql(`SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'`);
    const outcomes = await sleeping;
    expect(outcomes.map(({ status }) => status)).toEqual(outcomes.map(() => 'rejected'));

    // The pool replaces the clients whose query has failed.
    clients = [];
    const results = await Promise.all(
      Array.from({ length: 200 }, (_, i) => pool.query<{ number: number }>('SELECT $1::int AS number', [i])),
    );
    expect(results.map(({ rows }) => rows[0]?.number)).toEqual(Array.from({ length: 200 }, (_, i) => i));
    expect(pool.totalCount).toBe(20);
    expect(clients).toHaveLength(20);
  });

  test('a pool makes new connections after a restart of the server', async () => {
    const pool = new pg.Pool({ ...config(), max: 3 });
    const lost: unknown[] = [];
    pool.on('error', (error) => lost.push(error));
    onTestFinished(() => pool.end());
    await Promise.all([1, 2, 3].map(() => pool.query('SELECT pg_sleep(0.1)')));
    expect(clients).toHaveLength(3);

    const working = pool.query('SELECT pg_sleep(1000)');
    while ((await server.psql(`SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'`)) === '');
    const [outcome] = await Promise.all([working.catch((error: unknown) => error), server.stop()]);
    expect(outcome).toMatchObject({ code: '57P01' });
    while (pool.totalCount > 0) await setImmediate();
    expect(lost).not.toEqual([]);
    await expect(pool.query('SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });

    await server.start();
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  });

  test('a client with reconnect waits for a server that is not up yet', async () => {
    await server.stop();
    let attempts = 0;
    const options = config({ reconnect: backoff({ initial: 20, max: 100, attempts: 1_000 }) });
    const loggingIn = firstValueFrom(
      defer(() => {
        attempts++;
        return loggedIn(options);
      }).pipe(retry(backoff({ initial: 20, max: 100, attempts: 100 }))), // A starting server refuses clients.
    );
    // While this subscription lasts, the client dials. So the subscription ends at the third wait.
    const waiting = clients[0]!.pipe(filter(({ status }) => status === 'waiting'));
    await firstValueFrom(waiting.pipe(skip(2)));
    await server.start();
    const driver = await loggingIn;
    expect((await driver.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    expect(attempts).toBeLessThan(100);
  });

  test.each(['its session is ended', 'its process is killed'])(
    'a query fails when %s in the middle of a result',
    async (how) => {
      const driver = await loggedIn();
      const { pid } = (await driver.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]!;
      const closed = new Promise<void>((resolve) => driver.on('end', resolve));
      const rows = driver.query(new pg.Query(`SELECT generate_series(1, 100000000), repeat('x', 1000)`));
      rows.on('row', () => undefined);
      const failed = once(rows, 'end').then(
        () => 'the whole result',
        (error: unknown) => error,
      );
      await once(rows, 'row');
      if (how === 'its process is killed') process.kill(pid, 'SIGKILL');
      else await server.psql(`SELECT pg_terminate_backend(${pid})`);
      expect(await failed).toBeInstanceOf(Error);
      await closed;
      await server.recovered();
    },
  );
});
