import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { text as textOf } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { formatAddress } from 'rxjs-sockets';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { type Program, program } from '../examples/program.js';
import { file } from '../support/transport/node/tls/certificates.js';
import { tcp } from '../support/transport/places.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { describeWith } from '../support/processes/programs.js';
import { password, PostgresServer, programs } from '../support/services/postgres-server.js';

const mebibyte = 1_048_576;
/** 100,000 rows of 1,000 characters, generated while they are sent. */
const hundredMegabytes = `SELECT generate_series(1, 100000) AS number, repeat('x', 1000) AS text`;
const endless = `SELECT generate_series(1, 1000000000) AS number, repeat('x', 1000) AS text`;
/** The part of a query that selects the sessions of all other clients. */
const sessions = `FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`;

describeWith('the postgres service', programs, (paths) => {
  vi.setConfig({ testTimeout: 60_000 }); // Several processes compile the library first.

  let server: PostgresServer;

  beforeAll(async () => {
    server = await PostgresServer.create(paths);
  });

  afterAll(async () => server.remove());

  /** Starts the program, and runs statements as the user `trusting`. */
  function ask(sql: string, environment: NodeJS.ProcessEnv = {}, address = server.tcp, user = 'trusting'): Program {
    return program(['examples/services/postgres.ts', address, user, 'test', sql], environment);
  }

  /** Repeats a query with psql until its result is not empty. */
  async function observed(query: string): Promise<string> {
    for (;;) {
      const result = await server.psql(query);
      if (result !== '') return result;
      await delay(50);
    }
  }

  /** Waits until no other client has a session. */
  const quiet = (): Promise<string> => observed(`SELECT 'none' WHERE NOT EXISTS (SELECT ${sessions})`);

  test('prints each row as a line of JSON, over TCP and a unix socket', async () => {
    const sql = `SELECT * FROM (VALUES (1, 'one'), (2, E'"two"\\n'), (3, NULL)) AS numbers (number, name)`;
    const asked = [server.tcp, server.unix].map((address) => ask(sql, {}, address));
    for (const { ended, lines, errors } of await Promise.all(asked.map(finished))) {
      expect({ ended, errors }).toEqual({ ended: 0, errors: '' });
      expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
        { number: 1, name: 'one' },
        { number: 2, name: '"two"\n' },
        { number: 3, name: null },
      ]);
    }
  });

  test('keeps every digit and every microsecond', async () => {
    const { ended, lines, errors } = await finished(
      ask(`
        SET timezone = 'UTC';
        SELECT true AS boolean, 7::int2 AS short, 2147483647 AS long, 9007199254740993 AS longer,
          12345678901234567890.50::numeric AS exact, 0.1::float8 AS double, 'NaN'::float8 AS nothing, 'x'::bpchar AS fixed,
          date '2024-02-29' AS day, timestamp '2024-02-29 01:02:03.456789' AS local,
          timestamptz '2024-02-29 01:02:03.456789+00' AS instant, interval '1 day 2 hours' AS span,
          '{"deep": [1, {"er": null}]}'::json AS json, '[1]'::jsonb AS binary, '\\xdeadbeef'::bytea AS bytes,
          ARRAY[1, NULL] AS numbers, ARRAY['a', 'b,c'] AS texts, ARRAY[date '2024-02-29'] AS days, point(1, 2) AS point,
          '{}'::int[] AS none, '2b7d3a4e-0000-4000-8000-000000000000'::uuid AS id`),
    );
    expect({ ended, errors }).toEqual({ ended: 0, errors: 'SET\n' });
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      boolean: true,
      short: 7,
      long: 2_147_483_647,
      longer: '9007199254740993',
      exact: '12345678901234567890.50',
      double: 0.1,
      nothing: 'NaN',
      fixed: 'x',
      day: '2024-02-29',
      local: '2024-02-29 01:02:03.456789',
      instant: '2024-02-29 01:02:03.456789+00',
      span: '1 day 02:00:00',
      json: { deep: [1, { er: null }] },
      binary: [1],
      bytes: '\\xdeadbeef',
      numbers: [1, null],
      texts: ['a', 'b,c'],
      days: ['2024-02-29'],
      point: '(1,2)',
      none: [],
      id: '2b7d3a4e-0000-4000-8000-000000000000',
    });
  });

  test('reports results without rows on stderr', async () => {
    const { ended, lines, errors } = await finished(
      ask(`
        CREATE TABLE fruits (name text);
        INSERT INTO fruits VALUES ('apple'), ('pear'), ('fig') RETURNING upper(name) AS name;
        UPDATE fruits SET name = 'plum' WHERE name = 'fig';
        DO $$ BEGIN RAISE NOTICE 'half time'; END $$;
        SELECT count(*)::int FROM fruits WHERE name = 'nothing';
        DROP TABLE fruits`),
    );
    expect({ ended, lines }).toEqual({
      ended: 0,
      lines: ['{"name":"APPLE"}', '{"name":"PEAR"}', '{"name":"FIG"}', '{"count":0}'],
    });
    expect(errors).toBe('NOTICE: half time\nCREATE\nUPDATE 1\nDO\nDROP\n');
  });

  test('uses TLS according to PGSSLMODE', async () => {
    const sql = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()';
    const byName = server.tcp.replace('127.0.0.1', 'localhost');
    const trust = { PGSSLMODE: 'verify-full', PGSSLROOTCERT: file('authority.pem') };
    const asked = [
      ask(sql, { PGPASSWORD: password }, server.tcp, 'secret'),
      ask(sql, { PGPASSWORD: password, PGSSLMODE: 'disable' }, server.tcp, 'secret'),
      ask(sql, { PGPASSWORD: password, PGSSLMODE: 'allow' }, server.tcp, 'private'), // needs TLS to log in
      ask(sql, { PGPASSWORD: password, ...trust }, byName, 'private'),
    ];
    const answers = await Promise.all(asked.map(finished));
    expect(answers.map(({ errors }) => errors)).toEqual(['', '', '', '']);
    expect(answers.map(({ lines }) => lines)).toEqual([
      ['{"ssl":true}'],
      ['{"ssl":false}'],
      ['{"ssl":true}'],
      ['{"ssl":true}'],
    ]);
  });

  test('logs in without TLS if the server has none, unless PGSSLMODE requires it', async () => {
    await server.psql('ALTER SYSTEM SET ssl = off', 'SELECT pg_reload_conf()');
    onTestFinished(async () => {
      await server.psql('ALTER SYSTEM RESET ssl', 'SELECT pg_reload_conf()');
      await observed(`SELECT 'on' WHERE current_setting('ssl') = 'on'`);
    });
    await observed(`SELECT 'off' WHERE current_setting('ssl') = 'off'`);
    const asked = [ask('SELECT 1 AS one'), ask('SELECT 1 AS one', { PGSSLMODE: 'require' })];
    const [preferring, insisting] = await Promise.all(asked.map(finished));
    expect(preferring).toEqual({ ended: 0, lines: ['{"one":1}'], errors: '' });
    expect(insisting).toMatchObject({ ended: 1, lines: [] });
    expect(insisting?.errors).toMatch(/does not support SSL[^]*PGSSLMODE=disable/);
  });

  test('says what to do when something is wrong', async () => {
    const silent = formatAddress(await rawServer(tcp, () => undefined));
    const failures: readonly (readonly [Program, RegExp])[] = [
      [ask('SELECT 1', {}, 'tcp://127.0.0.1:1'), /ECONNREFUSED[^]*Start PostgreSQL/],
      [ask('SELECT 1', {}, 'unix:/nowhere/.s.PGSQL.5432'), /ENOENT[^]*correct the path/],
      [ask('SELECT 1', { PGCONNECT_TIMEOUT: '3' }, silent), /timeout[^]*too slow/],
      [ask('SELECT 1', { PGPASSWORD: 'no' }, server.tcp, 'secret'), /password authentication failed[^]*PGPASSWORD/],
      [ask('SELECT 1', { PGPASSWORD: '' }, server.tcp, 'secret'), /asks for a password: set PGPASSWORD/],
      [ask('SELECT 1', { PGSSLMODE: 'disable' }, server.tcp, 'private'), /no encryption[^]*pg_hba\.conf/],
      [ask('SELECT 1', { PGSSLMODE: 'verify-full' }), /certificate[^]*PGSSLROOTCERT/],
      [ask('SELECT 1;\nSELECT \u{1f600} 1'), /^ERROR: [^]*\nLINE 2: SELECT \u{1f600} 1\n {18}\^$/mu],
      [ask('COPY (SELECT 1) TO STDOUT'), /write a SELECT instead/],
    ];
    for (const [asked, message] of failures) {
      const { ended, lines, errors } = await finished(asked);
      expect(errors).toMatch(message);
      expect(errors).not.toMatch(/^ +at /m);
      expect({ ended, lines }).toEqual({ ended: 1, lines: [] });
    }
  });

  test('prints the usage for a bad argument', async () => {
    const asked = [
      program(['examples/services/postgres.ts', server.tcp, 'trusting', 'test']),
      ask('SELECT 1', {}, 'tls://127.0.0.1:5432'),
      ask('SELECT 1', { PGSSLMODE: 'perhaps' }),
      ask('SELECT 1', { PGSSLMODE: 'verify-full', PGSSLROOTCERT: '/nowhere/root.crt' }),
      ask('SELECT 1', { PGCONNECT_TIMEOUT: 'soon' }),
    ];
    for (const { ended, errors } of await Promise.all(asked.map(finished))) {
      expect(errors).toMatch(
        /^(the number of arguments|tls:|PG[A-Z_]+ ).*\nusage: npm run example -- postgres\.ts ADDRESS USER DATABASE SQL$/m,
      );
      expect(ended).toBe(2);
    }
  });

  test.each(['disable', 'require'])('makes the server wait while nobody reads 100 MB (PGSSLMODE=%s)', async (mode) => {
    const child = unread(hundredMegabytes, mode);
    await observed(`SELECT pid ${sessions} AND wait_event = 'ClientWrite'`);
    const before = await residentPeak(child);

    const hash = createHash('sha256');
    let peak = before;
    let size = 0;
    for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
      hash.update(chunk);
      // The reader pauses after each mebibyte, so the pipe fills up.
      if (Math.floor(size / mebibyte) !== Math.floor((size += chunk.length) / mebibyte))
        peak = Math.max(peak, await residentPeak(child));
    }
    expect(hash.digest('hex')).toBe(expectedHash());
    expect(child.exitCode ?? (await once(child, 'exit'))[0]).toBe(0);
    expect(peak - before).toBeLessThan(64 * mebibyte);
  });

  test('ends without an error when its reader stops reading, and cancels the statement', async () => {
    const child = unread(endless);
    const errors = textOf(child.stderr);
    const [chunk] = (await once(child.stdout, 'data')) as [Buffer];
    expect(String(chunk)).toMatch(/^\{"number":1,/);
    child.stdout.destroy();
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(await errors).toBe('');
    await quiet();
  });

  test.each([
    ['of an endless result', endless],
    ['of a result that arrives at once', 'SELECT 1'],
  ])('fails when the rows %s cannot be written', async (_, sql) => {
    const full = await open('/dev/full', 'w');
    onTestFinished(() => full.close());
    const child = unread(sql, 'disable', full.fd);
    const errors = textOf(child.stderr);
    expect(await once(child, 'exit')).toEqual([1, null]);
    expect(await errors).toMatch(/ENOSPC/);
    expect(await errors).not.toMatch(/WARNING/);
    await quiet();
  });

  test('cancels the statement at Ctrl-C, even if nobody reads its rows', async () => {
    const sleeping = ask('SELECT pg_sleep(1000)');
    await observed(`SELECT pid ${sessions} AND wait_event = 'PgSleep'`);
    expect(await sleeping.interrupt()).toBe(1);
    expect(sleeping.errors).toBe('ERROR: canceling statement due to user request\n');
    await quiet();

    const child = unread(endless);
    await observed(`SELECT pid ${sessions} AND wait_event = 'ClientWrite'`);
    child.kill('SIGINT');
    await quiet();
    child.stdout.resume();
    expect(await once(child, 'exit')).toEqual([1, null]);
  });

  test('says that the result is incomplete if its session is ended or the process of the session dies', async () => {
    const sleeping = ask('SELECT pg_sleep(1000)');
    await observed(`SELECT pid ${sessions} AND wait_event = 'PgSleep'`);
    await server.psql(`SELECT pg_terminate_backend(pid) ${sessions}`);
    expect(await sleeping.ended).toBe(1);
    expect(sleeping.errors).toMatch(/terminating connection[^]*not the whole result/);

    const child = unread(endless);
    const errors = textOf(child.stderr);
    const pid = await observed(`SELECT pid ${sessions} AND wait_event = 'ClientWrite'`);
    process.kill(Number(pid), 'SIGKILL');
    child.stdout.resume();
    expect(await once(child, 'close')).toEqual([1, null]);
    expect(await errors).toMatch(/has ended before the result was complete/);
    await server.recovered();
  });

  test.each(['disable', 'prefer'])('reports a cut-off result when the server crashes (PGSSLMODE=%s)', async (mode) => {
    const sleeping = ask('SELECT pg_sleep(1000)', { PGSSLMODE: mode });
    await observed(`SELECT pid ${sessions} AND wait_event = 'PgSleep'`);
    await server.stop('SIGQUIT');
    expect(await sleeping.ended).toBe(1);
    expect(sleeping.errors).toMatch(/has ended before the result was complete/);
    expect(sleeping.errors).not.toMatch(/halfOpen/);
    await server.start();
  });

  /** Starts the program. Nobody reads its output yet, unless the output is a file. */
  function unread(sql: string, mode = 'disable', stdout: 'pipe' | number = 'pipe'): UnreadProgram {
    const args = ['--import', 'tsx', '--conditions=rxjs-sockets-source', 'examples/services/postgres.ts'];
    const child = spawn(process.execPath, [...args, server.tcp, 'trusting', 'test', sql], {
      env: { ...process.env, PGSSLMODE: mode },
      stdio: ['ignore', stdout, 'pipe'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    return child as UnreadProgram;
  }
});

/** A program whose output stays in a pipe. */
type UnreadProgram = ChildProcessByStdio<null, Readable, Readable>;

/** Waits for the end of a program. */
async function finished(asked: Program): Promise<{ ended: number | string; lines: string[]; errors: string }> {
  const ended = await asked.ended;
  return { ended, lines: asked.lines, errors: asked.errors };
}

/** The peak memory of a process, in bytes. */
async function residentPeak({ pid }: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1_024;
}

/** The hash of the lines of {@link hundredMegabytes}. */
function expectedHash(): string {
  const hash = createHash('sha256');
  const text = 'x'.repeat(1_000);
  for (let number = 1; number <= 100_000; number++) hash.update(`{"number":${number},"text":"${text}"}\n`);
  return hash.digest('hex');
}
