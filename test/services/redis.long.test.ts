import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis, type RedisOptions } from 'ioredis';
import { backoff, connect, type ConnectOptions } from 'rxjs-sockets';
import { toNodeStream } from 'rxjs-sockets/interop';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { connectorTo } from '../../examples/services/redis/connector.js';
import { example, program } from '../examples/program.js';
import { freshFolder, tcp } from '../support/transport/places.js';
import { rawServer } from '../support/sockets/plain-sockets.js';
import { describeWith } from '../support/processes/programs.js';

async function ask(...args: readonly string[]): Promise<{ status: number | string; reply: unknown; errors: string }> {
  const asking = example('services/redis', ...args);
  const status = await asking.ended;
  return { status, reply: asking.output === '' ? undefined : JSON.parse(asking.output), errors: asking.errors };
}

/** ioredis over a socket of the library, disconnected at the end of the test. */
function driver(address: string, options: RedisOptions = {}, connecting: ConnectOptions = {}): Redis {
  const redis = new Redis({ Connector: connectorTo(address, connecting), ...options } as RedisOptions & {
    replyMapping?: 'legacy';
  });
  redis.on('error', () => undefined);
  onTestFinished(() => {
    redis.disconnect();
  });
  return redis;
}

/** Starts Redis. Returns undefined if Redis ends before it accepts clients, for example if its port is taken. */
async function started(server: string, folder: string, args: readonly string[]): Promise<ChildProcess | undefined> {
  const child = spawn(server, ['--save', '', '--appendonly', 'no', '--dir', folder, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  let output = '';
  const accepts = new Promise<boolean>((resolve) => {
    child.stdout.on('data', (text: Buffer) => {
      output += text.toString();
      if (output.includes('accept connections')) resolve(true);
    });
    child.on('close', () => resolve(false));
  });
  return (await accepts) ? child : undefined;
}

async function startedAtPort(server: string): Promise<string> {
  for (;;) {
    const probe = net.createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port } = probe.address() as net.AddressInfo;
    probe.close();
    const child = await started(server, await freshFolder(), ['--port', String(port), '--bind', '127.0.0.1']);
    if (child !== undefined) return `tcp://127.0.0.1:${port}`;
  }
}

describeWith('Redis', ['redis-server'], ([server]) => {
  let folder: string;
  let address: string;
  const start = async (): Promise<ChildProcess> => {
    const child = await started(server, folder, ['--port', '0', '--unixsocket', join(folder, 'socket')]);
    if (child === undefined) throw new Error('Redis has not started');
    return child;
  };

  beforeEach(async () => {
    folder = await freshFolder();
    address = `unix:${join(folder, 'socket')}`;
  });

  it('answers redis.ts, which prints the answers as JSON', { timeout: 60_000 }, async () => {
    await start();
    const script = 'return {redis.call("MGET", KEYS[1], KEYS[2]), 42, "\\255", redis.error_reply("ERR no")}';
    const replies: readonly (readonly [words: readonly string[], reply: unknown])[] = [
      [['SET', 'a', 'é€😀\n"'], 'OK'],
      [['INCRBY', 'large', '9223372036854775807'], '9223372036854775807'],
      [
        ['EVAL', script, '2', 'a', 'b'],
        [['é€😀\n"', null], 42, { base64: '/w==' }, { error: 'ERR no' }],
      ],
    ];
    for (const [words, reply] of replies) {
      expect(await ask(address, ...words)).toEqual({ status: 0, reply, errors: '' });
    }
  });

  it('answers redis.ts over TCP, without and with a password', { timeout: 60_000 }, async () => {
    const place = await startedAtPort(server);
    expect(await ask(place, 'PING')).toEqual({ status: 0, reply: 'PONG', errors: '' });
    await driver(place).config('SET', 'requirepass', 'secret');
    const without = await ask(place, 'PING');
    expect(without).toMatchObject({ status: 1, reply: undefined });
    expect(without.errors).toBe('NOAUTH Authentication required. Set REDISCLI_AUTH to the password.\n');
    const authorized = program(['examples/services/redis.ts', place, 'PING'], { REDISCLI_AUTH: 'secret' });
    expect(await authorized.ended).toBe(0);
    expect(authorized.output).toBe('"PONG"\n');
  });

  it('sends its errors to redis.ts, which exits with 1', async () => {
    await start();
    const { status, reply, errors } = await ask(address, 'SET', 'a');
    expect(status).toBe(1);
    expect(reply).toBeUndefined();
    expect(errors).toBe("ERR wrong number of arguments for 'set' command\n");
  });

  it('sends 100 MiB in one reply, byte for byte', { timeout: 60_000 }, async () => {
    await start();
    const redis = driver(address);
    const sent = createHash('sha256');
    for (let count = 0; count < 100; count++) {
      const value = randomBytes(1_048_576);
      sent.update(value);
      await redis.rpush('list', value);
    }
    const received = createHash('sha256');
    const values = await redis.lrangeBuffer('list', 0, -1);
    for (const value of values) received.update(value);
    expect(values).toHaveLength(100);
    expect(received.digest('hex')).toBe(sent.digest('hex'));
  });

  it('keeps unread data: 100 MiB stay at the server, and not in this process', { timeout: 60_000 }, async () => {
    await start();
    const redis = driver(address);
    const value = randomBytes(1_048_576);
    await redis.set('value', value);
    await redis.client('SETNAME', 'writer');
    const stream = toNodeStream(connect(address));
    onTestFinished(() => {
      stream.destroy();
    });
    stream.pause();
    stream.write('CLIENT SETNAME reader\r\n');
    for (let count = 0; count < 100; count++) stream.write('GET value\r\n');
    const waiting = async (): Promise<number> => {
      const clients = String(await redis.client('LIST')).split('\n');
      return Number(/ omem=(\d+)/.exec(clients.find((line) => line.includes('name=reader')) ?? '')?.[1]);
    };
    await expect.poll(waiting, { timeout: 10_000 }).toBeGreaterThan(98 * 1_048_576);
    // The rest of the replies is in the buffers of the kernel, the connection and the stream.
    expect(stream.bytesRead).toBeLessThan(1_048_576);

    const expected = createHash('sha256').update('+OK\r\n');
    for (let count = 0; count < 100; count++) expected.update('$1048576\r\n').update(value).update('\r\n');
    stream.write('QUIT\r\n'); // No FIN yet: after a client's FIN, Redis drops the rest of its replies.
    expected.update('+OK\r\n');
    const received = createHash('sha256');
    for await (const chunk of stream) received.update(chunk as Buffer);
    expect(received.digest('hex')).toBe(expected.digest('hex'));
  });

  it('serves many ioredis clients at once, with pipelines and publish/subscribe', { timeout: 60_000 }, async () => {
    await start();
    const clients = Array.from({ length: 50 }, () => driver(address));
    const heard: string[] = [];
    const subscriber = driver(address);
    subscriber.on('message', (_channel: string, message: string) => heard.push(message));
    await subscriber.subscribe('news');
    const totals = await Promise.all(
      clients.map(async (redis) => {
        const pipeline = redis.pipeline();
        for (let count = 0; count < 100; count++) pipeline.incr('count');
        const answers = (await pipeline.exec()) ?? [];
        await redis.publish('news', 'done');
        return answers.length;
      }),
    );
    expect(totals).toEqual(Array(50).fill(100));
    expect(await clients[0]?.get('count')).toBe('5000');
    await expect.poll(() => heard.length).toBe(50);
  });

  it(
    'can be restarted: each command of ioredis is answered or fails, and ioredis reconnects',
    { timeout: 60_000 },
    async () => {
      const first = await start();
      const redis = driver(address, { retryStrategy: () => 20 });
      expect(await redis.incr('count')).toBe(1);
      let isOver = false;
      const outcomes: Promise<unknown>[] = [];
      const keepAsking = async (): Promise<void> => {
        while (!isOver) {
          outcomes.push(redis.incr('count').catch(String));
          await delay(1);
        }
      };
      const asking = keepAsking();
      first.kill('SIGTERM');
      await once(first, 'close');
      await start();
      await Promise.all(outcomes);
      expect(await redis.set('after', 'b')).toBe('OK');
      isOver = true;
      await asking;
      const answers = await Promise.all(outcomes);
      expect(answers.length).toBeGreaterThan(1);
      expect(answers.at(-1)).toBeTypeOf('number');
    },
  );

  it('is dialled until it is up, if the client has `reconnect`', { timeout: 60_000 }, async () => {
    const redis = driver(address, { retryStrategy: null }, { reconnect: backoff({ initial: 20, max: 50 }) });
    const answer = redis.ping();
    await start();
    expect(await answer).toBe('PONG');
  });
});

describe('redis.ts', () => {
  it('works with redis-server.ts', { timeout: 60_000 }, async () => {
    const own = example('services/redis-server', 'tcp://127.0.0.1:0');
    const [place] = await own.until(/^tcp:.*$/m);
    expect(await ask(place, 'SET', 'a', 'b')).toMatchObject({ status: 0, reply: 'OK' });
    expect(await ask(place, 'GET', 'a')).toMatchObject({ status: 0, reply: 'b' });
    expect(await ask(place, 'LPUSH', 'a', 'b')).toMatchObject({ status: 1 });
    expect(await own.interrupt('SIGTERM')).toBe(0);
  });

  it('says what to do if the server is missing or hangs up, and shows its usage', { timeout: 60_000 }, async () => {
    const nobody = await ask(`unix:${join(await freshFolder(), 'socket')}`, 'PING');
    expect(nobody.status).toBe(1);
    expect(nobody.errors).toMatch(/ENOENT.*; start a Redis server there, or give the address of one\n$/);

    const place = await rawServer(tcp, (socket) => socket.once('data', () => socket.end()));
    const left = await ask(`tcp://127.0.0.1:${'port' in place ? place.port : 0}`, 'PING');
    expect(left.status).toBe(1);
    expect(left.errors).toMatch(/^The server closed the connection before it answered; .* try again\.\n$/);

    const web = await rawServer(tcp, (socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request')));
    const stranger = await ask(`tcp://127.0.0.1:${'port' in web ? web.port : 0}`, 'PING');
    expect(stranger.status).toBe(1);
    expect(stranger.errors).toMatch(/^This is not a Redis server; .*\n$/);

    for (const args of [['tcp://127.0.0.1:1'], ['nonsense', 'PING']]) {
      const { status, errors } = await ask(...args);
      expect(status).toBe(2);
      expect(errors).toContain('usage: npm run example -- redis.ts ADDRESS COMMAND [ARG...]');
    }
  });
});
