import '../../support/leaks.js';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { readFile, rename, stat, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import tls from 'node:tls';
import { createGunzip, gzipSync } from 'node:zlib';
import { asyncScheduler, filter, firstValueFrom, interval, lastValueFrom, map, of, take, timeout, timer } from 'rxjs';
import {
  type Address,
  backoff,
  concatMapPaced,
  connect,
  type Connection,
  listen,
  relay,
  requests,
  serve,
  SocketError,
} from 'rxjs-sockets';
import { lines } from 'rxjs-sockets/codecs';
import { memoryTransport } from 'rxjs-sockets/testing';
import { TestScheduler } from 'rxjs/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { authority as ca, server as identity } from '../../support/transport/node/tls/certificates.js';
import { network } from '../../support/transport/memory/memory-network.js';
import { freshFolder, tcp } from '../../support/transport/places.js';
import { acceptedAt, pairAt } from '../../support/connection/connected-pairs.js';
import { until } from '../../support/scheduling/event-loop.js';

describe('the recipes for heartbeats', () => {
  it('notice a hanging server and reconnect', () => {
    const seen: string[] = [];
    const show = (line: string): void => void seen.push(`${asyncScheduler.now()} ${line}`);
    const report = (error: unknown): void => void seen.push(String(error));
    new TestScheduler(assert.deepEqual).run(() => {
      const { listen, connect } = network();
      const hanging = listen('tcp://localhost:7000', { codec: lines() });
      let accepted = 0;
      const serving = hanging.subscribe(({ data }) => {
        data.next(`hello ${++accepted}`);
        const pongs = data.pipe(map(() => 'pong'));
        // On the first connection, the server stops answering after two answers.
        (accepted === 1 ? pongs.pipe(take(2)) : pongs).subscribe((pong) => data.next(pong));
      });

      const client = connect('tcp://localhost:7000', {
        codec: lines(),
        reconnect: backoff(),
        receiveTimeout: 30_000, // three missed answers
        whileDisconnected: 'drop', // an old ping is useless
      });
      client.data.sendFrom(interval(10_000).pipe(map(() => 'ping'))).subscribe({ error: report });
      client.data.pipe(filter((line) => line !== 'pong')).subscribe({ next: show, error: report });

      timer(100_000).subscribe(() => {
        client.data.error('the end of the test');
        serving.unsubscribe();
      });
    });
    expect(seen[0]).toBe('0 hello 1');
    expect(seen[1]).toMatch(/^5\d{4} hello 2$/);
    expect(seen.filter((line) => line.includes('hello'))).toHaveLength(2);
  });

  it('drop a client that no longer asks', () => {
    const ends: string[] = [];
    const answered: string[] = [];
    const answer = (line: string): string => line.toUpperCase();
    const report = (error: unknown): void => void ends.push(String(error));
    new TestScheduler(assert.deepEqual).run(() => {
      const { listen, connect } = network();

      const server = listen('tcp://localhost:7000', { codec: lines(), receiveTimeout: 30_000 });
      const answers = serve<string, string>(({ data }) =>
        data.pipe(map((line) => (line === 'ping' ? 'pong' : answer(line)))),
      );
      server.pipe(answers).subscribe({ error: report });

      server.incidents.subscribe(({ code }) => ends.push(`${asyncScheduler.now()} ${code}`));
      const client = connect('tcp://localhost:7000', { codec: lines() });
      client.data.sendFrom(of('ping', 'question')).subscribe();
      client.data.subscribe({ next: (line) => answered.push(line), error: () => undefined });
    });
    expect(answered).toEqual(['pong', 'QUESTION']);
    expect(ends).toEqual(['30000 ERR_TIMEOUT_RECEIVE']);
  });
});

describe('the recipes for connections', () => {
  it('upgrade a connection to TLS', async () => {
    const { key, cert } = identity;
    const answer = (line: string): string => line.toUpperCase();

    async function converse(connection: Connection<string, string>): Promise<void> {
      for await (const line of connection.data) {
        if (line !== 'STARTTLS') connection.data.next(answer(line));
        else {
          connection.data.next('go ahead'); // the last plain text
          await connection.startTls({ key, cert });
        }
      }
    }

    const { near, raw } = await acceptedAt(tcp, { codec: lines() });
    const conversation = converse(near);
    raw.write('one\nSTARTTLS\n');
    let clear = '';
    await new Promise<void>((resolve) => {
      raw.on('data', function listener(chunk: Buffer) {
        clear += chunk.toString();
        if (!clear.endsWith('go ahead\n')) return;
        raw.off('data', listener);
        resolve();
      });
    });
    const secure = tls.connect({ socket: raw, ca, servername: 'localhost' });
    secure.end('two\n');
    const encrypted = await new Promise((resolve) => secure.on('data', (chunk) => resolve(String(chunk))));
    await conversation;
    near.data.complete();
    expect([clear, encrypted]).toEqual(['ONE\ngo ahead\n', 'TWO\n']);
  });

  it('relay a connection', async () => {
    const { listen, connect } = network();
    const report = (error: unknown): void => expect.fail(String(error));
    const app = listen('unix:/tmp/app.sock', { codec: lines() });
    app.subscribe(({ data }) => data.pipe(map((line) => line.toUpperCase())).subscribe(data));

    const proxy = listen('tcp://localhost:7001', { maxConnections: 1_000 });
    const relayed = serve(({ data }) => relay(data, connect('unix:/tmp/app.sock', { halfOpen: true }).data));
    proxy.pipe(relayed).subscribe({ error: report });

    const { data } = connect('tcp://localhost:7001', { codec: lines() });
    data.next('one');
    data.complete();
    const heard: string[] = [];
    for await (const line of data) heard.push(line);
    expect(heard).toEqual(['ONE']);
  });
});

describe('the recipe for accepting exactly one connection', () => {
  interface Expected {
    readonly address: Address;
    readonly arrival: Promise<Connection>;
  }

  async function acceptOnce(host: string, peer: string, first: number, last: number): Promise<Expected> {
    for (let port = first; port <= last; port++) {
      const server = listen({ host, port });
      const arrival = firstValueFrom(
        server.pipe(
          filter((connection) => isFrom(peer, connection)),
          timeout(10_000),
        ),
      );
      const address = await firstValueFrom(server.listening, { defaultValue: undefined });
      if (address !== undefined) return { address, arrival };
      await arrival.catch(goOnWhereInUse);
    }
    throw new Error(`no port from ${first} to ${last} is free`);
  }

  function isFrom(peer: string, connection: Connection): boolean {
    const { remote } = connection;
    const isExpected = remote.transport === 'tcp' && remote.host === peer;
    if (!isExpected) connection.destroy(new Error('somebody else was expected'));
    return isExpected;
  }

  function goOnWhereInUse(error: unknown): void {
    if (!(error instanceof SocketError) || error.code !== 'EADDRINUSE') throw error;
  }

  it('accepts one connection of the expected peer, and refuses all others', async () => {
    const taken = net.createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void taken.close());
    const { port } = taken.address() as net.AddressInfo;

    // The first port is taken, so the server listens on the next free one.
    const { address, arrival } = await acceptOnce('127.0.0.1', '127.0.0.2', port, port + 100);
    const dial = (localAddress: string): net.Socket => {
      const socket = net.connect({ port: (address as { port: number }).port, host: '127.0.0.1', localAddress });
      socket.on('error', () => undefined);
      onTestFinished(() => void socket.destroy());
      return socket;
    };
    const stranger = dial('127.0.0.1').resume();
    await new Promise((resolve) => stranger.on('close', resolve));
    dial('127.0.0.2').end('hello');
    const connection = await arrival;
    expect(String(await firstValueFrom(connection.data))).toBe('hello');
    const late = dial('127.0.0.2');
    expect(await new Promise((resolve) => late.on('error', resolve))).toMatchObject({ code: 'ECONNREFUSED' });
    connection.destroy();
  });
});

