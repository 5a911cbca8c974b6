import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type net from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis, type RedisOptions } from 'ioredis';
import { parseAddress } from 'rxjs-sockets';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { Database } from '../../examples/services/redis-server/database.js';
import { example, type Program, programOfMany } from '../examples/program.js';
import { freshFolder } from '../support/transport/places.js';
import { rawClient } from '../support/sockets/plain-sockets.js';
import { endingOf, readAll, readBytes } from '../support/sockets/read-socket.js';
import { describeWith } from '../support/processes/programs.js';

/** The server of most tests, and the address of the server. */
let server: Program;
let address: string;
let port: number;

beforeAll(async () => {
  server = programOfMany(['examples/services/redis-server.ts', 'tcp://127.0.0.1:0']);
  [address] = await server.until(/^tcp:\/\/127\.0\.0\.1:\d+$/m);
  port = Number(address.split(':').at(-1));
}, 60_000);

afterAll(async () => {
  expect(await server.interrupt('SIGTERM')).toBe(0);
}, 30_000);

/** Runs a program to its end, with `input` as its standard input. */
async function run(program: string, args: readonly string[], input: string | Buffer = ''): Promise<string> {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stdin.end(input);
  const [status] = (await once(child, 'close')) as [number];
  expect(status, output).toBe(0);
  return output;
}

/** A driver connected to the server, and disconnected at the end of the test. */
function driver(options: RedisOptions & { replyMapping?: 'legacy' } = { host: '127.0.0.1', port }): Redis {
  const redis = new Redis(options);
  redis.on('error', () => undefined);
  onTestFinished(() => {
    redis.disconnect();
  });
  return redis;
}

const raw = (): Promise<net.Socket> => rawClient(parseAddress(address));

/** A request in the form that programs use. */
function request(...words: readonly (string | Buffer)[]): Buffer {
  const parts = words.flatMap((word) => [Buffer.from(`$${Buffer.byteLength(word)}\r\n`), Buffer.from(word), '\r\n']);
  return Buffer.concat([`*${words.length}\r\n`, ...parts].map((part) => Buffer.from(part)));
}

/** The resident memory of the server, in MiB. */
function memory(): number {
  const status = readFileSync(`/proc/${server.pid}/status`, 'latin1');
  return Number(/VmRSS:\s*(\d+) kB/.exec(status)?.[1]) / 1_024;
}

