import { createHash } from 'node:crypto';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate } from 'node:timers/promises';
import mysql from 'mysql2';
import promised from 'mysql2/promise';
import { type Client, connect } from 'rxjs-sockets';
import { toNodeStream } from 'rxjs-sockets/interop';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { describeWith } from '../support/processes/programs.js';
import { authority } from '../support/transport/node/tls/certificates.js';
import { MariadbServer, password, programs } from '../support/services/mariadb-server.js';

describeWith('mysql2', programs, (paths) => {
  vi.setConfig({ testTimeout: 60_000 });

  let server: MariadbServer;
  /** The clients of the library that the drivers of this test have used. */
  let clients: Client[];

  beforeAll(async () => {
    server = await MariadbServer.create(paths);
  }, 60_000);

  beforeEach(() => {
    clients = [];
  });

  afterAll(async () => server.remove());

  /** Options that make the driver use a client of the library. */
  function config(address = server.tcp): mysql.ConnectionOptions {
    return {
      stream: () => {
        // The driver expects that its socket closes after the FIN of the server, as a `net.Socket` does by default.
        const client = connect(address, { halfOpen: false });
        clients.push(client);
        return toNodeStream(client);
      },
      user: 'root',
      database: 'test',
    };
  }

  async function loggedIn(more: mysql.ConnectionOptions = {}): Promise<promised.Connection> {
    const driver = await promised.createConnection({ ...config(), ...more });
    driver.on('error', () => undefined); // the query rejects with the same error
    onTestFinished(() => driver.destroy());
    return driver;
  }

  test.each(['tcp', 'unix'] as const)('runs queries of all kinds over %s', async (place) => {
    const driver = await loggedIn(config(server[place]));
    expect((await driver.query('SELECT 1 AS one, NULL AS nothing, CAST(1.50 AS DECIMAL(5,2)) AS exact'))[0]).toEqual([
      { one: 1, nothing: null, exact: '1.50' },
    ]);
    // The driver sends a parameter of several megabytes, and the server returns it.
    const bytes = Buffer.alloc(5_000_000, 'not quite random ');
    const [rows] = await driver.execute<mysql.RowDataPacket[]>('SELECT ? AS bytes', [bytes]);
    expect(Buffer.from(rows[0]?.['bytes'] as string).equals(bytes)).toBe(true);

    await driver.query('CREATE TEMPORARY TABLE numbers (number int)');
    const [inserted] = await driver.query('INSERT INTO numbers VALUES (1), (2), (3)');
    expect(inserted).toMatchObject({ affectedRows: 3 });
    for (const number of [1, 2, 3]) {
      expect((await driver.execute('SELECT number FROM numbers WHERE number = ?', [number]))[0]).toEqual([{ number }]);
    }
    await expect(driver.query('SELEC 1')).rejects.toMatchObject({ code: 'ER_PARSE_ERROR' });
    expect((await driver.query('SELECT 2 AS two'))[0]).toEqual([{ two: 2 }]);
    await driver.end();
  });

  test('runs the code of the recipe', async () => {
    const { createPool } = promised;
    const [address, user] = [server.tcp, 'root'];

    const pool = createPool({ user, stream: () => toNodeStream(connect(address, { halfOpen: false })) });
    const [rows] = await pool.query('SELECT 6 * 7 AS answer');

    expect(rows).toEqual([{ answer: 42 }]);
    await pool.end();
  });

  test('uses its own TLS on the stream, and verifies the server', async () => {
    const login = { user: 'secret', password };
    const driver = await loggedIn({ ...login, host: 'localhost', ssl: { ca: authority, verifyIdentity: true } });
    expect((await driver.query(`SHOW STATUS LIKE 'Ssl_version'`))[0]).toEqual([
      { Variable_name: 'Ssl_version', Value: 'TLSv1.3' },
    ]);
    const elsewhere = { host: 'elsewhere.test', ssl: { ca: authority, verifyIdentity: true } };
    await expect(loggedIn({ ...login, ...elsewhere })).rejects.toThrow(/does not match|altnames/);
    await expect(loggedIn({ ...login, ssl: {} })).rejects.toThrow('certificate');
  });

  test('rejects a wrong password, and a server that is not running', async () => {
    await expect(loggedIn({ user: 'secret', password: 'wrong' })).rejects.toMatchObject({
      code: 'ER_ACCESS_DENIED_ERROR',
    });
    await expect(loggedIn(config('tcp://127.0.0.1:1'))).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  test.each([
    ['in the clear', {}],
    ['through TLS', { host: 'localhost', ssl: { ca: authority } }],
  ])('streams 50 MB %s to a slow reader', async (_how, more) => {
    const driver = mysql.createConnection({ ...config(), ...more });
    onTestFinished(() => driver.destroy());
    const hash = createHash('sha256');
    await pipeline(
      driver.query(`SELECT seq, REPEAT('x', 10000) AS text FROM seq_1_to_5000`).stream(),
      new Writable({
        objectMode: true,
        write: ({ seq, text }: { seq: number; text: string }, _encoding, written) => {
          hash.update(`${seq}${text}`);
          void setImmediate().then(() => written());
        },
      }),
    );
    const expected = createHash('sha256');
    for (let seq = 1; seq <= 5_000; seq++) expected.update(`${seq}${'x'.repeat(10_000)}`);
    expect(hash.digest('hex')).toBe(expected.digest('hex'));
  });

  test('a reader that pauses makes the server wait, and loses nothing', async () => {
    const driver = mysql.createConnection(config());
    onTestFinished(() => driver.destroy());
    const rows = driver.query(`SELECT seq, REPEAT('x', 10000) AS text FROM seq_1_to_5000`).stream();
    let last = 0;
    for await (const { seq } of rows as AsyncIterable<{ seq: number }>) {
      if (seq === 10) {
        // In the state 'Writing to net', the server waits until the kernel takes more.
        const waiting = `SELECT state FROM information_schema.processlist WHERE info LIKE '%seq_1_to_5000%' AND id <> connection_id()`;
        while (!(await server.ask(waiting)).startsWith('Writing to net'));
      }
      expect(seq).toBe(++last);
    }
    expect(last).toBe(5_000);
  });

  test('a pool runs queries on twenty clients at the same time', async () => {
    const pool = promised.createPool({ ...config(), connectionLimit: 20 });
    onTestFinished(() => pool.end());
    const together = `SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User sleep'`;
    const sleeping = Promise.allSettled(Array.from({ length: 20 }, () => pool.query('SELECT SLEEP(1000)')));
    while ((await server.ask(together)) !== '20');
    const ids = await server.ask(`SELECT id FROM information_schema.processlist WHERE state = 'User sleep'`);
    await server.ask(ids.replace(/^(\d+)$/gm, 'KILL QUERY $1;'));
    expect(await sleeping).toMatchObject(
      Array.from({ length: 20 }, () => ({ status: 'rejected', reason: { code: 'ER_QUERY_INTERRUPTED' } })),
    );

    // The pool continues to use the same connections.
    const numbers = Array.from({ length: 200 }, (_, number) => number);
    const results = await Promise.all(numbers.map((number) => pool.query('SELECT ? AS number', [number])));
    expect(results.map(([rows]) => rows)).toEqual(numbers.map((number) => [{ number }]));
    expect(clients).toHaveLength(20);
  });

  test('a pool makes new connections after the server was killed and restarted', async () => {
    const pool = promised.createPool({ ...config(), connectionLimit: 2 });
    onTestFinished(() => pool.end());
    const working = pool.query('SELECT SLEEP(1000)').catch((error: unknown) => error);
    while (
      (await server.ask(`SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User sleep'`)) !== '1'
    );
    await server.stop('SIGKILL');
    expect(await working).toMatchObject({ code: 'PROTOCOL_CONNECTION_LOST' });
    await expect(pool.query('SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });

    await server.start();
    expect((await pool.query('SELECT 1 AS one'))[0]).toEqual([{ one: 1 }]);
  });
});
