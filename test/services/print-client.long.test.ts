import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFile, chown, mkdir, readdir } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { example, Program } from '../examples/program.js';
import { freshFolder } from '../support/transport/places.js';
import { describeWith } from '../support/processes/programs.js';
import { hash, lprng, endDaemon, lprngSpool, PrintedQueue } from '../support/services/printing.js';
import {
  fileOf,
  newQueue,
  shared,
  ok,
  patient,
  startShared,
  stopShared,
} from '../support/services/shared-print-server.js';

// Each test starts all of its programs at the same time, so a test can be slow.
vi.setConfig({ testTimeout: 60_000 });

beforeAll(startShared);
afterAll(stopShared);

describe('the print client', () => {
  const print = (...args: string[]): Program => example('services/print', ...args);

  /** A server that sends the next of `answers` after each step. The command is one step, and each file is two steps. */
  async function scripted(...answers: string[]): Promise<{ address: string; port: Promise<number | undefined> }> {
    let seen: (port: number | undefined) => void = () => undefined;
    const port = new Promise<number | undefined>((resolve) => {
      seen = resolve;
    });
    const server = net.createServer((socket) => {
      seen(socket.remotePort);
      let step = 0;
      let received = '';
      // The bytes that end the steps of the client, one for each step. Neither file contains a zero byte.
      const ends = ['\n', '\n', '\0', '\n', '\0'];
      socket.setEncoding('latin1').on('data', (text: string) => {
        received += text;
        for (let end = received.indexOf(ends[step] ?? '?'); end !== -1; end = received.indexOf(ends[step] ?? '?')) {
          received = received.slice(end + 1);
          const answer = answers[step++];
          if (answer === undefined) socket.resetAndDestroy();
          else if (answer === 'end') socket.end();
          else socket.write(answer);
        }
      });
      socket.on('error', () => undefined);
    });
    onTestFinished(() => {
      server.close();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { address: `tcp://127.0.0.1:${(server.address() as net.AddressInfo).port}`, port };
  }

  test('prints 100 MB over a unix socket on our print server', async () => {
    const folder = await freshFolder();
    await mkdir(join(folder, 'spool'));
    const server = example('services/print-server', `unix:${join(folder, 'socket')}`, join(folder, 'spool'));
    await server.until(/^unix:.*\n/);
    const bytes = randomBytes(100_000_000);
    const client = print(`unix:${join(folder, 'socket')}`, 'lp', await fileOf(bytes, 'häßlich 1.pdf'));
    expect(await client.ended).toBe(0);
    expect(client.errors).toBe('');
    const queue = new PrintedQueue(join(folder, 'spool'), 'lp');
    expect(await queue.hashes()).toEqual([hash(bytes)]);
    expect(await queue.titles()).toEqual(['häßlich 1.pdf']);
    expect(await server.interrupt('SIGTERM')).toBe(0);
    expect(await readdir(folder)).toEqual(['spool']);
  });

  test('prints an empty file and a file of one byte', async () => {
    const queue = newQueue();
    for (const bytes of [Buffer.alloc(0), Buffer.of(0)]) {
      const client = print(`tcp://127.0.0.1:${shared.port}`, queue.name, await fileOf(bytes));
      expect(await client.ended).toBe(0);
    }
    expect(await queue.hashes()).toEqual([hash(Buffer.alloc(0)), hash(Buffer.of(0))].sort());
  });

  test('uses a local port of RFC 1179 if permitted', async () => {
    const { address, port } = await scripted(ok, ok, ok, ok, ok);
    expect(await print(address, 'lp', await fileOf(Buffer.from('x'))).ended).toBe(0);
    const range = Array.from({ length: 11 }, (_, index) => 721 + index);
    if (process.getuid?.() === 0) expect(range).toContain(await port);
    else expect(await port).toBeGreaterThanOrEqual(1_024);
  });

  test('says what to do when the server refuses a job', async () => {
    const cases: [answers: string[], message: string][] = [
      [['\x01'], 'the server refuses: it does not take jobs for lp; check the name of the queue\n'],
      [['\x01paper\x07 jam\n'], 'the server refuses: paper jam\n'],
      [[ok, ok, '\x02'], 'the server refuses: it does not accept the control file\n'],
      [[ok, ok, ok, '\x01'], 'the server refuses: it does not take 1 bytes; it may be out of space\n'],
      [[ok, ok, ok, ok, '\x01'], 'the server refuses: it could not save the file; it may be out of space\n'],
    ];
    const path = await fileOf(Buffer.from('x'));
    const outcomes = cases.map(async ([answers]) => {
      const client = print((await scripted(...answers)).address, 'lp', path);
      return [await client.ended, client.errors];
    });
    expect(await Promise.all(outcomes)).toEqual(cases.map(([, message]) => [1, message]));
  });

  test('says that the server has closed the connection', async () => {
    const path = await fileOf(Buffer.from('x'));
    const cases = [[], [ok, ok, ok, ok], [ok, ok, ok, ok, 'end']];
    const outcomes = cases.map(async (answers) => {
      const client = print((await scripted(...answers)).address, 'lp', path);
      return [await client.ended, client.errors.replace(/cut|ended/, 'left')];
    });
    for (const [status, errors] of await Promise.all(outcomes)) {
      expect(status).toBe(1);
      expect(errors).toMatch(/^the server left the connection .*: print it again\n$/);
    }
  });

  test('notices a refusal while it is still sending the file', async () => {
    const { address } = await scripted(ok, ok, ok, `${ok}\x01no space left\n`);
    const client = print(address, 'lp', await fileOf(Buffer.alloc(30_000_000, 'x')));
    expect(await client.ended).toBe(1);
    expect(client.errors).toBe('the server refuses: no space left\n');
  });

  test('prints nothing of a file that grows while the client sends it', async () => {
    const queue = newQueue();
    const path = await fileOf(Buffer.alloc(20_000_000, 'x'));
    // This proxy makes the file grow once the first 100,000 bytes have passed.
    const between = net.createServer((socket) => {
      const onward = net.connect(shared.port, '127.0.0.1');
      let passed = 0;
      socket.on('error', () => onward.resetAndDestroy()).on('end', () => onward.end());
      onward.on('error', () => undefined).pipe(socket);
      socket.on('data', (chunk) => {
        passed += chunk.length;
        if (passed < 100_000 || passed - chunk.length >= 100_000) onward.write(chunk);
        else {
          socket.pause();
          void appendFile(path, 'y').then(() => {
            onward.write(chunk);
            socket.resume();
          });
        }
      });
    });
    onTestFinished(() => {
      between.close();
    });
    await new Promise<void>((resolve) => between.listen(0, '127.0.0.1', resolve));
    const client = print(`tcp://127.0.0.1:${(between.address() as net.AddressInfo).port}`, queue.name, path);
    expect(await client.ended).toBe(1);
    expect(client.errors).toBe('document changed while it was sent, so it is not printed: print it again\n');
    await expect.poll(() => queue.files(), patient).toEqual([]);
  });

  test('reports that no server listens', async () => {
    const client = print(`unix:${join(await freshFolder(), 'socket')}`, 'lp', await fileOf(Buffer.from('x')));
    expect(await client.ended).toBe(1);
    expect(client.errors).toMatch(
      /^nobody listens at unix:.*: check the address, and whether the print server runs\n$/,
    );
  });

  test('shows its usage for bad arguments', async () => {
    const bad = [
      ['nowhere', 'lp', 'package.json'],
      ['unix:x', 'lp', 'nowhere'],
    ];
    const clients = bad.map((args) => print(...args));
    expect(await Promise.all(clients.map(({ ended }) => ended))).toEqual([2, 2]);
    for (const { errors } of clients) {
      expect(errors).toContain('usage: npm run example -- print.ts ADDRESS QUEUE FILE');
    }
  });
});

describeWith("LPRng's lpd", ['lprng/usr/sbin/lpd'], ([lpd]) => {
  test('accepts a job of the print client, and refuses a job for an unknown queue', async () => {
    const spool = await freshFolder();
    await lprngSpool(spool);
    const isRoot = process.getuid?.() === 0;
    for (const path of isRoot ? [spool, join(spool, 'lp'), join(spool, 'lp/control.pr')] : []) await chown(path, 1, 1);
    spawn(await lprng(lpd, spool), ['-F', '-p', 'off'], { stdio: 'ignore' });
    onTestFinished(() => endDaemon(spool));
    const address = `unix:${join(spool, 'socket')}`;
    await expect.poll(() => readdir(spool), { timeout: 10_000 }).toContain('socket');
    const bytes = randomBytes(1_000_000);
    const path = await fileOf(bytes);
    const client = example('services/print', address, 'lp', path);
    expect([await client.ended, client.errors]).toEqual([0, '']);
    const queue = new PrintedQueue(spool, 'lp');
    expect(await queue.hashes()).toContain(hash(bytes));

    const refused = example('services/print', address, 'attic', path);
    expect(await refused.ended).toBe(1);
    expect(refused.errors).toMatch(/^the server refuses: .*attic/);
  });
});