describeWith('redis-cli with redis-server.ts', ['redis-cli'], ([cli]) => {
  const ask = (...words: string[]): Promise<string> => run(cli, ['-p', String(port), ...words]);

  it('gets the same answers as from Redis', async () => {
    const conversation: readonly (readonly [command: string, answer: string])[] = [
      ['flushall', 'OK'],
      ['set greeting "hello world"', 'OK'],
      ['get greeting', '"hello world"'],
      ['set greeting other nx', '(nil)'],
      ['set nothing other xx', '(nil)'],
      ['SET greeting "\\x00\\xff" XX EX 100', 'OK'],
      ['get greeting', '"\\x00\\xff"'],
      ['ttl greeting', '(integer) 100'],
      ['set greeting a', 'OK'],
      ['ttl greeting', '(integer) -1'],
      ['pttl nothing', '(integer) -2'],
      ['expire greeting 50', '(integer) 1'],
      ['expire nothing 50', '(integer) 0'],
      ['ttl greeting', '(integer) 50'],
      ['exists greeting greeting nothing', '(integer) 2'],
      ['dbsize', '(integer) 1'],
      ['keys gr*', '1) "greeting"'],
      ['keys *eting', '(error) ERR KEYS takes the beginning of a key, followed by *'],
      ['del greeting nothing', '(integer) 1'],
      ['get greeting', '(nil)'],
      ['incr count', '(integer) 1'],
      ['decr count', '(integer) 0'],
      ['set count 9223372036854775807', 'OK'],
      ['incr count', '(error) ERR increment or decrement would overflow'],
      ['decr count', '(integer) 9223372036854775806'],
      ['set count 01', 'OK'],
      ['incr count', '(error) ERR value is not an integer or out of range'],
      ['expire count -1', '(integer) 1'],
      ['exists count', '(integer) 0'],
      ['echo hello', '"hello"'],
      ['ping', 'PONG'],
      ['ping hello', '"hello"'],
      ['publish nobody hello', '(integer) 0'],
      ['config get save', '1) "save"\n2) ""'],
      ['client setname me', 'OK'],
      ['client getname', '"me"'],
      ['client setname "not me"', '(error) ERR Client names cannot contain spaces, newlines or special characters.'],
      ['select 0', 'OK'],
      ['select 1', '(error) ERR DB index is out of range'],
      ['hello 3', '(error) NOPROTO unsupported protocol version'],
      ['set a', "(error) ERR wrong number of arguments for 'set' command"],
      ['set a b ex', '(error) ERR syntax error'],
      ['set a b ex 0', "(error) ERR invalid expire time in 'set' command"],
      ['set a b ex 9223372036854775807', "(error) ERR invalid expire time in 'set' command"],
      ['set a b px one', '(error) ERR value is not an integer or out of range'],
      ['set a b nx xx', '(error) ERR syntax error'],
      ['lpush a b', "(error) ERR unknown command 'lpush', with args beginning with: 'a' 'b' "],
      ['reset', '"RESET"'],
      ['flushall', 'OK'],
      ['dbsize', '(integer) 0'],
    ];
    const answers = await run(
      cli,
      ['-p', String(port), '--no-raw'],
      conversation.map(([command]) => `${command}\n`).join(''),
    );
    // Some versions of redis-cli do not quote a simple string, and print an empty line after an error.
    const lines = (text: string): string => text.replaceAll('"RESET"', 'RESET').replace(/\n+/g, '\n').trim();
    expect(lines(answers)).toBe(lines(conversation.map(([, answer]) => answer).join('\n')));
  });

  it("shows the server's information", async () => {
    expect(await ask('info', 'server')).toMatch(/^# Server\r\nredis_version:7[^#]*$/);
    expect(await ask('info')).toContain('loading:0');
    expect(Number(await ask('command', 'count'))).toBeGreaterThan(20);
    expect(await ask('command', 'docs', 'get')).toBe('get\nsummary\nGives the value of a key\ngroup\ngeneric\n');
    expect(await ask('command', 'info', 'ttl', 'del')).toBe('del\n-2\n\n0\n0\n0\nttl\n2\n\n0\n0\n0\n');
  });

  it('fills the database in pipe mode', async () => {
    const values = Array.from({ length: 20_000 }, (_, index) => request('SET', `pipe:${index}`, `value ${index}`));
    expect(await run(cli, ['-p', String(port), '--pipe'], Buffer.concat(values))).toContain(
      'errors: 0, replies: 20000',
    );
    expect(await ask('get', 'pipe:19999')).toBe('value 19999\n');
    expect(await ask('dbsize')).toBe('20000\n');
    expect(await ask('keys', 'pipe:*')).toMatch(/^ERR more than 10000 keys match/);
    expect(await ask('flushall')).toBe('OK\n');
  });

  it('receives what another client publishes', async () => {
    const listener = spawn(cli, ['-p', String(port), 'subscribe', 'news', 'weather'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    onTestFinished(() => {
      listener.kill('SIGKILL');
    });
    let heard = '';
    listener.stdout.on('data', (text: Buffer) => (heard += text.toString()));
    await expect.poll(() => heard).toContain('subscribe\nnews\n1\nsubscribe\nweather\n2\n');
    expect(await ask('publish', 'weather', 'it rains')).toBe('1\n');
    await expect.poll(() => heard).toContain('message\nweather\nit rains\n');
    listener.kill('SIGINT');
    await once(listener, 'close');
    await expect.poll(() => ask('publish', 'weather', 'is anybody there?')).toBe('0\n');
  });

  it('works over a unix socket', async () => {
    const path = join(await freshFolder(), 'socket');
    const local = example('services/redis-server', `unix:${path}`);
    await local.until(/^unix:/m);
    expect(await run(cli, ['-s', path, 'set', 'a', 'b'])).toBe('OK\n');
    expect(await run(cli, ['-s', path, 'get', 'a'])).toBe('b\n');
    expect(await local.interrupt('SIGTERM')).toBe(0);
    expect(local.errors).toBe('');
  });
});

describeWith('redis-benchmark with redis-server.ts', ['redis-benchmark'], ([benchmark]) => {
  it('measures the server with 50 clients that send 16 requests at once', { timeout: 60_000 }, async () => {
    const tests = ['-t', 'ping,set,get,incr', '-n', '20000', '-c', '50', '-P', '16', '-q'];
    const output = await run(benchmark, ['-p', String(port), ...tests]);
    for (const test of ['PING_INLINE', 'PING_MBULK', 'SET', 'GET', 'INCR']) {
      expect(output).toMatch(new RegExp(`${test}: [0-9.]+ requests per second`));
    }
  });
});

describe('ioredis with redis-server.ts', () => {
  it('gets back the bytes that it has set', async () => {
    const redis = driver();
    const key = randomBytes(100);
    const value = randomBytes(4_194_304);
    expect(await redis.set(key, value)).toBe('OK');
    expect((await redis.getBuffer(key))?.equals(value)).toBe(true);
    expect(await redis.del(key)).toBe(1);
    await expect(redis.lpush('a', 'b')).rejects.toThrow("ERR unknown command 'lpush'");
    expect(await redis.quit()).toBe('OK');
  });

  it('gets the answers of a pipeline in order', async () => {
    const redis = driver();
    const pipeline = redis.pipeline();
    for (let index = 0; index < 10_000; index++) pipeline.incr('pipeline');
    const answers = await pipeline.exec();
    expect(answers).toEqual(Array.from({ length: 10_000 }, (_, index) => [null, index + 1]));
    await redis.del('pipeline');
  });

  it('serves 200 clients at once', async () => {
    const clients = Array.from({ length: 200 }, () => driver());
    await Promise.all(clients.map((redis) => redis.incr('clients')));
    expect(await clients[0]?.get('clients')).toBe('200');
    await clients[0]?.del('clients');
  });

  it('gets each message on each channel, in order, until it unsubscribes', async () => {
    const publisher = driver();
    const subscribers = Array.from({ length: 3 }, () => driver());
    const heard = subscribers.map((): string[] => []);
    for (const [index, subscriber] of subscribers.entries()) {
      subscriber.on('message', (channel: string, message: string) => heard[index]?.push(`${channel} ${message}`));
      expect(await subscriber.subscribe('a', 'b')).toBe(2);
    }
    const counts = Array.from({ length: 1_000 }, async (_, index) =>
      publisher.publish('ab'.charAt(index % 2), `${index}`),
    );
    expect(new Set(await Promise.all(counts))).toEqual(new Set([3]));
    const sent = Array.from({ length: 1_000 }, (_, index) => `${'ab'.charAt(index % 2)} ${index}`);
    await expect.poll(() => heard.map(({ length }) => length)).toEqual([1_000, 1_000, 1_000]);
    expect(heard).toEqual([sent, sent, sent]);

    expect(await subscribers[0]?.unsubscribe('a')).toBe(1);
    expect(await publisher.publish('a', 'more')).toBe(2);
    expect(await subscribers[0]?.unsubscribe()).toBe(0);
    expect(await subscribers[0]?.get('nothing')).toBe(null);
    for (const subscriber of subscribers) subscriber.disconnect();
    await expect.poll(() => publisher.publish('b', 'more')).toBe(0);
    expect(await publisher.info('stats')).toContain('pubsub_channels:0');
  });

  it('finds no expired key, and the server removes expired keys that no client reads', async () => {
    const redis = driver();
    const start = performance.now();
    await redis.set('short', 'a', 'PX', 200);
    expect(await redis.pttl('short')).toBeGreaterThan(0);
    while ((await redis.get('short')) !== null) await delay(5);
    expect(performance.now() - start).toBeGreaterThanOrEqual(199);

    await redis.flushall();
    const pipeline = redis.pipeline();
    for (let index = 0; index < 5_000; index++) pipeline.set(`short:${index}`, 'a', 'PX', 1 + (index % 100));
    await pipeline.exec();
    await expect.poll(() => redis.dbsize(), { timeout: 10_000 }).toBe(0);
    expect(await redis.info('memory')).toContain('used_memory:0');
  });

  it('reconnects to a restarted server, and no command hangs', async () => {
    const place = `unix:${join(await freshFolder(), 'socket')}`;
    const first = example('services/redis-server', place);
    await first.until(/^unix:/m);
    const redis = driver({ path: place.slice('unix:'.length), retryStrategy: () => 20 });
    expect(await redis.incr('count')).toBe(1);
    let isOver = false;
    const outcomes: Promise<unknown>[] = [];
    const ask = async (): Promise<void> => {
      while (!isOver) {
        outcomes.push(redis.incr('count').catch(String));
        await delay(1);
      }
    };
    const asking = ask();
    expect(await first.interrupt('SIGTERM')).toBe(0);
    await example('services/redis-server', place).until(/^unix:/m);
    await Promise.all(outcomes);
    expect(await redis.set('after', 'b')).toBe('OK');
    isOver = true;
    await asking;
    const answers = await Promise.all(outcomes);
    expect(answers.every((answer) => typeof answer === 'number' || typeof answer === 'string')).toBe(true);
    expect(answers.at(-1)).toBeTypeOf('number');
  });
});

describe('redis-server.ts', () => {
  it.each([
    ['a huge length', '*1\r\n$99999999999\r\n', 'invalid bulk length'],
    ['a negative length', '*1\r\n$-5\r\n', 'invalid bulk length'],
    ['a huge number of words', '*999999999\r\n', 'invalid multibulk length'],
    ['a negative number of words', '*-5\r\n', 'invalid multibulk length'],
    ['nested arrays', '*1\r\n'.repeat(1_000), "expected '$', got '*'"],
    ['a line without an end', 'x'.repeat(200_000), 'too big inline request'],
    ['a quote without an end', 'SET "a\r\n', 'unbalanced quotes in request'],
    ['the request of a browser', 'POST / HTTP/1.1\r\nHost: localhost\r\n\r\n', 'this is not a web server'],
  ])('answers the requests before bad input, reports the error, and hangs up: %s', async (_, text, reason) => {
    const socket = await raw();
    socket.write(`PING\r\n${text}`);
    socket.write('FLUSHALL\r\nPING\r\n'.repeat(100));
    expect((await readAll(socket)).toString()).toBe(`+PONG\r\n-ERR Protocol error: ${reason}\r\n`);
  });

  it('accepts requests in pieces, and closes the connection if a client ends inside a request', async () => {
    const socket = await raw();
    for (const byte of request('SET', 'in pieces', '\r\n$1\r\n')) socket.write(Buffer.from([byte]));
    socket.end(
      Buffer.concat([request('GET', 'in pieces'), request('DEL', 'in pieces'), Buffer.from('*2\r\n$3\r\nGET\r\n$9')]),
    );
    expect((await readAll(socket)).toString()).toBe('+OK\r\n$6\r\n\r\n$1\r\n\r\n:1\r\n');
  });

  it('ends the connection after QUIT, and ignores any request after it', async () => {
    const socket = await raw();
    socket.write('PING\r\nQUIT\r\nPING\r\n');
    expect((await readAll(socket)).toString()).toBe('+PONG\r\n+OK\r\n');
  });

  it('confirms each subscribed channel, and refuses most other commands of a subscriber', async () => {
    const socket = await raw();
    const sent = ['SUBSCRIBE a b', 'GET a', 'PING', 'UNSUBSCRIBE a c', 'UNSUBSCRIBE', 'UNSUBSCRIBE', 'PING', 'QUIT'];
    socket.write(sent.map((line) => `${line}\r\n`).join(''));
    const answers = (await readAll(socket))
      .toString()
      .replace(/[*$]\d+\r\n/g, '')
      .split('\r\n');
    const refused =
      "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
    expect(answers.join(' ')).toBe(
      `subscribe a :1 subscribe b :2 ${refused} pong  unsubscribe a :1 unsubscribe c :1 unsubscribe b :0 ` +
        'unsubscribe $-1 :0 +PONG +OK ',
    );
  });

  it('refuses more channels than it keeps for one client, and names that are too long', async () => {
    const socket = await raw();
    socket.write(request('SUBSCRIBE', ...Array.from({ length: 251 }, (_, index) => `channel ${index}`)));
    socket.end(request('SUBSCRIBE', 'x'.repeat(1_025)));
    const answers = (await readAll(socket)).toString();
    expect(answers.match(/:\d+\r\n/g)).toHaveLength(250);
    expect(answers.match(/-ERR at most 250 channels, with names of at most 1024 bytes\r\n/g)).toHaveLength(2);
  });

  it('stops reading from a client that does not read its answers, and sends all the answers later', async () => {
    const redis = driver();
    await redis.set('large', Buffer.alloc(1_048_576, 'x'));
    const before = memory();
    const socket = (await raw()).setMaxListeners(0);
    socket.pause();
    for (let index = 0; index < 200; index++) {
      socket.write(request('GET', 'large'));
      socket.write(request('ECHO', Buffer.alloc(50_000, `${index} `)));
    }
    socket.write('QUIT\r\n');
    // While this client reads nothing, the server answers other clients.
    for (let index = 0; index < 100; index++) expect(await redis.get('nothing')).toBe(null);
    expect(memory() - before).toBeLessThan(100);
    for (let index = 0; index < 200; index++) {
      const answer = await readBytes(socket, '$1048576\r\n\r\n'.length + 1_048_576);
      expect(answer.subarray(0, 12).toString()).toBe('$1048576\r\nxx');
      const echo = await readBytes(socket, '$50000\r\n\r\n'.length + 50_000);
      expect(echo.toString('latin1', 8, 8 + 4)).toBe(`${index} ${index} `.repeat(2).slice(0, 4));
    }
    expect((await readAll(socket)).toString()).toBe('+OK\r\n');
    expect(memory() - before).toBeLessThan(150);
    await redis.del('large');
  });

  it('cuts off a subscriber that does not read, and no other client', async () => {
    const slow = await raw();
    slow.write('SUBSCRIBE flood\r\n');
    await once(slow, 'data');
    slow.pause();
    const fast = driver();
    let heard = 0;
    fast.on('messageBuffer', (_channel: Buffer, message: Buffer) => (heard += message.length));
    await fast.subscribe('flood');
    const publisher = driver();
    const message = Buffer.alloc(1_048_576, 'x');
    let sent = 0;
    do sent++;
    while ((await publisher.publish('flood', message)) === 2 && sent < 100);
    expect(sent).toBeLessThan(100);
    await expect.poll(() => heard).toBe(sent * message.length);
    expect(await endingOf(slow)).toMatch(/^(ECONNRESET|EPIPE)$/);
    await expect.poll(() => server.errors).toContain('maxBuffered (8388608 bytes)');
  });

  it('at SIGTERM, answers what it has received, ends the connections and exits with 0', async () => {
    const path = join(await freshFolder(), 'socket');
    const program = example('services/redis-server', `unix:${path}`);
    const place = parseAddress((await program.until(/^unix:.*$/m))[0]);
    const idle = await rawClient(place);
    const subscriber = await rawClient(place);
    subscriber.write('SUBSCRIBE a\r\n');
    await once(subscriber, 'data');
    idle.write('PING\r\n');
    await once(idle, 'data');
    const ended = Promise.all([idle, subscriber].map(readAll));
    const status = program.interrupt('SIGTERM');
    expect(await ended).toEqual([Buffer.alloc(0), Buffer.alloc(0)]);
    for (const socket of [idle, subscriber]) socket.end();
    expect(await status).toBe(0);
    expect(program.errors).toBe('');
  });

  it('shows its usage, and says what prevents it from listening', async () => {
    const without = example('services/redis-server');
    expect(await without.ended).toBe(2);
    expect(without.errors).toContain('usage: npm run example -- redis-server.ts ADDRESS');
    const nonsense = example('services/redis-server', 'nonsense://x');
    expect(await nonsense.ended).toBe(2);
    const taken = example('services/redis-server', address);
    expect(await taken.ended).toBe(1);
    expect(taken.errors).toContain('EADDRINUSE');
  });
});

describe('the database of redis-server.ts', () => {
  const key = (name: string): Buffer => Buffer.from(name);

  it('refuses a value that does not fit, keeps the old value, and accepts new values when there is room', () => {
    const database = new Database(10_000);
    database.set(key('a'), Buffer.alloc(4_000));
    database.set(key('b'), Buffer.alloc(4_000, 'b'));
    expect(() => database.set(key('c'), Buffer.alloc(2_000))).toThrow('OOM');
    expect(() => database.set(key('b'), Buffer.alloc(6_000))).toThrow('OOM');
    expect(database.get(key('b'))).toEqual(Buffer.alloc(4_000, 'b'));
    database.set(key('b'), Buffer.alloc(10));
    database.set(key('c'), Buffer.alloc(2_000));
    expect(database.memory).toBeLessThan(10_000);
    for (const name of ['a', 'b', 'c']) expect(database.delete(key(name))).toBe(true);
    expect(database.memory).toBe(0);
  });

  it('keeps no reference to the chunk in which a value arrived', () => {
    const database = new Database(10_000);
    const chunk = Buffer.alloc(65_536, 'x');
    database.set(key('a'), chunk.subarray(10, 13));
    chunk.fill('y');
    expect(database.get(key('a'))?.toString()).toBe('xxx');
    expect(database.get(key('a'))?.buffer.byteLength).toBeLessThan(100);
  });

  it('sweeps as many keys as requested, and starts the next sweep where the last sweep ended', () => {
    const database = new Database(1_000_000);
    for (let index = 0; index < 100; index++) database.set(key(`${index}`), key('a'), performance.now() - 1);
    database.set(key('stays'), key('a'), performance.now() + 60_000);
    database.sweep(30);
    expect(database.size).toBe(71);
    for (let round = 0; round < 4; round++) database.sweep(30);
    expect(database.size).toBe(1);
    expect(database.expiringSize).toBe(1);
    expect([...database.keys(key(''))].map(String)).toEqual(['stays']);
  });
});