describe('the recipe for a body of a known size', () => {
  async function sendFile({ bytes }: Connection, path: string): Promise<void> {
    const { size } = await stat(path);
    bytes.next(`${size}\n`);
    const content = createReadStream(path, { end: Math.max(0, size - 1) }); // the file may grow in the meantime
    await lastValueFrom(bytes.sendFrom(content), { defaultValue: undefined });
  }

  async function receiveFile({ bytes }: Connection, path: string, most: number): Promise<void> {
    const header = await firstValueFrom(bytes.framed(lines({ maxLength: 15 })));
    const size = Number(header);
    if (!/^\d+$/.test(header) || size > most) throw new Error('not a size that is accepted');
    await pipeline(bytes.body(size), createWriteStream(`${path}.part`));
    await rename(`${path}.part`, path);
  }

  it('sends several files one after another, and changes none of them', async () => {
    const folder = await freshFolder();
    const { near, far } = await pairAt(tcp);
    for (const [index, content] of [randomBytes(3_000_000), Buffer.alloc(0), randomBytes(1)].entries()) {
      const [source, copy] = [join(folder, `source ${index}`), join(folder, `copy ${index}`)];
      await writeFile(source, content);
      await Promise.all([sendFile(near, source), receiveFile(far, copy, 10_000_000)]);
      expect(content.equals(await readFile(copy))).toBe(true);
    }
  });

  it('refuses an invalid size, and gives no name to an upload that is cut off', async () => {
    const folder = await freshFolder();
    const receive = async (bytes: string, copy: string): Promise<void> => {
      const { near, raw } = await acceptedAt(tcp);
      raw.end(bytes);
      await receiveFile(near, copy, 1_000).finally(() => near.destroy());
    };
    for (const size of ['1001', '-1', '1.5', 'ten', '', '0x10']) {
      await expect(receive(`${size}\n`, join(folder, 'no'))).rejects.toThrow('not a size');
    }
    await expect(receive('10\nhello', join(folder, 'cut'))).rejects.toMatchObject({ code: 'ERR_FRAME_TRUNCATED' });
    await expect(stat(join(folder, 'cut'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('the recipe for a pool of workers', () => {
  it('gives each job to one worker, and the job of a dead worker to the next one', async () => {
    const { listen, connect } = network();
    const jobs = Array.from({ length: 20 }, (_, index) => `job ${index}`);
    const results = new Map<string, string>();
    const report = (error: unknown): void => expect.fail(String(error));
    let calculated = 0;
    const calculate = async (job: string): Promise<string> => {
      // One worker fails during its job.
      if (++calculated === 5) throw new Error('out of order');
      return job.toUpperCase();
    };

    const pool = listen('unix:/tmp/pool.sock', { codec: lines() });
    const work = serve<string, string>(async ({ data }) => {
      const worker = requests(data, { timeout: 60_000 });
      for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
        try {
          results.set(job, await worker.ask(job));
        } catch (error) {
          jobs.unshift(job); // the worker died: the next one takes the job
          throw error;
        }
      }
    });
    pool.pipe(work).subscribe({ error: report });

    for (let index = 0; index < 3; index++) {
      const client = connect('unix:/tmp/pool.sock', { codec: lines() });
      client.data.pipe(concatMapPaced((job) => calculate(job))).subscribe(client.data);
      client.subscribe({ error: () => undefined });
    }
    await until(() => results.size === 20);
    expect(results.get('job 7')).toBe('JOB 7');
    expect(calculated).toBe(21);
  });
});

describe('the recipe for decompression', () => {
  it('decompresses while it writes to a file', async () => {
    const content = randomBytes(100_000).toString('hex');
    const copy = join(await freshFolder(), 'copy');
    const { listen, connect } = network();
    listen('tcp://localhost:7000').subscribe(({ data }) => {
      data.next(gzipSync(content));
      data.complete();
    });

    await pipeline(connect('tcp://localhost:7000').data, createGunzip(), createWriteStream(copy));

    expect(await readFile(copy, 'utf8')).toBe(content);
  });
});

describe('the recipe for virtual time', () => {
  it('runs instantly', () => {
    const seen: string[] = [];

    new TestScheduler(assert.deepEqual).run(() => {
      const options = { codec: lines(), transport: memoryTransport() };
      const device = listen('memory:device', options);
      device.subscribe(({ data }) => data.pipe(take(2)).subscribe((line) => data.next(line))); // the device hangs after two answers
      const client = connect('memory:device', { ...options, receiveTimeout: 30_000 });
      client.data.sendFrom(interval(10_000).pipe(map(() => 'ping'))).subscribe({ error: () => undefined });
      client.data.subscribe({
        next: (line) => seen.push(`${asyncScheduler.now()} ${line}`),
        error: (error: unknown) => seen.push(`${asyncScheduler.now()} ${(error as SocketError).code}`),
      });
    });
    assert.deepEqual(seen, ['10000 ping', '20000 ping', '50000 ERR_TIMEOUT_RECEIVE']);
  });
});
